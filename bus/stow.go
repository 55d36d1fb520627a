package bus

import (
	"context"

	"github.com/dsat/dsat/topology"
)

// Stow writes to disk what queues that spill have in memory, so that the next daemon goes on with it, and returns when it is there. It
// is for the end: what comes into them afterwards is written when the bus is closed. An error is an *Error: the journal did not take it
// before ctx ended.
func (b *Bus) Stow(ctx context.Context) error {
	written := make(chan struct{})
	_, err := ask(ctx, b, func(o *orchester) (struct{}, error) {
		o.t.stow(o.now)
		o.t.after(func() { close(written) })
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	select {
	case <-written:
		return nil
	case <-b.done:
		return errClosed
	case <-ctx.Done():
		return &Error{KindTimeout, "cannot bring to disk what queues that spill have in memory: the journal does not take it: " + context.Cause(ctx).Error()}
	}
}

// stow writes the hops that queues which spill have in memory only. Pinned ones end with their workers.
func (t *tracker) stow(now int64) {
	if t.scroll == nil {
		return
	}
	t.eachSpilling(func(s *step, i int32, st state) {
		if !t.known(i) && s.pins[i] == nil {
			t.scroll.forgetBody()
			t.scroll.put(t, now, s, i, t.hops.at(i), st)
			if t.scroll.large() {
				t.scroll.seal(t)
			}
		}
	})
}

// eachSpilling calls f for each hop of the queues that spill.
func (t *tracker) eachSpilling(f func(s *step, i int32, st state)) {
	some := false
	for _, s := range t.steps {
		some = some || s.spill != nil && s.cfg.full == topology.FullSpill
	}
	if !some {
		return
	}
	for n, pg := range t.hops.pages {
		for k, st := range pg.states {
			if st == free {
				continue
			}
			if s := t.steps[pg.steps[k]]; s.spill != nil && s.cfg.full == topology.FullSpill {
				f(s, int32(n)<<pageBits+int32(k), st)
			}
		}
	}
}
