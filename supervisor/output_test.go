package supervisor

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
			r.add(uint64(n+1), time.Unix(0, int64(n)), []Stream{Stdout, Stderr}[n%2], []byte(text))
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
	if r.add(1, time.Now(), Stdout, []byte("x")); len(r.buf) != firstRing {
		t.Fatalf("%d bytes for one line", len(r.buf))
	}
}

func testBook() *logbook {
	return &logbook{counter: new(atomic.Uint64), ring: ring{limit: 1 << 20}}
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
	b.follow(f)
	for n := range 5 {
		b.append(time.Now(), Stdout, false, [][]byte{[]byte(fmt.Sprint(n))})
	}
	<-f.lines
	<-f.lines
	b.append(time.Now(), Stdout, false, [][]byte{[]byte("5")})
	if l := <-f.lines; l.Text != "5" || l.Lost != 3 {
		t.Fatalf("%+v", l)
	}
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	w := newLogWriter(slog.New(slog.DiscardHandler))
	f := &logFile{path: filepath.Join(dir, "log", "cpu.0.log"), max: 100, keep: 2}
	line := [][]byte{[]byte(strings.Repeat("x", 30))}
	for range 9 {
		w.put(f, time.Now(), Stderr, line)
		w.flush()
	}
	names, _ := filepath.Glob(f.path + "*")
	if len(names) != 3 {
		t.Fatalf("%q", names)
	}
	for _, n := range names {
		if info, err := os.Stat(n); err != nil || info.Size() > 100 {
			t.Errorf("%s: %v %v", n, info.Size(), err)
		}
	}
	if text := readFile(t, f.path); !bytes.Contains(text, []byte(" err xxx")) {
		t.Errorf("%q", text)
	}
	w.put(f, time.Now(), Stdout, [][]byte{make([]byte, logBuffer)})
	if f.lost.Load() != 1 {
		t.Errorf("what does not fit must be counted: %d", f.lost.Load())
	}
}

// A disk that is full, or a directory that is none, is said once, counted, and got over.
func TestLogFileThatCannotBeWritten(t *testing.T) {
	var said bytes.Buffer
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newLogWriter(slog.New(slog.NewTextHandler(&said, nil)))
	f := &logFile{path: filepath.Join(dir, "cpu.0.log")}
	two := [][]byte{[]byte("a"), []byte("b")}
	for range 3 {
		w.put(f, time.Now(), Stdout, two)
	}
	w.flush()
	if f.lost.Load() != 6 || strings.Count(said.String(), "cannot write") != 1 {
		t.Fatalf("%d lost: %s", f.lost.Load(), said.String())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	w.put(f, time.Now(), Stdout, two)
	w.flush()
	if f.lost.Load() != 6 || strings.Count(said.String(), "the log file can be written again") != 1 {
		t.Fatalf("%d lost: %s", f.lost.Load(), said.String())
	}
	full := &logFile{path: "/dev/full"}
	w.put(full, time.Now(), Stdout, two)
	w.flush()
	if full.lost.Load() != 2 {
		t.Fatalf("%d lost", full.lost.Load())
	}
}
