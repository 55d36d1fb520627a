package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		producer := rapid.StringMatching(`[a-z0-9_:/-]{1,40}`).Draw(t, "producer")
		seq := rapid.Uint64Range(0, 1e18).Draw(t, "seq")
		size := rapid.IntRange(0, 200).Draw(t, "size")
		payload := AppendPayload([]byte("before"), producer, seq, size)[len("before"):]
		p, n, err := ParsePayload(payload)
		if string(p) != producer || n != seq || err != nil || len(payload) < size {
			t.Fatalf("%q: %q %d %v", payload, p, n, err)
		}
	})
}

func TestBadPayloads(t *testing.T) {
	for _, payload := range []string{"", "x", " 1", "x ", "x y", "x 1y", "x 99999999999999999999"} {
		if p, n, err := ParsePayload([]byte(payload)); err == nil {
			t.Errorf("%q: %q %d", payload, p, n)
		}
	}
}

// What is noted is in the file after Flush, in the same order, neighbours joined.
func TestWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, seq := range []uint64{1, 2, 3, 5, 4, 5} {
		w.Add([]byte("a:0/1"), seq)
	}
	w.Add([]byte("b:0/1"), 6)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	w.AddRange([]byte("b:0/1"), 7, 9)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []Range
	for line := range strings.Lines(string(text)) {
		r, err := ParseLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	want := []Range{{"a:0/1", 1, 3}, {"a:0/1", 5, 5}, {"a:0/1", 4, 5}, {"b:0/1", 6, 6}, {"b:0/1", 7, 9}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("a:0/1 1 2")
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := ParseLine(line); err == nil && (r.First > r.Last || r.Producer == "") {
			t.Errorf("%q: %+v", line, r)
		}
	})
}
