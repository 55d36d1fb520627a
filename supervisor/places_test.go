package supervisor

import (
	"testing"

	"pgregory.net/rapid"
)

// However they come and go: never more than the limit, and nobody waits while a place is free.
func TestPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := places{most: rapid.IntRange(0, 3).Draw(t, "most")}
		all := make([]*instance, 6)
		for n := range all {
			all[n] = &instance{ref: ref("x", n)}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := all[rapid.IntRange(0, len(all)-1).Draw(t, "who")]
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				if why := p.take(i); why == "" && p.most > 0 {
					if _, has := p.held[i]; !has {
						t.Fatal("let in without a place")
					}
				}
			case 2, 3:
				p.leave(i)
			case 4:
				before := len(p.held)
				if p.resize(rapid.IntRange(0, 3).Draw(t, "new")); p.most > 0 && len(p.held) > max(p.most, before) {
					t.Fatalf("%d have a place of %d", len(p.held), p.most)
				}
			}
			if p.most > 0 && len(p.queue) > 0 && len(p.held) < p.most {
				t.Fatalf("%d wait, and %d of %d places are taken", len(p.queue), len(p.held), p.most)
			}
		}
	})
}
