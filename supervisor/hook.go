package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// Hooks are errands at certain moments of a life. Nothing of the instance waits for one inside a goroutine: what comes after a hook
// is called, or posted, when it is over.

// refusal is the exit of a life that a hook did not let begin.
type refusal struct {
	hook topology.HookKind
	why  string
}

func (r *refusal) Error() string { return fmt.Sprintf("its %s hook says no: %s", r.hook, r.why) }

// final: another start makes no sense before somebody asks for it.
func (r *refusal) final() bool { return r.hook != topology.BeforeSpawn }

// refused is the refusal an exit stands for; nil: none.
func (e Exit) refused() *refusal {
	var r *refusal
	if errors.As(e.Err, &r) {
		return r
	}
	return nil
}

// hooking is a hook that an instance waits for. It is for those who ask, not for the instance.
type hooking struct {
	kind topology.HookKind
	due  time.Time // it is killed then
}

// tell adds it to what an instance says of itself.
func (h *hooking) tell(s *InstanceStatus) {
	if h == nil || s.State != Starting && s.State != Stopping {
		return
	}
	s.Hook, s.HookDue = h.kind.String(), h.due
	switch h.kind {
	case topology.AfterStart: // said so already
	case topology.BeforeStop, topology.BeforeSignal:
		s.Why += ", and its " + s.Hook + " hook runs"
	default:
		s.Why = "its " + s.Hook + " hook runs"
	}
}

// hook runs one, and calls then with why it says no; "": it does not. It returns nil, and then is not called, when there is none.
func (s *Supervisor) hook(l *life, kind topology.HookKind, env []string, then func(no string)) *errand {
	return s.beside(l.of, l.spec, kind, append(ofLife(l), env...), then)
}

func (s *Supervisor) beside(i *instance, spec *topology.Satellite, kind topology.HookKind, env []string, then func(no string)) *errand {
	h := spec.Hooks[kind]
	if h == nil {
		return nil
	}
	run := &hooking{kind, time.Now().Add(h.Deadline)}
	if awaited := kind != topology.AfterSpawn && kind != topology.AfterSignal; awaited {
		i.hooking.Store(run)
	}
	return s.errand(chore{
		ref: i.ref, spec: spec, argv: h.Command, within: h.Deadline, book: i.book, toFile: spec.Log.Stdout == topology.LogCapture,
		env: append(env, "DSAT_HOOK="+kind.String(), "DSAT_STATE="+i.status.Load().State.String()),
		// The reaper may tell of the end under its own lock, and what follows a hook signals and forks.
		done: func(o outcome) {
			i.hooking.CompareAndSwap(run, nil)
			s.crew.run(func() { then(s.verdict(i.ref.String(), kind.String(), h, o)) })
		},
	})
}

// verdict is why a hook says no. A code is its word; whatever else keeps it from ending with one is a failure.
func (s *Supervisor) verdict(who, kind string, h *topology.Hook, o outcome) (no string) {
	if o.why == "" {
		return ""
	}
	no = o.why
	if words := strings.TrimSpace(strings.Join(o.words[max(0, len(o.words)-1):], "")); words != "" {
		no += fmt.Sprintf(" (its last line: %s)", strings.ToValidUTF8(words[:min(len(words), mostWords)], ""))
	}
	failed := o.exit.Err != nil || o.exit.Signal != 0
	s.log.Warn("a hook says no", "hook", kind, "of", who, "cause", no)
	if failed && h.IgnoreFailure {
		return ""
	}
	return no
}

// spawn runs what comes before a fork, and then forks. A stop meanwhile ends it.
func (s *Supervisor) spawn(l *life) {
	kinds := []topology.HookKind{topology.BeforeStart, topology.BeforeSpawn}
	if !l.opening {
		kinds = kinds[1:]
	}
	s.usher(l, kinds)
}

func (s *Supervisor) usher(l *life, kinds []topology.HookKind) {
	for len(kinds) > 0 && l.spec.Hooks[kinds[0]] == nil {
		kinds = kinds[1:]
	}
	if len(kinds) == 0 || l.cancelled.Load() {
		s.gather(l, func() { s.forks.put(func() { s.fork(l) }) })
		return
	}
	before := l.guard.Load()
	e := s.hook(l, kinds[0], nil, func(no string) {
		if no != "" && !l.cancelled.Load() {
			l.tellExit(Exit{Err: &refusal{kinds[0], no}})
			return
		}
		s.usher(l, kinds[1:])
	})
	s.watchOver(l, before, e)
}

// watchOver lets a stop end what comes before a fork, unless that is over and the next has begun: before was there when it began.
func (s *Supervisor) watchOver(l *life, before, e *errand) {
	l.guard.CompareAndSwap(before, e)
	if l.cancelled.Load() {
		e.end("was killed with the start")
	}
}

// abandon ends a start: what is not forked must not be.
func (s *Supervisor) abandon(l *life) {
	l.cancelled.Store(true)
	if e := l.guard.Load(); e != nil {
		e.end("was killed with the start")
	}
}

