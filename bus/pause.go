package bus

import (
	"context"
	"fmt"
	"slices"
)

// Pause gives the workers of a step nothing more; what they have in hand they finish, and arrivals wait. A pause lasts until Resume,
// over an upgrade, a change of the topology and a kill of dsatd too; one that ended as asked starts without. Errors are *Error, here and
// below.
func (b *Bus) Pause(ctx context.Context, name string) error {
	return b.restrain(ctx, "pause", name, func(o *orchester, s *step) { s.paused = true })
}

// Resume ends a pause and a drain.
func (b *Bus) Resume(ctx context.Context, name string) error {
	return b.restrain(ctx, "resume", name, func(o *orchester, s *step) {
		s.paused, s.dirty = false, true
		o.t.shutStep(s, false)
	})
}

// DrainQueue lets nothing more into the queue of a step, so that it is worked off: those who fill it wait, as if it were full. What
// workers above have in hand comes in still, for an answer is never refused; who sends from outside is told.
func (b *Bus) DrainQueue(ctx context.Context, name string) error {
	return b.restrain(ctx, "drain", name, func(o *orchester, s *step) { o.t.shutStep(s, true) })
}

// Purge ends what waits for a step and what is held for its retry, as cancelled, and returns its number. What is in hand is left.
func (b *Bus) Purge(ctx context.Context, name string) (int, error) {
	n := 0
	err := b.withStep(ctx, "purge", name, func(o *orchester, s *step) {
		if n = o.t.purge(o.now, s); n > 0 {
			o.note(s, fmt.Sprintf("purged on request: %d messages are cancelled", n))
		}
	})
	return n, err
}

func (b *Bus) withStep(ctx context.Context, verb, name string, do func(*orchester, *step)) error {
	_, err := ask(ctx, b, func(o *orchester) (struct{}, error) {
		s := o.byName[name]
		switch {
		case s == nil && o.bus.topology.Load().Satellite(name) != nil:
			return struct{}{}, &Error{KindInvalid, fmt.Sprintf("cannot %s the queue of %s: it does not speak to the bus", verb, name)}
		case s == nil:
			return struct{}{}, &Error{KindNotFound, fmt.Sprintf("cannot %s the queue of %q: no such satellite", verb, name)}
		case o.t.frozen:
			return struct{}{}, errFrozen(verb + " the queue of " + name)
		}
		do(o, s)
		o.rejoin = true
		return struct{}{}, nil
	})
	return err
}

// shutStep lets nothing into the queue of s, or anything again. Steps above are given no work while it is shut: their outputs
// would have to come in.
func (t *tracker) shutStep(s *step, shut bool) {
	if s.shut == shut {
		return
	}
	s.shut = shut
	regate(t.steps)
	t.unblocked = true
}

const purged = "purged on request"

// purge cancels what waits and what is held.
func (t *tracker) purge(now int64, s *step) int {
	n := 0
	if s.keys != nil {
		for _, i := range t.pickLined(s.keys, func(int32) bool { return true }) {
			t.finish(now, i, cancelled, purged)
			n++
		}
	}
	for _, q := range s.lines() {
		for ; q.count > 0; n++ {
			t.finish(now, q.popFront(&t.hops), cancelled, purged)
		}
	}
	for _, r := range s.allHeld() {
		t.finish(now, r.slot, cancelled, purged)
		n++
	}
	s.held, s.later, s.holding = nil, nil, 0
	t.unblocked = t.unblocked || n > 0
	return n
}

// emptying is somebody who waits until nothing is left of a step.
type emptying struct {
	step *step
	c    chan struct{}
}

// Drained returns nil when nothing waits for a step, is held there or in hand. An error is KindTimeout when ctx ended first.
func (b *Bus) Drained(ctx context.Context, name string) error {
	c := make(chan struct{})
	if err := b.withStep(ctx, "drain", name, func(o *orchester, s *step) { o.emptying = append(o.emptying, emptying{s, c}) }); err != nil {
		return err
	}
	select {
	case <-c:
		return nil
	case <-b.done:
		return errClosed
	case <-ctx.Done():
	}
	b.mail.post(func(o *orchester) {
		o.emptying = slices.DeleteFunc(o.emptying, func(e emptying) bool { return e.c == c })
	})
	return &Error{KindTimeout, fmt.Sprintf("cannot wait longer until the queue of %s is empty: %v", name, context.Cause(ctx))}
}

// checkEmpty tells those who wait for it that a step has nothing left.
func (o *orchester) checkEmpty() {
	o.emptying = slices.DeleteFunc(o.emptying, func(e emptying) bool {
		left := e.step.queued() + e.step.entering + e.step.holds() + e.step.inHand()
		if left == 0 {
			close(e.c)
		}
		return left == 0
	})
}
