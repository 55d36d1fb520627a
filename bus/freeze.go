package bus

import (
	"context"
	"fmt"
	"strings"
)

// freezing is somebody who waits until nothing is in hand.
type freezing struct{ c chan struct{} }

// Freeze stops the flow so that the state of the bus can be handed over: EMITs and sends are not refused, and wait; nothing is
// dispatched; what is in hand is answered, and its outputs wait in their queues. It returns when nothing is in hand. Sessions
// go on meanwhile. An error is an *Error, and the bus goes on as before: KindTimeout when ctx ended first, and who still had
// what; KindConflict when it is frozen already.
func (b *Bus) Freeze(ctx context.Context) error {
	f := &freezing{make(chan struct{})}
	_, err := ask(ctx, b, func(o *orchester) (struct{}, error) {
		if o.t.frozen {
			return struct{}{}, &Error{KindConflict, "cannot freeze the bus: it is frozen already"}
		}
		o.freeze(f)
		return struct{}{}, nil
	})
	if err == nil {
		select {
		case <-f.c:
			return nil
		case <-b.done:
			return errClosed
		case <-ctx.Done():
		}
	}
	b.mail.post(func(o *orchester) {
		if o.freezing == f {
			o.thaw()
		}
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	why := context.Cause(ctx)
	busy, cancel := context.WithTimeout(context.WithoutCancel(ctx), loopPatience)
	defer cancel()
	who, _ := ask(busy, b, func(o *orchester) ([]string, error) { return o.busy(), nil })
	if err != nil && len(who) == 0 { // it may have been frozen when ctx ended, before that could be told
		return err
	}
	return &Error{KindTimeout, fmt.Sprintf("cannot freeze the bus: not all that is in hand was answered (%s): %v", strings.Join(who, ", "), why)}
}

// freeze dispatches nothing more, and lets in what those have still to say who have something in hand.
func (o *orchester) freeze(f *freezing) {
	o.t.frozen, o.freezing = true, f
	o.t.unblocked = o.t.unblocked || len(o.gated) > 0
}

// Thaw lets a frozen bus go on. It does nothing to one that is not.
func (b *Bus) Thaw() { b.mail.post(func(o *orchester) { o.thaw() }) }

func (o *orchester) thaw() {
	o.freezing = nil
	if !o.t.frozen {
		return
	}
	o.t.frozen, o.t.unblocked = false, true
	for _, s := range o.t.steps {
		s.dirty = true
	}
}

// checkFrozen tells who waits for it that nothing is in hand.
func (o *orchester) checkFrozen() {
	if f := o.freezing; f != nil && !f.told() && len(o.busy()) == 0 && !o.t.unwritten() {
		close(f.c)
	}
}

func (f *freezing) told() bool {
	select {
	case <-f.c:
		return true
	default:
		return false
	}
}

// busy says who has how much in hand.
func (t *tracker) busy() []string {
	var who []string
	for _, s := range t.steps {
		for _, w := range s.workers {
			if w.hand.live > 0 {
				who = append(who, fmt.Sprintf("%s has %d", w.name, w.hand.live))
			}
		}
	}
	return who
}

// busy says likewise who is waited for: workers, and the commands that follow tasks.
func (o *orchester) busy() []string {
	who := o.t.busy()
	if n := o.hooks.commands; n > 0 {
		who = append(who, fmt.Sprintf("%d commands of on_done and on_failed run or wait", n))
	}
	return who
}

// errFrozen refuses what would change a bus that is about to be handed over.
func errFrozen(what string) *Error {
	return &Error{KindUnavailable, "cannot " + what + ": the daemon is about to be replaced; try again in a moment"}
}
