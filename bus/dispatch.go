package bus

import (
	"math"

	"github.com/dsat/dsat/bus/wire"
)

// worker is one session that may be given work.
type worker struct {
	step        *step
	name        string // cpu:0
	sess        *session
	concurrency int
	messages    int // in hand at most
	bytes       int
	open        bool // may be given work
	alone       bool // it has a suspect, and nothing else until that is answered
	proven      bool // it has done a message
	hand        hand
	cost        int   // bytes in hand
	due         int64 // when the first running hop is late; 0: never
	last        uint64
	heard       int64 // when it last answered a message or said PROGRESS, ns
	touched     bool  // its running hops have changed since settle
	left        int   // messages until it is worn; 0: it is not counted
	spent       func()
}

// dispatch gives the waiting hops of s to its workers, as far as credit and its guard go.
func (t *tracker) dispatch(now int64, s *step) {
	s.dirty = false
	if s.guard == nil {
		t.deal(now, s, math.MaxInt)
		return
	}
	t.look(now, s)
	may := t.allowance(now, s)
	given := t.deal(now, s, may)
	s.guard.rate.take(now, given)
	t.waits(s, may-given)
}

// deal gives at most so many hops to the workers of s and returns how many it gave.
func (t *tracker) deal(now int64, s *step, most int) int {
	if t.frozen || s.resting || s.paused || s.awaits || most == 0 || s.queued() == 0 || len(s.workers) == 0 || s.gated() {
		return 0
	}
	full := s.full()
	given := 0
	if s.spill != nil {
		t.fetchAhead(s, false)
	}
	if s.bound.count > 0 {
		given = t.dealBound(now, s, most)
	}
	if s.guard == nil || !s.guard.trying() || s.calm() == 0 {
		given += t.dispatchSuspects(now, s, most-given)
	}
	for given < most {
		q := &s.waiting
		if s.above != nil {
			q = s.top()
		}
		if q.count == 0 {
			break
		}
		i := q.head
		h := t.hops.at(i)
		if t.outlived(now, s, h) {
			t.finish(now, q.popFront(&t.hops), expired, outlived)
			continue
		}
		if t.limited > 0 {
			t.judge(now, h.tslot)
		}
		if t.lapsed.some() && t.let(now, q, h) {
			continue
		}
		if s.spill != nil && h.body.away > 0 {
			t.fetchAhead(s, true)
			break
		}
		w := s.pick(h)
		if w == nil {
			break
		}
		q.popFront(&t.hops)
		t.give(now, w, i, h)
		given++
	}
	t.unblocked = t.unblocked || (full && !s.full())
	if s.spill != nil {
		s.spill.ahead -= given
	}
	return given
}

const outlived = "it waited longer than the queue's ttl"

func (t *tracker) outlived(now int64, s *step, h *hop) bool {
	return s.cfg.ttl > 0 && now-h.admitted >= s.cfg.ttl
}

// dispatchSuspects gives each hop that may have killed a process to a worker with nothing else in hand, or half of those that ran together. When there is none, the
// one with the least is kept free for it; the others go on with the queue. It returns how many it gave, at most so many as it may.
func (t *tracker) dispatchSuspects(now int64, s *step, most int) (given int) {
	for s.suspect.count > 0 && given < most {
		i := s.suspect.head
		h := t.hops.at(i)
		if t.outlived(now, s, h) {
			t.finish(now, s.suspect.popFront(&t.hops), expired, outlived)
			continue
		}
		if t.limited > 0 {
			t.judge(now, h.tslot)
		}
		if t.lapsed.some() && t.let(now, &s.suspect, h) {
			continue
		}
		w := s.leastLoaded(int(h.crashes)+1 >= s.cfg.crashes)
		if w == nil {
			return given
		}
		if w.hand.live > 0 {
			s.kept = w
			return given
		}
		given += t.giveParty(now, s, w, most-given)
	}
	if s.suspect.count == 0 {
		s.kept = nil
	}
	return given
}

// giveParty gives the first suspect to a worker that has nothing in hand, and with it those that are to be tried together with it, as
// many as the worker runs at once.
func (t *tracker) giveParty(now int64, s *step, w *worker, most int) (given int) {
	party := min(t.partyOf(s.suspect.head), w.concurrency, w.messages, most)
	for s.suspect.count > 0 && (given == 0 || given < party) {
		i := s.suspect.head
		h := t.hops.at(i)
		if given > 0 && (t.partyOf(i) < 2 || t.outlived(now, s, h) || t.lapsed.some() || w.cost+wire.RecordSize(h.body.size()) > w.bytes) {
			break // the next dispatch sees to it
		}
		s.suspect.popFront(&t.hops)
		t.give(now, w, i, h)
		given++
	}
	return given
}

// partyOf is how many suspects are to be tried together with one, itself included.
func (t *tracker) partyOf(i int32) int {
	if e := t.evidence[i]; e != nil {
		return max(e.party, 1)
	}
	return 1
}

// leastLoaded returns the worker with the least in hand; the one kept free wins among equals. For the last chance of a hop it is one
// that has done a message, if there is any, busy as it may be: a broken worker, which dies on every message, is idle more often
// than others and would make poison of them.
func (s *step) leastLoaded(lastChance bool) *worker {
	var best *worker
	better := func(w *worker) bool {
		switch {
		case best == nil || lastChance && w.proven != best.proven:
			return best == nil || w.proven
		case w.hand.live != best.hand.live:
			return w.hand.live < best.hand.live
		}
		return w == s.kept
	}
	for _, w := range s.workers {
		if w.open && (!w.alone || lastChance) && w.messages > 0 && better(w) {
			best = w
		}
	}
	return best
}

// pick returns the worker with the least in hand that has credit for h, or nil.
func (s *step) pick(h *hop) *worker {
	var best *worker
	for _, w := range s.workers {
		if !w.open || w.alone || w == s.kept || w.hand.live >= w.messages {
			continue
		}
		if w.hand.live > 0 && w.cost+wire.RecordSize(len(h.body.data)) > w.bytes {
			continue
		}
		if best == nil || w.hand.live < best.hand.live {
			best = w
		}
	}
	return best
}

func (t *tracker) give(now int64, w *worker, i int32, h *hop) {
	t.n++
	if h.attempts > 0 {
		w.step.count.redelivered++
	} else {
		w.step.budget.firsts++
	}
	if h.attempts < 1<<16-1 {
		h.attempts++
	}
	t.hops.setState(i, dispatched)
	if w.step.spill != nil {
		w.step.spill.back(t.hops.place(i), h)
	}
	if w.step.disk && t.known(i) {
		t.scroll.gives(h, t.n)
	}
	cost := wire.RecordSize(len(h.body.data))
	d := dispatch{n: t.n, slot: i, sent: now, cost: cost}
	if w.hand.live < w.concurrency {
		d.since, d.beat = now, now
		if at := w.step.lateAt(&d); at > 0 {
			w.due = sooner(w.due, at)
		}
	}
	w.hand.push(d)
	w.cost += cost
	w.alone = h.crashes > 0
	w.last = t.n
	t.sink.deliver(w, h, t.n)
}
