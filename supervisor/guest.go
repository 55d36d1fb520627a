package supervisor

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// Guest is a program that somebody runs as a satellite would run: its user, environment, directory and limits, but the caller's own
// standard descriptors. It is no instance: nothing restarts it, and it speaks to no bus.
type Guest struct {
	Ref   topology.Ref
	Argv  []string
	Env   []string // in addition
	Files [3]int   // standard input, output and error; they stay the caller's
	TTY   bool     // Files[0] is a terminal, which becomes its own

	Begun func(pid int) // told once it runs; must not block
	Ended func(Exit)    // told once, whatever happens; must not block
}

// Visit is a guest that was let in.
type Visit struct {
	s *Supervisor
	e *errand
}

// Receive runs a guest; a NotFound says that there is no such satellite. The instance may be one that does not run.
func (s *Supervisor) Receive(g Guest) (*Visit, error) {
	sat := s.roster().byName[g.Ref.Name]
	if sat == nil {
		return nil, &NotFound{Name: g.Ref.Name, Suggest: s.suggest(g.Ref.Name)}
	}
	if len(g.Argv) == 0 || g.Argv[0] == "" {
		return nil, fmt.Errorf("cannot run nothing for %s: a command is missing", g.Ref)
	}
	e := s.errand(chore{
		ref: g.Ref, spec: sat.spec, argv: g.Argv, env: g.Env, guest: &g,
		done: func(o outcome) { g.Ended(o.exit) },
	})
	return &Visit{s, e}, nil
}

// Signal reaches the guest and its process group; it does nothing when that is not there, or not any more.
func (v *Visit) Signal(sig syscall.Signal) {
	v.e.mu.Lock()
	pid := v.e.pid
	v.e.mu.Unlock()
	_ = v.s.reaper.signal(v.e, pid, sig, true)
}

// End kills it, and what it has left in its session.
func (v *Visit) End(why string) { v.e.end(why) }

// outlet is where an errand's standard descriptors lead to: nowhere and into a pipe of ours, or to a guest's own.
func (s *Supervisor) outlet(c chore) (files []uintptr, out *capture, done func(), err error) {
	if c.guest != nil {
		for _, fd := range c.guest.Files {
			files = append(files, uintptr(fd))
		}
		return files, nil, func() {}, nil
	}
	ours, theirs, err := s.outPipe()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot open the pipe of its output: %w", err)
	}
	out = &capture{fd: ours, book: c.book, stream: logs.Stdout, toFile: c.toFile, words: &words{}, spool: c.spool}
	errs := theirs
	if c.spool != nil && c.spool.alone {
		errs = s.null
	}
	return []uintptr{uintptr(s.null), uintptr(theirs), uintptr(errs)}, out, func() { unix.Close(theirs) }, nil
}

// dismiss ends all guests: nothing else would, and what waits for the end of helpers would wait for them.
func (s *Supervisor) dismiss() {
	s.errands.mu.Lock()
	var guests []*errand
	for e := range s.errands.open {
		if e.task.guest != nil {
			guests = append(guests, e)
		}
	}
	s.errands.mu.Unlock()
	for _, e := range guests {
		e.end("was killed, because dsatd ends")
	}
}
