package logs

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The ring is the newest suffix of what was written, whatever the sizes.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ring{limit: rapid.IntRange(0, 5000).Draw(t, "limit")}
		var wrote []string
		for n := range rapid.IntRange(0, 60).Draw(t, "lines") {
			text := strings.Repeat(string(rune('a'+n%26)), rapid.IntRange(0, 700).Draw(t, "size"))
			wrote = append(wrote, text[:min(len(text), max(r.limit-recordHead, 0))])
			r.add(uint64(n+1), int64(n), []Stream{Stdout, Stderr}[n%2], []byte(text))
		}
		if len(r.buf) > r.limit {
			t.Fatalf("%d bytes, limit %d", len(r.buf), r.limit)
		}
		lines := r.newest(1000, 0)
		if r.limit > recordHead && len(wrote) > 0 && len(lines) == 0 || len(lines) != r.lines {
			t.Fatalf("%d lines of %d", len(lines), r.lines)
		}
		for i, l := range lines {
			n := len(wrote) - len(lines) + i
			if l.Text != wrote[n] || l.Seq != uint64(n+1) || l.Time.UnixNano() != int64(n) || l.Stream != []Stream{Stdout, Stderr}[n%2] {
				t.Fatalf("line %d is %+v, want %q", n, l, wrote[n])
			}
		}
		if few := r.newest(3, 0); len(few) != min(3, len(lines)) || len(few) > 0 && few[len(few)-1] != lines[len(lines)-1] {
			t.Fatalf("newest 3: %d", len(few))
		}
	})
}

func TestRingTakesNoMemoryBeforeTheFirstByte(t *testing.T) {
	r := ring{limit: 1 << 20}
	if r.newest(10, 0) != nil || r.buf != nil {
		t.Fatal("memory without output")
	}
	if r.add(1, 1, Stdout, []byte("x")); len(r.buf) != firstRing {
		t.Fatalf("%d bytes for one line", len(r.buf))
	}
}
