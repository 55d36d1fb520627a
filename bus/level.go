package bus

import "slices"

// levelBits is how far the level is to the left of the codec, on disk.
const levelBits = 8

// Priorities: a queue with levels has a line for each, the highest goes first, and within one it is first come, first served. That is
// strict, as in other brokers: while high ones come without end, low ones wait. A queue without levels has one line and pays
// nothing; what messages say of their priority goes unheard there.

// levels gives a step the lines its topology asks for. Those who wait keep their order within a level.
func (t *tracker) levels(s *step) {
	n := s.sat.Queue.Priority
	if s.keySpec() != "" {
		n = 0 // keys have an order of their own
	}
	if n == len(s.above) {
		return
	}
	var all []int32
	for _, q := range s.lines() {
		for q != &s.suspect && q != &s.bound && q.count > 0 {
			all = append(all, q.popFront(&t.hops))
		}
	}
	s.above, s.all = newLevels(n), nil
	for _, i := range all {
		s.lineOf(t.hops.at(i)).pushBack(&t.hops, i)
	}
}

func newLevels(n int) []*fifo {
	var above []*fifo
	for range n {
		q := newFIFO()
		above = append(above, &q)
	}
	return above
}

// lineOf is where a hop waits that is no suspect.
func (s *step) lineOf(h *hop) *fifo {
	if s.above == nil || h.level == 0 {
		return &s.waiting
	}
	return s.above[min(int(h.level), len(s.above))-1]
}

// top is the line that is next: the highest that is not empty; that of level 0 when all are.
func (s *step) top() *fifo {
	for _, q := range slices.Backward(s.above) {
		if q.count > 0 {
			return q
		}
	}
	return &s.waiting
}

// bottom is the lowest line that is not empty.
func (s *step) bottom() *fifo {
	if s.waiting.count > 0 || s.above == nil {
		return &s.waiting
	}
	for _, q := range s.above {
		if q.count > 0 {
			return q
		}
	}
	return &s.waiting
}

// calm is how many hops wait that are no suspects.
func (s *step) calm() int {
	n := s.waiting.count
	for _, q := range s.above {
		n += q.count
	}
	return n
}

// lines is all that wait, in the order of dispatch, suspects last.
func (s *step) lines() []*fifo {
	if s.all == nil {
		for _, q := range slices.Backward(s.above) {
			s.all = append(s.all, q)
		}
		s.all = append(s.all, &s.waiting, &s.suspect, &s.bound)
	}
	return s.all
}
