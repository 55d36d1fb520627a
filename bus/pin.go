package bus

import "github.com/dsat/dsat/bus/wire"

// A pinned hop goes to one worker and to no other: it belongs to a session that its sender has with that instance. It waits in a line of
// its own, past which others go, and ends when its worker does.

// pin is where a hop has to go.
type pin struct {
	worker *worker
	name   string // of the session
}

// bind lets a new hop wait for its worker.
func (t *tracker) bind(s *step, i int32, p *pin) {
	if s.pins == nil {
		s.pins = map[int32]*pin{}
	}
	s.pins[i] = p
	s.bound.pushBack(&t.hops, i)
	s.dirty = true
}

// dealBound gives the pinned hops of s to their workers, as far as the credit of each goes, at most so many, and returns how many it gave.
func (t *tracker) dealBound(now int64, s *step, most int) (given int) {
	rest := newFIFO()
	for s.bound.count > 0 {
		i := s.bound.head
		h := t.hops.at(i)
		if t.outlived(now, s, h) {
			t.finish(now, s.bound.popFront(&t.hops), expired, outlived)
			continue
		}
		if t.limited > 0 {
			t.judge(now, h.tslot)
		}
		if t.lapsed.some() && t.let(now, &s.bound, h) {
			continue
		}
		s.bound.popFront(&t.hops)
		p := s.pins[i]
		if given == most || !p.worker.takes(h) {
			rest.pushBack(&t.hops, i)
			continue
		}
		t.sink.topic(p.worker, t.n+1, p.name)
		t.give(now, p.worker, i, h)
		given++
	}
	s.bound = rest
	return given
}

// takes reports whether a worker has credit for a hop that is for it alone.
func (w *worker) takes(h *hop) bool {
	return w.open && !w.alone && w.hand.live < w.messages && (w.hand.live == 0 || w.cost+wire.RecordSize(len(h.body.data)) <= w.bytes)
}

// unpin ends all hops that are pinned to a worker which is gone, wherever they wait, and takes them from its hand.
func (t *tracker) unpin(now int64, w *worker, why string) {
	s := w.step
	if len(s.pins) == 0 {
		return
	}
	for _, i := range t.pick(s, func(i int32) bool { p := s.pins[i]; return p != nil && p.worker == w }) {
		t.finish(now, i, cancelled, why)
	}
	t.unblocked = true
}
