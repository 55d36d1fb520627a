package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// chore is what an errand is for.
type chore struct {
	ref    topology.Ref
	spec   *topology.Satellite // as which it runs: user, environment, directory, limits; nil: as dsatd itself
	argv   []string
	env    []string      // in addition
	within time.Duration // then it is killed; 0: it may take as long as it likes
	book   *logs.Book    // gets what it prints; nil: nobody but the outcome does
	toFile bool
	spool  *spool        // gets it instead, as it is; nil: no
	done   func(outcome) // called once, whatever happens; must not block
	guest  *Guest        // whose descriptors it gets instead of ours; nil: nobody's
}

// outcome is how an errand ended.
type outcome struct {
	exit  Exit
	why   string   // a clause that tells why it counts as failed; empty: exit code 0
	words []string // the last lines it printed
}

// errand is a program that is run for something else, beside it: a stop command, a probe, a hook. It is a child like any other, in a
// session of its own, and what it leaves behind is killed.
type errand struct {
	s     *Supervisor
	task  chore
	timer *time.Timer

	mu      sync.Mutex
	pid     int    // 0: not forked
	why     string // it has to end; the reason
	over    bool
	next    func() // to be called when it is over
	capture *capture
	passage *passage
}

// errands is all of them that are under way.
type errands struct {
	mu     sync.Mutex
	open   map[*errand]struct{}
	idle   chan struct{} // closed when there is none; nil: nobody waits for that
	closed bool          // no more
}

// errand begins one. It never blocks; a failure to begin is an outcome.
func (s *Supervisor) errand(c chore) *errand {
	e := &errand{s: s, task: c}
	if !s.errands.add(e) {
		c.done(outcome{exit: Exit{Err: errClosed}, why: errClosed.Error()})
		e.over = true
		return e
	}
	if c.within > 0 {
		e.timer = time.AfterFunc(c.within, func() { e.end(fmt.Sprintf("did not end within %s", c.within)) })
	}
	s.forks.put(func() {
		if err := e.launch(); err != nil {
			e.finish(Exit{Err: err})
		}
	})
	return e
}

// command runs the stop command. The answer, evTold, comes in any case.
func (s *Supervisor) command(l *life, within time.Duration) (cancel func()) {
	t := l.spec
	l.escort = s.errand(chore{
		ref: l.of.ref, spec: t, argv: l.stop.Command, env: ofLife(l), within: within,
		book: l.of.book, toFile: t.Log.Stdout == topology.LogCapture,
		done: func(o outcome) {
			if o.why != "" {
				s.log.Warn("a stop command failed", "instance", l.of.ref, "cause", o.why)
			}
			l.of.post(event{kind: evTold, life: l, cause: o.why})
		},
	})
	return func() { l.escort.end("was killed with the process") }
}

// ofLife is the environment of what runs beside a process.
func ofLife(l *life) []string {
	return []string{"DSAT_INCARNATION=" + strconv.FormatUint(uint64(l.inc), 10), "DSAT_PID=" + strconv.Itoa(l.mainPID())}
}

func (e *errand) launch() error {
	s, c := e.s, e.task
	if e.late() {
		return errCancelled
	}
	p, err := s.surroundings(c.spec, c.ref.WID)
	if err == nil {
		err = p.program(c.argv)
	}
	if err != nil {
		return err
	}
	p.env = append(p.env, c.env...)
	files, out, lent, err := s.outlet(c)
	if err != nil {
		return err
	}
	p.tty = c.guest != nil && c.guest.TTY
	s.reaper.expect()
	pid, report, err := s.execute(p, files)
	lent()
	if err != nil {
		s.reaper.forget()
		if out != nil {
			unix.Close(out.fd)
		}
		return err
	}
	e.mu.Lock()
	e.pid, e.capture = pid, out
	if report != nil {
		e.passage = &passage{}
	}
	e.mu.Unlock()
	s.reaper.admit(e, pid, func() {})
	if report != nil && !s.crew.run(func() { e.passage.settle(p.refusal(report), func() {}, e.finish) }) {
		report.Close()
	}
	if out != nil {
		s.output.add(out)
	}
	if c.guest != nil {
		c.guest.Begun(pid)
	}
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

// session is its pid; 0: it was never forked.
func (e *errand) session() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pid
}

// ended is told by the reaper.
func (e *errand) ended(x Exit) {
	if x, ok := e.passage.pass(x); ok {
		e.finish(x)
	}
}

func (e *errand) finish(x Exit) {
	if e.timer != nil {
		e.timer.Stop()
	}
	e.mu.Lock()
	e.over = true
	next, o, out, pid := e.next, outcome{exit: x, why: e.why}, e.capture, e.pid
	e.mu.Unlock()
	if out != nil {
		e.s.output.close(out)
		o.words = out.words.lines()
	}
	if pid != 0 {
		e.s.sweeper.discard(pid)
	}
	switch {
	case x.Err == nil && x.Signal == 0 && x.Code == 0:
		o.why = ""
	case o.why == "":
		o.why = x.String()
	}
	e.task.done(o)
	if next != nil {
		next()
	}
	e.s.errands.remove(e)
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

func (a *errands) add(e *errand) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	if a.open == nil {
		a.open = make(map[*errand]struct{})
	}
	a.open[e] = struct{}{}
	return true
}

func (a *errands) remove(e *errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, e)
	if len(a.open) == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// wait returns when none is under way, or the context ends.
func (a *errands) wait(ctx context.Context) {
	a.mu.Lock()
	if len(a.open) == 0 {
		a.mu.Unlock()
		return
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	idle := a.idle
	a.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// close ends all, and lets none begin.
func (a *errands) close() {
	a.mu.Lock()
	a.closed = true
	open := make([]*errand, 0, len(a.open))
	for e := range a.open {
		open = append(open, e)
	}
	a.mu.Unlock()
	for _, e := range open {
		e.end("was killed, because dsatd ends")
	}
}

// words are the last lines of an output.
type words struct {
	mu   sync.Mutex
	kept []string
}

// mostLine is how many bytes of a line are kept as words.
const mostLine = 4 << 10

func (w *words) add(lines [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range lines[max(0, len(lines)-evidence):] {
		w.kept = append(w.kept, string(l[:min(len(l), mostLine)]))
	}
	if extra := len(w.kept) - evidence; extra > 0 {
		w.kept = slices.Delete(w.kept, 0, extra)
	}
}

func (w *words) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept
}
