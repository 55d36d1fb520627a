package bus

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/topology"
)

// legacyLife is one process that speaks v1.
type legacyLife struct {
	of       *elder
	inst     *instance
	pid      string
	born     int64
	flights  []*flight // acknowledged by it and not ended, in order
	idle     int64     // since when it has none
	heard    int64
	spoke    bool
	furthest uint64 // place of the last it acknowledged
	last     string // key of the last it ended
	survivor bool   // of the death that is in doubt: something from before it may be in its pipe
	left     int    // messages until it is worn; 0: it is not counted
	worth    int    // how many it was given
}

func (l *legacyLife) take(f *flight) {
	f.life = l
	l.flights = append(l.flights, f)
	l.spoke = true
	l.furthest = max(l.furthest, f.place)
}

func (l *legacyLife) let(f *flight, now int64) {
	if l.left > 0 {
		if l.left--; l.left == 0 {
			l.of.legacy.o.tellWorn(l.inst.ref, l.inst.inc, fmt.Sprintf("it has handled %d messages", l.worth))
		}
	}
	if l.flights = without(l.flights, f); len(l.flights) == 0 {
		l.idle = now
	}
}

// handling is what it is at, or nil.
func (l *legacyLife) handling() *flight {
	for _, f := range l.flights {
		if !f.happy {
			return f
		}
	}
	return nil
}

// life is the process that made a report: by its number, by that of its instance, or because there is only one.
func (e *elder) life(v *v1.Vector) *legacyLife {
	if l := e.legacy.lives[string(v.PID)]; l != nil && l.of == e {
		return l
	}
	if wid, err := strconv.Atoi(string(v.WID)); err == nil {
		for _, l := range e.lives {
			if l.inst.ref.WID == wid {
				return l
			}
		}
	}
	if len(e.lives) == 1 {
		return e.lives[0]
	}
	return nil
}

// spawned: a process that speaks v1 runs.
func (l *legacy) spawned(i *instance, pid int) {
	e := l.enrol(i.step)
	life := &legacyLife{of: e, inst: i, pid: strconv.Itoa(pid), born: l.o.now, idle: l.o.now, heard: l.o.now}
	i.life = life
	i.peer = newPeer(l.carrierOf(), l.o.bus.pool)
	i.peer.bound, i.peer.ref, i.peer.inc = true, i.ref, i.inc
	l.lives[life.pid] = life
	l.bySat[i.ref] = life
	e.lives = append(e.lives, life)
	if r := i.sat.Recycle; r.Messages > 0 {
		life.worth = max(1, int(float64(r.Messages)*(1+r.Jitter*(2*l.o.t.rand.Float64()-1))))
		life.left = life.worth
	}
	e.refresh()
}

func (l *legacy) carrierOf() carrier {
	if l.carrier == nil {
		return nowhere{}
	}
	return l.carrier
}

// nowhere is the carrier of those that have none.
type nowhere struct{}

func (nowhere) flush(*peer)  {}
func (nowhere) finish(*peer) {}
func (nowhere) drop(*peer)   {}

// dying: a process was reaped. What it has still said is on its way; nothing more is sent meanwhile.
func (l *legacy) dying(life *legacyLife) {
	e := life.of
	e.quiet = l.o.now + deadQuiet
	for _, other := range e.lives {
		other.survivor = other.survivor || other != life && !other.inst.gone
	}
	e.refresh()
}

// gone: all that a dead process has said is read. What it was at goes back to the queue.
func (l *legacy) gone(life *legacyLife) {
	e, i := life.of, life.inst
	if l.lives[life.pid] == life {
		delete(l.lives, life.pid)
	}
	if l.bySat[i.ref] == life {
		delete(l.bySat, i.ref)
	}
	e.lives = slices.DeleteFunc(e.lives, func(x *legacyLife) bool { return x == life })
	back := slices.Clone(life.flights)
	if !i.draining && e.out != nil {
		l.o.t.suffered(l.o.now, e.step, math.MaxUint64)
	}
	if n := len(back); n == 1 {
		l.o.tellEvent(i.ref.Name, i.ref, i.inc, "the message it had in hand goes back to the queue: "+i.cause)
	} else if n > 1 {
		l.o.tellEvent(i.ref.Name, i.ref, i.inc, fmt.Sprintf("%d messages it had in hand go back to the queue: %s", n, i.cause))
	}
	for _, f := range slices.Backward(back) {
		e.end(f)
		l.o.t.recall(l.o.now, &e.sess.worker, f.n, !i.draining, i.cause, i.ref.String(), i.last)
	}
	e.refresh()
}

// refresh settles what the session of the step may be given.
func (e *elder) refresh() {
	if e.out == nil {
		return
	}
	w, open, n := &e.sess.worker, e.quiet == 0 && !e.emptying, 0
	for _, l := range e.lives {
		if !l.inst.gone {
			n++
			open = open && !l.inst.draining
		}
	}
	w.messages, w.bytes = n*e.step.cfg.inHand, max(n, 1)*handBytes
	w.open = open && n > 0 && e.step.index != outside
	e.step.dirty = true
}

