package supervisor

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// instance is one slot of a satellite. Whoever wants something of it posts an event, which never blocks. The first event of a
// batch starts the owner, a goroutine that handles all there is and ends: at most one at a time, none while idle.
type instance struct {
	ref   topology.Ref
	spec  *topology.Satellite // what the next life will be; the owner's
	world world
	tell  func(event) // post; a field, because the table refers to actions that set timers

	mu    sync.Mutex
	inbox []event
	busy  bool

	// What follows belongs to the owner.
	want      Want
	state     State
	since     time.Time
	why       string
	life      *life // the newest; nil before the first
	spawns    uint32
	restarts  int
	unasked   bool // the next spawn is a restart nobody asked for
	free      bool // the next spawn does not count for the limit of starts
	recycles  int
	parting   string // why it was stopped, where there is more to say than that it was
	leaving   bool   // it was stopped because there is no place for it any more
	hopeless  bool   // waits for one that will not become ready by itself
	draining  bool
	toldAt    time.Time // when its stop began, after the drain
	rung      int       // of the signals of the stop that were sent, or replaced by the command
	signalled bool      // since toldAt
	opened    bool      // before_start has had its word since the last start
	greeted   bool      // so has after_start
	hist      history
	lastExit  string
	success   bool
	timer     *time.Timer
	timerSeq  uint64
	due       time.Time // of the timer; zero: none
	waiters   []waiter
	drowse    drowse

	status  atomic.Pointer[InstanceStatus]
	hooking atomic.Pointer[hooking] // nil: waits for none
	book    *logs.Book
}

// world is everything an instance needs from outside; tests fake it. No method blocks for long, and each answers by posting.
type world interface {
	now() time.Time
	roll() float64                                         // in [0, 1), spreads back-off
	incarnation(spawn uint32) topology.Incarnation         //
	ask(i *instance) (why string, hopeless bool)           // the gate of needs and after; evGo says: ask again
	phase(i *instance, p phase)                            //
	abandon(l *life)                                       // cancelled, with what comes before its fork
	greet(l *life, kind topology.HookKind) (cancel func()) // a hook -> evHooked; nil: has none
	spawn(l *life)                                         // -> evSpawned, or evExit with Err
	probe(l *life) (cancel func())                         // -> evReady or, after the deadline, evUnready
	examine(l *life) (cancel func())                       // its checks -> evSick, evWell
	drain(l *life, within time.Duration) (cancel func())   // -> evDrained; nil: has nothing to drain
	command(l *life, within time.Duration) (cancel func()) // its stop command -> evTold, before evSwept
	signal(l *life, sig syscall.Signal, group bool)        // to the process, or all of its group
	succeed(l *life, h *heir)                              // another process is the main one
	kill(l *life)                                          // SIGKILL to all of it, also later to what is left
	bury(l *life, e Exit)                                  // after evExit: tell everyone, read the last output, look for leftovers -> evSwept
	changed(i *instance, from State, s *InstanceStatus)    // a state was left
	listen(i *instance, seq uint64) (on string, err error) // to sockets that start it -> evDemand; "": there is none
	deafen(i *instance)                                    // no more of that
	idle(i *instance)                                      // it has been deafened for good
	upkeep
	run(f func()) bool
}

func newInstance(ref topology.Ref, spec *topology.Satellite, w world) *instance {
	i := &instance{ref: ref, spec: spec, world: w, since: w.now(), why: "not started yet"}
	i.tell = i.post
	i.publish()
	return i
}

// post hands over an event. It never blocks; after the world has ended it does nothing.
func (i *instance) post(e event) {
	i.mu.Lock()
	i.inbox = append(i.inbox, e)
	start := !i.busy
	i.busy = true
	i.mu.Unlock()
	if start && !i.world.run(i.turn) {
		i.mu.Lock()
		i.inbox, i.busy = nil, false
		i.mu.Unlock()
	}
}

// turn is the owner: it handles events until there are none.
func (i *instance) turn() {
	for {
		i.mu.Lock()
		batch := i.inbox
		i.inbox = nil
		if len(batch) == 0 {
			i.busy = false
			i.mu.Unlock()
			return
		}
		i.mu.Unlock()
		for _, e := range batch {
			i.step(e)
		}
	}
}