// greet runs a hook of a process that is there -> evHooked. nil: it has none.
func (s *Supervisor) greet(l *life, kind topology.HookKind) (cancel func()) {
	e := s.hook(l, kind, nil, func(no string) { l.of.post(event{kind: evHooked, life: l, hook: kind, cause: no}) })
	if e == nil {
		return nil
	}
	return func() { e.end("was killed with the process") }
}

// drain is what comes before the first measure of a stop: a hook, then what the bus has to finish.
func (s *Supervisor) drain(l *life, within time.Duration) (cancel func()) {
	h := l.spec.Hooks[topology.BeforeStop]
	if h == nil || within <= 0 {
		return s.drainBus(l, within)
	}
	begun := time.Now()
	var ended atomic.Bool
	var bus atomic.Pointer[func()]
	e := s.hook(l, topology.BeforeStop, nil, func(string) {
		if ended.Load() {
			return
		}
		c := s.drainBus(l, within-time.Since(begun))
		if c == nil {
			l.of.post(event{kind: evDrained, life: l})
			return
		}
		if bus.Store(&c); ended.Load() {
			c()
		}
	})
	return func() {
		ended.Store(true)
		e.end("was killed with the process")
		if c := bus.Load(); c != nil {
			(*c)()
		}
	}
}

// signal sends one, unless a hook has something against it.
func (s *Supervisor) signal(l *life, sig syscall.Signal, group bool) {
	l.kin = descendants(l.mainPID())
	env := []string{"DSAT_SIGNAL=" + strings.TrimPrefix(unix.SignalName(sig), "SIG")}
	if s.hook(l, topology.BeforeSignal, env, func(no string) {
		if no == "" && !l.hard.Load() {
			s.tell(l, sig, group)
		}
		s.hook(l, topology.AfterSignal, append(env, "DSAT_SENT="+strconv.FormatBool(no == "")), func(string) {})
	}) != nil {
		return
	}
	s.tell(l, sig, group)
	s.hook(l, topology.AfterSignal, append(env, "DSAT_SENT=true"), func(string) {})
}

// byHand sends a signal to the process an instance has now, if its hooks let it.
func (s *Supervisor) byHand(i *instance, pid int, sig syscall.Signal) error {
	sat := s.roster().byName[i.ref.Name]
	if pid == 0 || sat == nil || sig == unix.SIGKILL {
		return s.send(i.ref, pid, sig)
	}
	env := []string{"DSAT_PID=" + strconv.Itoa(pid), "DSAT_SIGNAL=" + strings.TrimPrefix(unix.SignalName(sig), "SIG")}
	answer := make(chan string, 1)
	var err error
	if s.beside(i, sat.spec, topology.BeforeSignal, env, func(no string) { answer <- no }) != nil {
		if no := <-answer; no != "" { // it comes: a hook has a deadline
			err = &refusal{topology.BeforeSignal, no}
		}
	}
	if err == nil {
		err = s.send(i.ref, pid, sig)
	}
	s.beside(i, sat.spec, topology.AfterSignal, append(env, "DSAT_SENT="+strconv.FormatBool(err == nil)), func(string) {})
	return err
}

// Hook runs a hook of dsatd itself. It returns why the hook says no, or nil; when the context ends it is killed.
func (s *Supervisor) Hook(ctx context.Context, name string, h *topology.Hook, env ...string) error {
	if h == nil {
		return nil
	}
	answer := make(chan string, 1)
	e := s.errand(chore{
		argv: h.Command, within: h.Deadline, env: append(env, "DSAT_HOOK="+name),
		done: func(o outcome) { answer <- s.verdict("dsatd", name, h, o) },
	})
	stop := context.AfterFunc(ctx, func() { e.end("was killed, because dsatd ends") })
	defer stop()
	if no := <-answer; no != "" {
		return fmt.Errorf("the %s hook says no: %s", name, no)
	}
	return nil
}

// atEnd is what hooks are told of an end.
func (l *life) atEnd() []string {
	e := l.ending
	env := []string{"DSAT_CAUSE=" + oneLine(e.because()), "DSAT_ASKED=" + strconv.FormatBool(e.Asked)}
	switch {
	case e.Signal != 0:
		return append(env, "DSAT_SIGNAL="+strings.TrimPrefix(unix.SignalName(e.Signal), "SIG"))
	case e.Unknown:
		return env
	}
	return append(env, "DSAT_EXIT_CODE="+strconv.Itoa(e.Code))
}

// farewell runs the hooks of an end one after the other, and then what follows.
func (s *Supervisor) farewell(l *life, kinds []topology.HookKind, then func()) {
	for len(kinds) > 0 && l.spec.Hooks[kinds[0]] == nil {
		kinds = kinds[1:]
	}
	if len(kinds) == 0 {
		then()
		return
	}
	s.hook(l, kinds[0], l.atEnd(), func(string) { s.farewell(l, kinds[1:], then) })
}

// lastHooks are those of a life of which nothing is left.
func (l *life) lastHooks() []topology.HookKind {
	if l.ending.Asked {
		return []topology.HookKind{topology.AfterReap, topology.AfterStop}
	}
	return []topology.HookKind{topology.AfterReap}
}
