package supervisor

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// errand is a program that is run for a process, beside it: its stop command. It is a child like any other, in a session of its own,
// with the satellite's environment, user and limits, and writes to the satellite's log.
type errand struct {
	s     *Supervisor
	of    *life
	timer *time.Timer

	mu      sync.Mutex
	pid     int    // 0: not forked
	why     string // it has to end; the reason
	over    bool
	next    func() // to be called when it is over
	capture *capture
	passage *passage
}

// command runs the stop command. The answer, evTold, comes in any case.
func (s *Supervisor) command(l *life, within time.Duration) (cancel func()) {
	e := &errand{s: s, of: l}
	l.escort = e
	e.timer = time.AfterFunc(within, func() { e.end(fmt.Sprintf("it did not end within %s", within)) })
	s.forks.put(func() {
		if err := e.launch(); err != nil {
			e.finish(Exit{Err: err})
		}
	})
	return func() { e.end("was killed with the process") }
}

func (e *errand) launch() error {
	s, l := e.s, e.of
	t, wid := l.of.spec, l.of.ref.WID
	if e.late() {
		return errCancelled
	}
	p, err := s.surroundings(t, wid)
	if err == nil {
		err = p.program(t.Stop.Command, wid)
	}
	if err != nil {
		return err
	}
	p.env = append(p.env, "DSAT_INCARNATION="+strconv.FormatUint(uint64(l.inc), 10), "DSAT_PID="+strconv.Itoa(l.pid))
	ours, theirs, err := s.outPipe()
	if err != nil {
		return fmt.Errorf("cannot open the pipe of its output: %w", err)
	}
	c := &capture{fd: ours, book: l.of.book, stream: Stdout, toFile: t.Log.Stdout == topology.LogCapture}
	s.reaper.expect()
	pid, report, err := s.execute(p, []uintptr{uintptr(s.null), uintptr(theirs), uintptr(theirs)})
	unix.Close(theirs)
	if err != nil {
		s.reaper.forget()
		unix.Close(ours)
		return err
	}
	e.mu.Lock()
	e.pid, e.capture = pid, c
	if report != nil {
		e.passage = &passage{}
	}
	e.mu.Unlock()
	s.reaper.admit(e, pid, func() {})
	if report != nil && !s.crew.run(func() { e.passage.settle(p.refusal(report), func() {}, e.finish) }) {
		report.Close()
	}
	s.output.add(c)
	if e.late() {
		e.kill()
	}
	return nil
}

// late: it has been told to end.
func (e *errand) late() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.why != ""
}

// end kills it, or sees to it that it never begins.
func (e *errand) end(why string) {
	e.mu.Lock()
	if e.why == "" {
		e.why = why
	}
	e.mu.Unlock()
	e.kill()
}

func (e *errand) kill() {
	e.mu.Lock()
	pid := e.pid
	e.mu.Unlock()
	_ = e.s.reaper.signal(e, pid, unix.SIGKILL, true) // not there yet, or gone already
}

// ended is told by the reaper.
func (e *errand) ended(x Exit) {
	if x, ok := e.passage.pass(x); ok {
		e.finish(x)
	}
}

func (e *errand) finish(x Exit) {
	e.timer.Stop()
	e.mu.Lock()
	e.over = true
	next, cause, c := e.next, e.why, e.capture
	e.mu.Unlock()
	if c != nil {
		e.s.output.close(c)
	}
	switch {
	case x.Err == nil && x.Signal == 0 && x.Code == 0:
		cause = ""
	case cause == "":
		cause = x.String()
	}
	if cause != "" {
		e.s.log.Warn("a stop command failed", "instance", e.of.of.ref, "cause", cause)
	}
	e.of.of.post(event{kind: evTold, life: e.of, cause: cause})
	if next != nil {
		next()
	}
}

// then calls f when it is over, which may be at once. f must not block.
func (e *errand) then(f func()) {
	e.mu.Lock()
	over := e.over
	if !over {
		e.next = f
	}
	e.mu.Unlock()
	if over {
		f()
	}
}
