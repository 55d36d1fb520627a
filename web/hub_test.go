package web

import (
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/web/control"
)

// Whatever was published and wherever a reader is: it gets exactly the kept events after its own, in order, and is woken
// exactly when there is more.
func TestHubProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := NewHub(3)
		h.keep = rapid.IntRange(1, 9).Draw(t, "keep")
		keep := uint64(h.keep)
		published := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				_, wake := h.Since(published)
				n := rapid.IntRange(1, 20).Draw(t, "n")
				for range n {
					published++
					h.Publish(control.Event{PID: int(published)})
				}
				select {
				case <-wake:
				default:
					t.Fatal("nobody was woken")
				}
			},
			"read": func(t *rapid.T) {
				seq := rapid.OneOf(rapid.Uint64Range(0, published+3), rapid.Just(uint64(math.MaxUint64)), rapid.Just(uint64(math.MaxUint64-1))).Draw(t, "seq")
				events, wake := h.Since(seq)
				oldest := uint64(1)
				if published > keep {
					oldest = published - keep + 1
				}
				first := oldest
				if seq >= oldest {
					first = seq + 1
				}
				if seq >= published {
					if len(events) != 0 {
						t.Fatalf("%d events after %d of %d", len(events), seq, published)
					}
				} else if want := published - first + 1; uint64(len(events)) != want {
					t.Fatalf("%d events after %d of %d, want %d", len(events), seq, published, want)
				}
				for i, e := range events {
					if e.Seq != first+uint64(i) || e.PID != int(e.Seq) || e.Time.IsZero() {
						t.Fatalf("event %d after %d: %+v", i, seq, e)
					}
				}
				select {
				case <-wake:
					t.Fatal("woken for nothing")
				default:
				}
			},
			"newest": func(t *rapid.T) {
				n := rapid.Uint64Range(0, keep+5).Draw(t, "n")
				events := h.Newest(n)
				if uint64(len(events)) != min(n, published, keep) || len(events) > 0 && events[len(events)-1].Seq != published {
					t.Fatalf("%d of the newest %d", len(events), n)
				}
			},
			"resume": func(t *rapid.T) {
				seq := rapid.Uint64().Draw(t, "seq")
				for id, want := range map[string]uint64{h.ID(seq): seq, strconv.FormatUint(seq, 10): seq, NewHub(4).ID(seq): 0} {
					if got, err := h.ParseID(id); err != nil || got != want {
						t.Fatalf("%s: %d, %v", id, got, err)
					}
				}
			},
		})
	})
}

func TestIDsThatAreNone(t *testing.T) {
	for _, id := range []string{"", "-", "3-", "-4", "3-4-5", "x", "3-x", "-1", "4294967296-1", "3-18446744073709551616"} {
		if n, err := NewHub(3).ParseID(id); err == nil {
			t.Errorf("%q is %d", id, n)
		}
	}
}
