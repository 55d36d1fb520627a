package bus

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

// A filter that is held in the middle of a message goes on where it was: with this bus, and with the next.
func TestAHeldFilterLosesNothing(t *testing.T) {
	frame := func(text string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text
	}
	for _, c := range []struct {
		speaks            topology.Speaks
		whole, begun, end string
	}{
		{topology.SpeaksLines, "a\nb\n", "part", "ial\n"},
		{topology.SpeaksFrames, frame("a") + frame("b"), frame("partial")[:6], frame("partial")[6:]},
	} {
		t.Run(string(c.speaks), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			s := serve(t, filterSat(c.speaks, topology.ModeSource, "w"), sat("w"))
			f := s.spawnFilter()
			f.say(c.whole + c.begun)
			s.until("two", func(l Ledger) bool { return l.Admitted == 2 })
			if _, err := s.Hold(ctx); kindOf(err) != KindConflict {
				t.Errorf("the bus was not frozen: %v", err)
			}
			if err := s.Freeze(ctx); err != nil {
				t.Fatal(err)
			}
			ends, err := s.Hold(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got := ends["f:0"]
			if string(got.Unread) != c.begun || got.In < 0 || got.Out < 0 {
				t.Errorf("%+v, unread %q, want %q", got, got.Unread, c.begun)
			}
			if _, err := s.Export(ctx); err != nil {
				t.Error(err)
			}
			s.Release()
			s.Thaw()
			f.say(c.end)
			s.until("three", func(l Ledger) bool { return l.Admitted == 3 })

			next := serve(t, filterSat(c.speaks, topology.ModeSource, "w"), sat("w"))
			if _, err := ask(ctx, next.Bus, func(o *orchester) (struct{}, error) {
				o.unread = map[string][]byte{"f:0": got.Unread}
				return struct{}{}, nil
			}); err != nil {
				t.Fatal(err)
			}
			g := next.spawnFilter()
			g.say(c.end)
			next.until("one", func(l Ledger) bool { return l.Admitted == 1 })
			st, err := next.Stats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range st.Queues {
				if q.Step == "w" && q.BytesIn != uint64(len("partial")) {
					t.Errorf("%d bytes were admitted, want those of %q", q.BytesIn, "partial")
				}
			}
		})
	}
}
