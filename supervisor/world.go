package supervisor

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// The real world of the instances: Supervisor is one.
var _ world = (*Supervisor)(nil)

const evidence = 10 // last lines of output told with a death

func (s *Supervisor) now() time.Time    { return time.Now() }
func (s *Supervisor) roll() float64     { return rand.Float64() }
func (s *Supervisor) run(f func()) bool { return s.turns.run(s.crew, f) }

func (s *Supervisor) phase(i *instance, p phase) {
	if s.boot.open.Load() {
		s.boot.phase(i.ref, p, s.now())
	}
	s.order.set(i, p)
}

func (s *Supervisor) ask(i *instance) (string, bool) {
	why := s.groups.holds(i)
	hopeless := false
	if why == "" {
		why, hopeless = s.order.ask(i)
	}
	if s.boot.open.Load() {
		var w *BootWait
		if why != "" {
			w = s.order.culprit(i)
		}
		s.boot.held(i.ref, w, s.now())
	}
	return why, hopeless
}

func (s *Supervisor) incarnation(spawn uint32) topology.Incarnation {
	return topology.NewIncarnation(s.epoch, spawn)
}

// drainBus lets what speaks to the bus finish what it has in hand.
func (s *Supervisor) drainBus(l *life, within time.Duration) (cancel func()) {
	if s.bus == nil || within <= 0 || !messages(l.spec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	if !s.crew.run(func() {
		if err := s.bus.Drain(ctx, l.of.ref, l.inc); err != nil && ctx.Err() != context.Canceled {
			s.log.Warn("stopped before all it had in hand was acknowledged", "instance", l.of.ref, "error", err)
		}
		l.of.post(event{kind: evDrained, life: l})
	}) {
		cancel()
		return nil
	}
	return cancel
}

// messages: it speaks to the bus.
func messages(t *topology.Satellite) bool {
	return t.Plugin != "" || t.Speaks != topology.SpeaksNone && t.Speaks != ""
}

// tell sends a signal now.
func (s *Supervisor) tell(l *life, sig syscall.Signal, group bool) {
	s.reach(l, sig, group)
	if p, err := readStat(l.mainPID()); err == nil && p.state == 'T' {
		s.reach(l, unix.SIGCONT, group) // one that stands still would not take note of it
	}
}

func (s *Supervisor) kill(l *life) {
	l.hard.Store(true)
	if !l.exited {
		l.kin = descendants(l.mainPID())
		s.reach(l, unix.SIGKILL, true)
	}
	s.sweeper.nudge()
}

// bury is what follows every exit.
func (s *Supervisor) bury(l *life, e Exit) {
	for _, c := range l.pipes {
		s.output.drain(c)
	}
	forked, cancelled := e.Err == nil, errors.Is(e.Err, errCancelled)
	if !forked {
		s.forgetSecrets(l)
	}
	l.ending = e
	if !cancelled {
		s.mourn(l, e)
	}
	if s.bus != nil && !cancelled && e.refused() == nil {
		s.bus.Gone(l.of.ref, l.inc, e.because(), l.of.book.Last(evidence, l.first))
	}
	switch {
	case forked && l.escort != nil:
		l.escort.then(func() { s.farewell(l, []topology.HookKind{topology.BeforeReap}, func() { s.sweeper.later(l) }) })
		return
	case forked && l.spec.Hooks[topology.BeforeReap] != nil:
		s.hook(l, topology.BeforeReap, l.atEnd(), func(string) { s.sweeper.later(l) })
		return
	case forked:
		s.sweeper.check(l)
		return
	case !cancelled && e.refused() == nil:
		s.record.ended(l.of.ref, l.inc)
	}
	for _, c := range l.pipes { // of a shim, which has left nothing behind
		s.output.close(c)
	}
}

// ended is told by the reaper.
func (l *life) ended(e Exit) {
	l.inlet.exhaust() // it may have named another main process, which lives
	if e, ok := l.passage.pass(e); ok {
		l.tellExit(e)
	}
}

func (l *life) tellExit(e Exit) { l.of.post(event{kind: evExit, life: l, exit: e, pid: l.pid}) }
func (l *life) tellSpawned()    { l.of.post(event{kind: evSpawned, life: l}) }

// swept is told by the sweeper.
func (s *Supervisor) swept(l *life) {
	for _, c := range l.pipes {
		s.output.close(c)
	}
	s.cgroups.leave(l.cgroup)
	s.forgetSecrets(l)
	l.inlet.close()
	s.record.ended(l.of.ref, l.inc)
	s.farewell(l, l.lastHooks(), func() { l.of.post(event{kind: evSwept, life: l}) })
}

func (s *Supervisor) changed(i *instance, from State, now *InstanceStatus) {
	s.table.changed(i, from, now)
	s.resting(i, now.State)
	s.rests(i, now)
	if now.State == Running && now.Inc != 0 && unseen(i.spec.Ready.Kind) {
		s.record.ready(i.ref, now.Inc) // it cannot be seen again
	}
	s.log.Debug("state", "instance", i.ref, "from", from, "to", now.State, "pid", now.PID, "cause", now.Why)
	at := now.Since
	if from == now.State { // its health has changed
		at = s.now()
	}
	if s.event != nil {
		s.event(Event{
			Time: at, Ref: i.ref, Inc: now.Inc, PID: now.PID, From: from, To: now.State, Cause: now.Why,
		})
	}
}

// Hello tells that a process said HELLO to the bus.
func (s *Supervisor) Hello(ref topology.Ref, inc topology.Incarnation) {
	if i := s.find(ref); i != nil {
		i.post(event{kind: evReady, inc: inc})
	}
}

// Fault tells that a process broke the protocol: it is killed, and judged as failed for this cause.
func (s *Supervisor) Fault(ref topology.Ref, inc topology.Incarnation, why string) {
	if i := s.find(ref); i != nil {
		i.post(event{kind: evFault, inc: inc, cause: why})
	}
}

// spawnQueue is what waits for a fork, unbounded, because an owner must not wait.
type spawnQueue struct {
	mu   sync.Mutex
	todo []func()
	open bool // forks may begin
	busy bool // an owner is forking for itself

	frozen  bool // no fork begins
	forking int
	still   chan struct{} // closed when no fork is under way; nil: nobody waits for that

	wake chan struct{}
	sync chan chan struct{}
}

func newSpawnQueue() *spawnQueue {
	return &spawnQueue{wake: make(chan struct{}, spawners), sync: make(chan chan struct{})}
}

// put forks here and now when nobody else waits, which saves a replacement the way over the loop, or else queues.
func (q *spawnQueue) put(fork func()) {
	q.mu.Lock()
	if q.open && !q.busy && !q.frozen && len(q.todo) == 0 {
		q.busy = true
		q.forking++
		q.mu.Unlock()
		fork()
		q.mu.Lock()
		q.busy = false
		q.forked()
		q.mu.Unlock()
		return
	}
	q.todo = append(q.todo, fork)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *spawnQueue) begin() {
	q.mu.Lock()
	q.open = true
	q.mu.Unlock()
}

func (q *spawnQueue) take() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.todo) == 0 || q.frozen {
		return nil
	}
	q.forking++
	fork := q.todo[0]
	q.todo[0] = nil
	q.todo = q.todo[1:]
	return fork
}

func (q *spawnQueue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case answer := <-q.sync:
			close(answer)
		}
		for fork := q.take(); fork != nil && ctx.Err() == nil; fork = q.take() {
			fork()
			q.mu.Lock()
			q.forked()
			q.mu.Unlock()
		}
	}
}
