package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// entry is what a test remembers of a record.
type entry struct {
	seq  uint64
	kind uint8
	body string
}

func replayAll(t testing.TB, l *Log) []entry {
	t.Helper()
	var got []entry
	if err := l.Replay(func(r Record) error {
		got = append(got, entry{r.Seq, r.Kind, string(r.Body)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func shut(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was appended is there after an orderly end, in order, across segments, and can be read by its address before and after.
func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	var want []entry
	at := map[uint64]Position{}
	for round := range 4 {
		l := open(t, dir, Options{Segment: leastSegment, Epoch: uint32(round)})
		got := replayAll(t, l)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: got %d records, want %d", round, len(got), len(want))
		}
		if r := l.Report(); !r.Clean() || r.Torn != 0 || r.Tail != 0 {
			t.Fatalf("round %d: %+v", round, r)
		}
		for i := range 200 {
			body := bytes.Repeat([]byte{byte(i)}, i*7%1500)
			seq, p := l.Append(uint8(i%250), body[:len(body)/2], body[len(body)/2:])
			want = append(want, entry{seq, uint8(i % 250), string(body)})
			at[seq] = p
			if i%17 == 0 {
				l.Flush()
			}
			if i%5 == 0 {
				r, err := l.Read(p, nil)
				if err != nil || r.Seq != seq || !bytes.Equal(r.Body, body) {
					t.Fatalf("read of an uncommitted record: %+v %v", r, err)
				}
			}
		}
		l.Flush()
		for _, e := range want[len(want)-200:] {
			r, err := l.Read(at[e.seq], make([]byte, 0, 64))
			if err != nil || r.Seq != e.seq || string(r.Body) != e.body {
				t.Fatalf("read %d: %+v %v", e.seq, r, err)
			}
		}
		shut(t, l)
		if s := l.Stats(); s.Committed != s.Last || s.Records != 200 {
			t.Fatalf("%+v", s)
		}
	}
	names, _ := os.ReadDir(dir)
	if len(names) < 6 {
		t.Fatalf("only %d files: %v", len(names), names)
	}
}
