package streams

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func open(t *testing.T, root, name string, r Retain) *Stream {
	t.Helper()
	s, err := Open(root, name, r, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fill(t *testing.T, s *Stream, from, to, size int) {
	t.Helper()
	for i := from; i <= to; i++ {
		s.Append("cpu", uint64(i), 2, 1, "", fmt.Appendf(nil, "%0*d", size, i))
		if i%100 == 0 {
			s.Flush()
		}
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// read returns first, last and count of what a reading gives, and fails when something is missing between.
func read(t *testing.T, s *Stream, seq uint64, from time.Time) (first, last uint64, n int) {
	t.Helper()
	err := s.Read(t.Context(), seq, from, func(e *Entry) error {
		if n++; n == 1 {
			first = e.Seq
		} else if e.Seq != last+1 {
			t.Fatalf("%d after %d", e.Seq, last)
		}
		last = e.Seq
		if e.Stream != s.Name || e.Step != "cpu" || e.Codec != 2 || e.Hops != 1 || e.Task != e.Seq {
			t.Fatalf("%+v", e)
		}
		if value, err := strconv.ParseUint(string(e.Payload), 10, 64); err != nil || value != e.Seq {
			t.Fatalf("%d has the payload %q", e.Seq, e.Payload)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return first, last, n
}

// What was kept is read by number and by time, over several segments, also by the next one who opens it.
func TestReadByNumberAndTime(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, "probe/cpu", Retain{Size: 1 << 20})
	fill(t, s, 1, 5000, 200)
	var middle time.Time
	if err := s.Read(t.Context(), 3000, time.Time{}, func(e *Entry) error {
		middle = e.Time
		return errors.New("that one")
	}); err == nil {
		t.Fatal("the error of the reader is lost")
	}
	for range 2 {
		if first, last, n := read(t, s, 0, time.Time{}); first != 1 || last != 5000 || n != 5000 {
			t.Errorf("all: %d to %d, %d messages", first, last, n)
		}
		if first, last, _ := read(t, s, 4321, time.Time{}); first != 4321 || last != 5000 {
			t.Errorf("by number: %d to %d", first, last)
		}
		if first, last, _ := read(t, s, 0, middle); first > 3000 || first < 2800 || last != 5000 {
			t.Errorf("by time: %d to %d", first, last) // a turn of the owner has one time
		}
		if _, _, n := read(t, s, 0, time.Now().Add(time.Hour)); n != 0 {
			t.Errorf("from tomorrow: %d", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, root, "probe/cpu", Retain{Size: 1 << 20})
	}
	st := s.Status(t.Context())
	if st.First != 1 || st.Last != 5000 || st.Oldest.IsZero() || st.Newest.Before(st.Oldest) || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// settled tends a stream until there is nothing more to let go of.
func settled(t *testing.T, s *Stream, now time.Time) Status {
	t.Helper()
	for s.Tend(t.Context(), now) == tendAgain {
		runtime.Gosched()
	}
	return s.Status(t.Context())
}

// What is kept is at least what each bound says, and not much more.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		retain Retain
		now    time.Duration // after the last message
		least  uint64        // messages kept
		most   uint64
	}{
		"for ever": {Retain{}, 1000 * time.Hour, 40000, 41000},
		"size":     {Retain{Size: 4 << 20}, 0, 4 << 20 / 300, 4<<20/232 + 3000},
		"count":    {Retain{Size: 1 << 30, Count: 10000}, 0, 10000, 41000},
		"young":    {Retain{Size: 4 << 30, Age: time.Hour}, 0, 40000, 41000},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), "x", c.retain)
			fill(t, s, 1, 40000, 200)
			st := settled(t, s, time.Now().Add(c.now))
			if n := st.Last - st.First + 1; n < c.least || n > c.most {
				t.Errorf("%d messages are kept, want %d to %d", n, c.least, c.most)
			}
			if first, _, _ := read(t, s, 0, time.Time{}); first != st.First {
				t.Errorf("reading begins at %d, the status says %d", first, st.First)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Old segments go, the one that is written stays.
func TestAge(t *testing.T) {
	s := open(t, t.TempDir(), "x", Retain{Size: 2 << 20, Age: time.Hour})
	fill(t, s, 1, 20000, 200)
	if st := settled(t, s, time.Now()); st.First > 20000-2<<20/300 {
		t.Errorf("young messages are gone: %d is the first", st.First)
	}
	if st := settled(t, s, time.Now().Add(2*time.Hour)); st.First < 15000 || st.Last < st.First {
		t.Errorf("old messages are there: %d to %d", st.First, st.Last)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAReadingEndsWithItsContext(t *testing.T) {
	s := open(t, t.TempDir(), "x", Retain{})
	fill(t, s, 1, 10, 20)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Read(ctx, 0, time.Time{}, func(*Entry) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "probe/host/cpu", "a.b-c_d"} {
		if got := NameOf(Dir("/x", name)); got != name {
			t.Errorf("%q comes back as %q", name, got)
		}
	}
	for _, dir := range []string{"/x/%zz", "/x/a b"} {
		if got := NameOf(dir); got != "" {
			t.Errorf("%q is stream %q", dir, got)
		}
	}
}
