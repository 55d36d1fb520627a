package bus

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dsat/dsat/topology"
)

// guard bounds the work of a step beyond the credit of its workers: breaker, rate, concurrency. A step where nothing of it is
// configured has none, and pays one branch.
type guard struct {
	breaker  *breaker // nil: none
	rate     bucket
	limit    int   // most in hand of all workers; 0: none
	fallback *step // where messages go while the breaker is open
	wake     int64 // when more may be given to those who wait; 0: time changes nothing
	died     int64 // when a process of it died last, if none has come since; 0: one has, or it was asked to end
}

// protect gives a step the guard its topology asks for; what a breaker has seen stays where its rule is the same.
func (s *step) protect() {
	was := s.guard
	s.rewindow()
	s.budget = keepBudget(s.budget, newBudget(s.sat.Work.Budget))
	s.guard = nil
	b, rate, limit := s.sat.Breaker, s.sat.Work.Rate, s.sat.Work.Concurrency
	broken := b.Then != topology.BreakerOff && b.Then != ""
	if !broken && rate.N == 0 && limit == 0 {
		return
	}
	g := &guard{rate: newBucket(rate, s.sat.Work.Burst), limit: limit}
	if was != nil {
		g.died = was.died
	}
	if was != nil && was.rate.every == g.rate.every {
		g.rate.full = was.rate.full
	}
	if broken {
		g.breaker = &breaker{rule: b}
		if was != nil && was.breaker != nil {
			seen := *was.breaker
			seen.rule = b
			if was.breaker.rule.Window != b.Window {
				seen.slots = [breakerSlots]tally{}
			}
			g.breaker = &seen
		}
	}
	s.guard = g
}

// keepBudget is the new budget of a step with what the old one has saved and spent.
func keepBudget(was, is budget) budget {
	is.saved, is.firsts, is.counted, is.dry = was.saved, was.firsts, was.counted, was.dry
	if was.beside.every == is.beside.every {
		is.beside.full = was.beside.full
	}
	return is
}

// trying reports whether the step is on trial: suspects are the last that should be judged by.
func (g *guard) trying() bool { return g.breaker != nil && g.breaker.state == halfOpen }

// allowance is how many hops may be given to the workers of s now.
func (t *tracker) allowance(now int64, s *step) int {
	g := s.guard
	n := g.rate.available(now)
	if g.limit > 0 {
		n = min(n, g.limit-s.inHand())
	}
	if b := g.breaker; b != nil {
		if may := b.admits(); may < math.MaxInt {
			n = min(n, may-s.trials(b.first))
		}
	}
	return max(n, 0)
}

// trials is how many dispatches from first on are in hand.
func (s *step) trials(first uint64) int {
	n := 0
	for _, w := range s.workers {
		for pos := w.hand.find(first); pos < w.hand.end; pos++ {
			if w.hand.at(pos).slot != none {
				n++
			}
		}
	}
	return n
}

// look brings the guard of s up to date, and lets messages go elsewhere while its breaker is open.
func (t *tracker) look(now int64, s *step) {
	b := s.guard.breaker
	if b == nil || b.state == closed {
		return
	}
	b.look(now, t.n+1)
	if b.rule.Then == topology.BreakerHold || t.frozen || s.calm() == 0 {
		return
	}
	stay := max(b.admits()-s.trials(b.first), 0) // half open: who is tried next
	if len(s.workers) == 0 {
		stay = 0 // by nobody
	}
	var first []int32
	for s.calm() > 0 && len(first) < stay {
		first = append(first, s.top().popFront(&t.hops))
	}
	for s.calm() > 0 && t.turnAside(now, s, s.top()) {
		t.unblocked = true
	}
	for _, i := range slices.Backward(first) {
		s.lineOf(t.hops.at(i)).pushFront(&t.hops, i)
	}
}

// turnAside ends the head of the queue as the breaker's rule says and reports whether it could.
func (t *tracker) turnAside(now int64, s *step, q *fifo) bool {
	b, to := s.guard.breaker, s.guard.fallback
	reason := "the breaker of " + s.name + " is open: " + b.why
	if t.outlived(now, s, t.hops.at(q.head)) {
		t.finish(now, q.popFront(&t.hops), expired, outlived)
		return true
	}
	if h := t.hops.at(q.head); s.spill != nil && h.body.away > 0 && b.rule.Then != topology.BreakerFail {
		t.fetchAhead(s, true)
		return false
	}
	switch b.rule.Then {
	case topology.BreakerQuarantine:
		t.setAside(now, q.popFront(&t.hops), reason)
	case topology.BreakerFail:
		t.finish(now, q.popFront(&t.hops), dropped, reason)
	case topology.BreakerFallback:
		if to == nil || to.blocked() {
			return false
		}
		t.divert(now, q.popFront(&t.hops), to, reason)
	default:
		return false
	}
	return true
}

// divert ends a hop and admits its message to another step, as part of the same task.
func (t *tracker) divert(now int64, i int32, to *step, reason string) {
	h := t.hops.at(i)
	m := message{codec: h.codec, hops: h.hops + 1, from: h.from, level: h.level, body: h.body}
	t.admit(now, to, h.tslot, m)
	t.finish(now, i, diverted, reason)
}

// waits finds when time lets s be given more, after a dispatch that left left of its allowance.
func (t *tracker) waits(s *step, left int) {
	g := s.guard
	g.wake = 0
	if s.queued() == 0 || left > 0 {
		return
	}
	if b := g.breaker; b != nil && b.state == open {
		g.wake = b.until
		return
	}
	if g.rate.every > 0 && (g.limit == 0 || s.inHand() < g.limit) {
		g.wake = g.rate.next()
	}
}

// succeeded tells the guard of a dispatch that was done.
func (t *tracker) succeeded(now int64, s *step, n uint64) {
	if b := s.guard.breaker; b != nil {
		was := b.state
		if b.success(now, n); was != b.state {
			t.sink.note(s, "its breaker is closed: as many trials as it asks for were done")
		}
	}
}

// suffered tells the guard of a dispatch that failed; n math.MaxUint64 is a process that died.
func (t *tracker) suffered(now int64, s *step, n uint64) {
	if s.guard == nil || s.guard.breaker == nil {
		return
	}
	if n == math.MaxUint64 {
		s.guard.died = max(now, 1)
	}
	if s.guard.breaker.failure(now, n) {
		t.opened(now, s)
	}
}

func (t *tracker) opened(now int64, s *step) {
	b := s.guard.breaker
	s.dirty = true
	t.sink.note(s, fmt.Sprintf("its breaker is open for %v: %s", b.left(now).Round(time.Millisecond), b.why))
}

// enlist adds a worker to a step.
func (s *step) enlist(w *worker) {
	s.workers = append(s.workers, w)
	s.dirty = true
	if s.guard != nil {
		s.guard.died = 0
	}
}

// missed is when the breaker of a step opens for want of a worker: its process died, and none has come for as long as a breaker is open;
// 0: never.
func (s *step) missed() int64 {
	g := s.guard
	if g.breaker == nil || g.breaker.state != closed || g.died == 0 || len(s.workers) > 0 {
		return 0
	}
	return g.died + int64(g.breaker.rule.Open)
}

// watch does for a guard what is due.
func (t *tracker) watch(now int64, s *step) {
	g := s.guard
	if g.wake > 0 && g.wake <= now {
		g.wake, s.dirty = 0, true
	}
	if at := s.missed(); at > 0 && at <= now {
		g.died = 0
		g.breaker.trip(now, "its process died, and no other has come")
		t.opened(now, s)
	}
}
