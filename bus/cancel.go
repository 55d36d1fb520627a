package bus

import (
	"context"
	"fmt"
	"slices"
)

// CancelTask ends a task: its hops that wait or are held end as cancelled at once, and so do those in hand, whose workers are
// told; what they answer is ignored. It returns how many hops it ended. Errors are *Error: KindNotFound for a task that was never
// seen or is forgotten, KindConflict for one that has ended, KindUnavailable while the bus is frozen.
func (b *Bus) CancelTask(ctx context.Context, id string) (int, error) {
	n, err := parseID(id)
	if err != nil {
		return 0, err
	}
	return ask(ctx, b, func(o *orchester) (int, error) {
		if o.t.frozen {
			return 0, errFrozen("cancel task " + id)
		}
		if hops := o.t.cancelTask(o.now, n); hops > 0 {
			return hops, nil
		}
		if _, known := o.t.findTask(o.now, n); known {
			return 0, &Error{KindConflict, fmt.Sprintf("cannot cancel task %s: it has ended", id)}
		}
		return 0, notFoundTask(id)
	})
}

func notFoundTask(id string) error {
	return &Error{KindNotFound, fmt.Sprintf("cannot find task %s: never seen, or ended too long ago to be remembered", id)}
}

// cancelTask ends all open hops of a task and returns their number.
func (t *tracker) cancelTask(now int64, id uint64) int {
	const reason = "cancelled on request"
	n := 0
	of := func(i int32) bool { return t.hops.at(i).task == id }
	for _, s := range t.steps {
		for _, i := range t.pick(s, of) {
			t.finish(now, i, cancelled, reason)
			n++
		}
	}
	t.unblocked = t.unblocked || n > 0
	return n
}

// pick takes the hops that are meant out of a step: out of its queue, from those that are held, and out of the hands of its workers,
// who are told.
func (t *tracker) pick(s *step, of func(int32) bool) []int32 {
	var picked []int32
	for _, q := range s.lines() {
		picked = append(picked, t.sift(q, of)...)
	}
	if s.keys != nil {
		picked = append(picked, t.pickLined(s.keys, of)...)
	}
	for _, list := range []*heap{&s.held, &s.later} {
		picked = append(picked, t.unhold(s, list, of)...)
	}
	t.eachEntering(func(i int32) {
		if t.hops.step(i) == s.index && of(i) {
			picked = append(picked, i)
		}
	})
	for _, w := range s.workers {
		for pos := w.hand.first; pos < w.hand.end; pos++ {
			d := *w.hand.at(pos)
			if d.slot == none || !of(d.slot) {
				continue
			}
			w.hand.take(pos)
			w.cost -= d.cost
			w.alone = w.alone && w.hand.live > 0
			s.dirty = true
			t.touch(w)
			t.sink.cancel(w, d.n)
			picked = append(picked, d.slot)
		}
	}
	return picked
}

// unhold takes out of those that are held what is meant.
func (t *tracker) unhold(s *step, from *heap, meant func(int32) bool) (picked []int32) {
	if !slices.ContainsFunc(*from, func(r retry) bool { return meant(r.slot) }) {
		return nil
	}
	list := *from
	*from = make(heap, 0, len(list))
	for _, r := range list {
		if meant(r.slot) {
			picked = append(picked, r.slot)
			s.holding -= size(t.hops.at(r.slot))
		} else {
			from.push(r.due, r.slot)
		}
	}
	return picked
}

// sift takes out of a queue what is meant; the others keep their order.
func (t *tracker) sift(q *fifo, meant func(int32) bool) []int32 {
	var picked []int32
	rest := newFIFO()
	for q.count > 0 {
		if i := q.popFront(&t.hops); meant(i) {
			picked = append(picked, i)
		} else {
			rest.pushBack(&t.hops, i)
		}
	}
	*q = rest
	return picked
}
