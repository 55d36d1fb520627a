package supervisor

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// reaper owns the table of pids: it alone waits for children, and signals to them are sent under the lock of that wait, so that a
// pid in the table is ours until the lock is given up.
type reaper struct {
	mu       sync.Mutex
	table    map[int]child
	spawning int                // forks under way whose pid is not in the table yet
	early    map[int]Exit       // of pids nobody knew while forks were under way
	reaped   uint64             // children reaped so far; strangers too
	stranger func()             // an unknown child was reaped; must not block
	sync     chan chan struct{} // answered by the loop
	frozen   bool               // exits stay where they are
	thawed   chan struct{}
}

// child is a process of ours. ended is told its exit once; it must not block.
type child interface{ ended(Exit) }

func newReaper(stranger func()) *reaper {
	return &reaper{
		table: make(map[int]child), early: make(map[int]Exit), stranger: stranger,
		sync: make(chan chan struct{}), thawed: make(chan struct{}, 1),
	}
}

// run reaps until the context ends. The kernel folds many SIGCHLD into one, so every one means "look until nobody is left".
func (r *reaper) run(ctx context.Context) {
	tick := make(chan os.Signal, 1)
	signal.Notify(tick, unix.SIGCHLD)
	defer signal.Stop(tick)
	for {
		for r.reap() {
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case <-r.thawed:
		case answer := <-r.sync:
			close(answer)
		}
	}
}

// reap takes one exit.
func (r *reaper) reap() bool {
	var ws syscall.WaitStatus
	var used syscall.Rusage
	r.mu.Lock()
	if r.frozen {
		r.mu.Unlock()
		return false
	}
	pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, &used)
	if err == syscall.EINTR {
		r.mu.Unlock()
		return true
	}
	if err != nil || pid <= 0 {
		r.mu.Unlock()
		return false
	}
	r.reaped++
	exit := exitOf(ws, usageOf(used))
	c := r.table[pid]
	delete(r.table, pid)
	if c == nil && r.spawning > 0 {
		r.early[pid] = exit
	}
	r.mu.Unlock()
	if c != nil {
		c.ended(exit)
	} else {
		r.stranger()
	}
	return true
}

// expect is called before a fork, and followed by admit or forget.
func (r *reaper) expect() {
	r.mu.Lock()
	r.spawning++
	r.mu.Unlock()
}

// take enters a child that an earlier daemon has forked.
func (r *reaper) take(l *life) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table[l.pid] = l
}

// forget: the fork failed.
func (r *reaper) forget() {
	r.mu.Lock()
	r.settle()
	r.mu.Unlock()
}

// admit enters a new process, and tells that it was spawned, and at once that it ended when it did already.
func (r *reaper) admit(c child, pid int, spawned func()) {
	r.mu.Lock()
	spawned()
	// An early exit under this pid is ours only if the process is gone: else the number belonged to somebody else before.
	exit, early := r.early[pid]
	if early = early && unix.Kill(pid, 0) == unix.ESRCH; !early {
		r.table[pid] = c
	}
	r.settle()
	r.mu.Unlock()
	if early {
		c.ended(exit) // which may look into the table
	}
}

func (r *reaper) settle() {
	if r.spawning--; r.spawning == 0 {
		clear(r.early)
	}
}

var errGone = errors.New("the process is gone")

// signal reaches the process, or with group all of its process group; errGone when it was reaped.
func (r *reaper) signal(c child, pid int, sig syscall.Signal, group bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.table[pid] != c || pid <= 1 {
		return errGone
	}
	if group {
		pid = -pid
	}
	return unix.Kill(pid, sig)
}

// signalRef reaches the process an instance has now.
func (r *reaper) signalRef(ref topology.Ref, pid int, sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c := r.table[pid].(type) {
	case *life:
		if c.of.ref == ref {
			return unix.Kill(pid, sig)
		}
	case *heir:
		if c.l.of.ref == ref {
			return c.signal(sig, false)
		}
	}
	return errGone
}

// strangers runs list, which lists our children, until no child was reaped or forked in between, and returns those that belong
// to no instance. So a list is never short of one.
func (r *reaper) strangers(list func() ([]int, error)) ([]int, error) {
	for {
		r.mu.Lock()
		before := r.reaped
		r.mu.Unlock()
		all, err := list()
		if err != nil {
			return nil, err
		}
		var unknown []int
		r.mu.Lock()
		same := r.reaped == before
		for _, pid := range all {
			if r.table[pid] == nil {
				unknown = append(unknown, pid)
			}
		}
		r.mu.Unlock()
		if same {
			return unknown, nil
		}
	}
}

func (r *reaper) alive(ctx context.Context) error { return ping(ctx, r.sync) }

// ping asks a loop for an answer.
func ping(ctx context.Context, sync chan<- chan struct{}) error {
	answer := make(chan struct{})
	select {
	case sync <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
