package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// testBook is in memory only.
func testBook(rules topology.Log) *logs.Book {
	return logs.New(slog.New(slog.DiscardHandler), "", 0).Book(topology.Ref{Name: "cpu"}, &rules)
}

// However reads cut the stream, the lines are the same.
func TestLinesWhateverTheReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "\n", "bc", "\r\n", "\n\n", strings.Repeat("z", 40000)})).Draw(t, "text"), "")
		whole, cut := &capture{book: testBook(topology.Log{Ring: 1 << 20})}, &capture{book: testBook(topology.Log{Ring: 1 << 20})}
		whole.feed(time.Now(), []byte(text))
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 50000).Draw(t, "read"))
			buf := bytes.Clone(rest[:n])
			cut.feed(time.Now(), buf)
			clear(buf) // the buffer is used again
			rest = rest[n:]
		}
		get := func(c *capture) (all []string) {
			for _, l := range append(c.book.Newest(1000, 0), logs.Line{Text: string(c.tail)}) {
				if len(l.Text) > logs.MaxLine {
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
func hasCR(s string) bool { return strings.Contains(s, "\r") && len(s) >= logs.MaxLine }

// Where the satellite would rather wait nothing is dropped: its pipe is not read until the rate allows it.
func TestRateThatBlocks(t *testing.T) {
	book := testBook(topology.Log{Rate: topology.LogRate{Lines: 1, Per: time.Hour}, Overload: topology.LogBlock, Ring: 1 << 20})
	o, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd[1])
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { o.run(ctx) })
	defer func() { cancel(); loop.Wait(); o.end() }()
	c := &capture{fd: fd[0], book: book, stream: logs.Stdout, toFile: true}
	o.add(c)
	say := func(n int) {
		if _, err := unix.Write(fd[1], []byte(strings.Repeat("line\n", n))); err != nil { // of nothing too
			t.Fatal(err)
		}
		for range 3 { // turns of the loop: what it listens to has been read by then
			if err := o.alive(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func() int { return len(book.Newest(1000, 0)) }
	if say(10); count() != 10 {
		t.Fatalf("%d lines", count())
	}
	if say(5); count() != 10 {
		t.Errorf("%d lines were read though the rate is used up", count())
	}
	o.listen(c, true)
	say(0)
	if _, suppressed := book.Lost(); count() != 15 || suppressed != 0 {
		t.Errorf("%d lines, %d suppressed", count(), suppressed)
	}
}