// step is one event. Stale ones end here, so that actions need not look.
func (i *instance) step(e event) {
	if e.inc != 0 && i.life != nil && i.life.inc == e.inc {
		e.life = i.life
	} else if e.inc != 0 {
		return
	}
	if e.life != nil && e.life != i.life || e.kind == evTimer && e.seq != i.timerSeq {
		return
	}
	if e.pid != 0 && e.pid != i.life.mainPID() {
		return // the end of one that was the main process
	}
	if e.wait != nil && e.wait.live != nil && !e.wait.live() {
		return
	}
	if l := i.life; e.life != nil {
		switch e.kind {
		case evSpawned:
			l.spawned = true
		case evExit:
			l.hungry(&e.exit)
			i.exited(l, e.exit)
		case evSwept:
			l.swept = true
		case evReady:
			if e.inc != 0 && l.spec.Ready.Kind != topology.ReadyHello {
				return // it is not asked to say HELLO
			}
			l.hello = true
		}
	}
	if e.kind == evStop || e.kind == evKill {
		i.parting, i.leaving = e.cause, e.leaving
	}
	if act := table[i.state][e.kind]; act != nil {
		act(i, e)
	}
	if e.wait != nil {
		if by := e.wait.by; by != "" {
			i.waiters = slices.DeleteFunc(i.waiters, func(w waiter) bool { return w.by == by })
		}
		w := *e.wait
		w.restarts = i.restarts
		i.waiters = append(i.waiters, w)
	}
	i.publish()
	i.answer()
}

// exited notes the end of the process itself; what it left behind is looked for by bury.
func (i *instance) exited(l *life, e Exit) {
	l.exited = true
	if e.Err != nil {
		l.swept = true
	}
	l.quit()
	if l.unwatch != nil {
		l.unwatch()
		l.unwatch = nil
	}
	if !l.started.IsZero() {
		e.Uptime = i.world.now().Sub(l.started)
	}
	e.Asked = i.state == Stopping && !l.judged
	if e.Asked {
		e.Motive = l.motive
	}
	if e.Cause = l.cause; e.Err == nil || !l.cancelled.Load() {
		i.lastExit = e.because()
	}
	if i.state != Stopping || l.judged {
		l.hard.Store(true)
	}
	l.exit = e
	l.unguard()
	i.world.bury(l, e)
}

// enter changes the state.
func (i *instance) enter(s State, why string) {
	i.why = why
	if s == i.state {
		return
	}
	from := i.state
	i.state, i.since = s, i.world.now()
	i.publish()
	i.world.changed(i, from, i.status.Load())
}

// publish stores a snapshot for readers and tells the gate.
func (i *instance) publish() {
	s := &InstanceStatus{
		Ref: i.ref, Want: i.want, State: i.state, Restarts: i.restarts, Since: i.since, Why: i.why,
		LastExit: i.lastExit, Success: i.success, Due: i.due, Recycles: i.recycles, Asleep: i.drowse.on != "",
	}
	if l := i.life; l != nil {
		s.Inc = l.inc
		if l.spawned && !l.exited {
			s.PID, s.Started = l.mainPID(), l.started
		}
		s.Said, s.Reloading = l.word.status, l.word.reloading && i.state == Running
		if i.state == Running {
			s.Health, s.Unready = l.found.health(len(i.spec.Health)), l.found.unready()
		}
	}
	if old := i.status.Load(); old == nil || *old != *s {
		i.status.Store(s)
	}
	i.world.phase(i, i.phase())
}

func (i *instance) phase() phase {
	if i.drowse.on != "" {
		return phaseHealthy // who needs it can connect
	}
	switch i.state {
	case Running:
		switch s := i.status.Load(); {
		case s.Unready:
			return phaseUnready
		case s.Health == Checking || s.Health == Unhealthy:
			return phaseReady
		}
		return phaseHealthy
	case Starting:
		if l := i.life; l != nil && l.spawned && !l.exited {
			return phaseSpawned
		}
		if i.hopeless {
			return phaseBlocked
		}
		return phasePending
	case Stopping:
		if i.want == Up {
			return phasePending
		}
	case Backoff:
		return phaseFailing
	case Exited:
		if i.success {
			return phaseDone
		}
		return phaseFailed
	case Fatal:
		return phaseFailed
	}
	return phaseDown
}

// arm sets the one timer; an earlier one is forgotten.
func (i *instance) arm(d time.Duration) {
	i.disarm()
	seq := i.timerSeq
	i.due = i.world.now().Add(d)
	i.timer = time.AfterFunc(d, func() { i.tell(event{kind: evTimer, seq: seq}) })
}

func (i *instance) disarm() {
	i.timerSeq++
	i.due = time.Time{}
	if i.timer != nil {
		i.timer.Stop()
		i.timer = nil
	}
}
