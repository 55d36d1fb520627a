package supervisor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
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

func testBook() *logbook {
	return &logbook{counter: new(atomic.Uint64), rules: &topology.Log{}, ring: ring{limit: 1 << 20}}
}

// However reads cut the stream, the lines are the same.
func TestLinesWhateverTheReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "\n", "bc", "\r\n", "\n\n", strings.Repeat("z", 40000)})).Draw(t, "text"), "")
		whole, cut := &capture{book: testBook()}, &capture{book: testBook()}
		whole.feed(time.Now(), []byte(text))
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 50000).Draw(t, "read"))
			buf := bytes.Clone(rest[:n])
			cut.feed(time.Now(), buf)
			clear(buf) // the buffer is used again
			rest = rest[n:]
		}
		get := func(c *capture) (all []string) {
			for _, l := range append(c.book.newest(1000, 0), Line{Text: string(c.tail)}) {
				if len(l.Text) > maxLine {
					t.Fatalf("a line of %d bytes", len(l.Text))
				}
				all = append(all, l.Text)
			}
			return all
		}
		a, b := get(whole), get(cut)
		if !slices.Equal(a, b) && !hasCR(text) {
			t.Fatalf("%d lines, %d in pieces", len(a), len(b))
		}
	})
}

// A carriage return at the very place where a long line is taken apart may be kept; nothing else may differ.
func hasCR(s string) bool { return strings.Contains(s, "\r") && len(s) >= maxLine }

func TestSlowFollowerLosesAndIsTold(t *testing.T) {
	b := testBook()
	f := &follower{lines: make(chan Line, 2)}
	b.follow(f, 0, 0)
	for n := range 5 {
		b.append(time.Now(), &origin{stream: Stdout}, false, [][]byte{[]byte(fmt.Sprint(n))})
	}
	<-f.lines
	<-f.lines
	b.append(time.Now(), &origin{stream: Stdout}, false, [][]byte{[]byte("5")})
	if l := <-f.lines; l.Text != "5" || l.Lost != 3 {
		t.Fatalf("%+v", l)
	}
}
