package bus

import (
	"cmp"
	"math"
	"slices"
)

// What comes back from disk is put in the order in which it came. Messages have numbers in that order, and the times of records are a
// little later than what they tell of, so that the numbers are right where both disagree. Those that were delayed are the exception:
// they came when their time did.

// arrivals sorts what a journal has told by the time of arrival, which it makes agree with the numbers.
func arrivals(list []*recalled) {
	slices.SortFunc(list, func(a, b *recalled) int { return cmp.Compare(a.id, b.id) })
	next := int64(math.MaxInt64)
	for _, h := range slices.Backward(list) {
		if !h.late {
			h.admitted = min(h.admitted, next)
			next = h.admitted
		}
	}
	slices.SortFunc(list, func(a, b *recalled) int { return cmp.Or(cmp.Compare(a.admitted, b.admitted), cmp.Compare(a.id, b.id)) })
}

// earlyKey is the key of a hop that is not in its line yet; has: it has one.
type earlyKey struct {
	key uint64
	has bool
}

// tellEarly finds the key of a held hop while its payload is in memory.
func (t *tracker) tellEarly(s *step, i int32) {
	if s.keys == nil {
		return
	}
	key, has := t.keyOf(s, i)
	if s.keys.early == nil {
		s.keys.early = map[int32]earlyKey{}
	}
	s.keys.early[i] = earlyKey{key, has}
}

// order is the ids of those that wait in the lines of a step, for the daemon after this one: it has a part of them from here and a part
// from disk.
func (p *keeper) order(s *step) (ids []uint64) {
	if s.spill == nil || p.t.scribed(s) == 0 {
		return nil
	}
	for _, q := range s.lines() {
		if q == &s.bound {
			continue
		}
		for i := q.head; i != none; i = p.t.hops.at(i).next {
			ids = append(ids, p.t.hops.at(i).id)
		}
	}
	if s.keys != nil {
		for _, i := range s.keys.standing(&p.t.hops) {
			ids = append(ids, p.t.hops.at(i).id)
		}
	}
	return ids
}

// arrange puts a line into the order that a daemon before this one has told.
func (t *tracker) arrange(s *step, q *fifo) {
	ids := t.order[s]
	if len(ids) == 0 {
		return
	}
	at := make(map[uint64]int, len(ids))
	for n, id := range ids {
		at[id] = n
	}
	place := func(i int32) int {
		if n, known := at[t.hops.at(i).id]; known {
			return n
		}
		return len(ids)
	}
	list := q.all(&t.hops)
	slices.SortStableFunc(list, func(a, b int32) int { return cmp.Compare(place(a), place(b)) })
	*q = newFIFO()
	for _, i := range list {
		q.pushBack(&t.hops, i)
	}
}

// standing is all that stand in line, by admission. Of one key they are in the order in which they stand, whatever the times say.
func (k *keyring) standing(hops *slab) []int32 {
	type one struct {
		slot int32
		at   int64
		id   uint64
	}
	all := make([]one, 0, k.count)
	for _, l := range k.lines {
		var last one
		for i := l.queue.head; i != none; i = hops.at(i).next {
			next := one{i, hops.at(i).admitted, hops.at(i).id}
			if last.id != 0 && cmp.Or(cmp.Compare(next.at, last.at), cmp.Compare(next.id, last.id)) < 0 {
				next.at, next.id = last.at, last.id
			}
			all, last = append(all, next), next
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	slots := make([]int32, len(all))
	for n, x := range all {
		slots[n] = x.slot
	}
	return slots
}