// retire ends what concerns a step that does not speak v1 any more.
func (e *elder) retire() {
	e.sess.open = false
	for len(e.flights) > 0 {
		f := e.flights[len(e.flights)-1]
		e.end(f)
		e.legacy.o.t.recall(e.legacy.o.now, &e.sess.worker, f.n, false, "", "", nil)
	}
	e.step.remove(&e.sess.worker)
}

// drained reports whether a process has nothing in hand, and nothing on its way to it.
func (l *legacyLife) drained() bool {
	return l.inst.gone || len(l.flights) == 0 && (l.of.out == nil || l.of.unacked() == 0)
}

// tick does what is due and returns when the next thing is; 0: nothing.
func (l *legacy) tick() (due int64) {
	for _, e := range l.steps {
		if e.out != nil {
			due = sooner(due, e.tick(l.o.now))
		}
	}
	return due
}

func (e *elder) tick(now int64) (due int64) {
	if len(e.unfit) > 0 {
		for _, u := range e.unfit {
			e.legacy.o.t.fail(now, &e.sess.worker, u.n, false, u.why)
		}
		e.unfit = e.unfit[:0]
	}
	if e.quiet > 0 {
		if now < e.quiet {
			return e.quiet
		}
		e.quiet = 0
		e.doubtful(now)
	}
	if e.doubt.since > 0 {
		due = e.prove(now)
	}
	for _, f := range slices.Clone(e.flights) {
		due = sooner(due, e.overdue(f, now))
	}
	return sooner(due, e.hung(now))
}

// overdue looks after one flight.
func (e *elder) overdue(f *flight, now int64) (due int64) {
	limit := e.step.cfg.deadline
	switch {
	case f.happy && now >= f.due:
		missing := slices.DeleteFunc(slices.Clone(e.forwards), func(name string) bool {
			return slices.ContainsFunc(f.outs, func(a arrival) bool { return a.to.name == name })
		})
		e.legacy.o.tellEvent(e.step.name, topology.Ref{}, 0, fmt.Sprintf("it said HAPPY_END %v ago, and sent nothing to %v: done without", time.Duration(outputPatience), missing))
		e.done(f)
		return 0
	case f.happy:
		return f.due
	case !f.acked || limit == 0:
		return 0
	case f.since+limit > now:
		return f.since + limit
	}
	f.since = now
	if f.life != nil {
		e.legacy.o.tellFault(f.life.inst.ref, f.life.inst.inc, fmt.Sprintf("no answer for %v on %s", time.Duration(limit), f.key))
		return now + limit
	}
	e.fail(f, fmt.Sprintf("no answer for %v, and nobody knows which process has it", time.Duration(limit)))
	return 0
}

// hung finds processes that take nothing, though something was sent: nobody has said ACK for the deadline of its work, and these have
// nothing in hand.
func (e *elder) hung(now int64) (due int64) {
	limit := e.step.cfg.deadline
	if limit == 0 || len(e.lives) == 0 {
		return 0
	}
	taken := e.out.peer.v1.taken.Load()
	for _, f := range e.flights {
		if f.acked || f.place > taken || e.doubt.since > 0 && f.place <= e.doubt.place {
			continue
		}
		if at := max(f.sent, e.taken) + limit; at > now {
			return at
		}
		e.taken = now
		for _, l := range e.lives {
			if len(l.flights) == 0 && !l.inst.gone {
				e.legacy.o.tellFault(l.inst.ref, l.inst.inc, fmt.Sprintf("it takes nothing: messages were sent, and none acknowledged for %v", time.Duration(limit)))
			}
		}
		return now + limit
	}
	return 0
}

// progress says how many messages it handles, since when the oldest, and since when it reported nothing, in ns.
func (l *legacyLife) progress(now int64) (n int, oldest, silent int64) {
	if len(l.flights) > 0 {
		oldest = now - l.flights[0].sent
	}
	return len(l.flights), oldest, now - l.heard
}

// unfit reports whether something was dispatched that cannot be sent.
func (l *legacy) unfit() bool {
	for _, e := range l.steps {
		if len(e.unfit) > 0 {
			return true
		}
	}
	return false
}

// processes is how many of them a session stands for.
func (w *worker) processes() int {
	if w.sess == nil || w.sess.elder == nil {
		return 1
	}
	return len(w.sess.elder.lives)
}

// whyLegacy is about a step that speaks v1 and is sent nothing, though it has processes.
func whyLegacy(_ *tracker, _ int64, s *step) string {
	for _, w := range s.workers {
		if w.sess == nil || w.sess.elder == nil || w.open {
			continue
		}
		e := w.sess.elder
		for _, l := range e.lives {
			if l.inst.draining && !l.inst.gone {
				return fmt.Sprintf("%v is being stopped, and nobody can say which of its processes a vector would go to", l.inst.ref)
			}
		}
		if e.quiet > 0 || e.emptying {
			return "a process of it has just died: nothing is sent until ZeroMQ knows it too"
		}
	}
	return ""
}
