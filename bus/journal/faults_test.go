package journal_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/journal/frail"
)

// teller is a log and what it tells its owner.
type teller struct {
	*journal.Log
	t         *testing.T
	mu        sync.Mutex
	committed uint64
	told      []error // what Failed was told
}

func tell(t *testing.T, disk journal.FS, o journal.Options) *teller {
	t.Helper()
	l := &teller{t: t}
	o.FS, o.Pause = disk, func(int) time.Duration { return time.Millisecond }
	if o.Segment == 0 {
		o.Segment = 4096
	}
	o.Committed = func(seq uint64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.committed = seq
	}
	o.Failed = func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.told = append(l.told, err)
	}
	var err error
	if l.Log, err = journal.Open(dir, o); err != nil {
		t.Fatal(err)
	}
	if err := l.Replay(func(journal.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *teller) put(n int, body string) (last uint64) {
	for range n {
		last, _ = l.Append(1, []byte(body))
	}
	l.Flush()
	return last
}

// until waits for something that follows from what was done; the test ends when it does not come.
func (l *teller) until(what string, f func() bool) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		l.mu.Lock()
		ok := f()
		l.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("never came: %s; %+v", what, l.Stats())
		}
	}
}

func (l *teller) close() {
	l.t.Helper()
	if err := l.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// A sync that fails is not repeated on its file: what it concerned is written anew to another, under the same addresses, and counts
// only then. The owner hears nothing of it.
func TestOneFailedSync(t *testing.T) {
	disk := frail.New(1)
	l := tell(t, disk, journal.Options{Segment: 1 << 16})
	first := l.put(3, "before")
	l.until("the first are committed", func() bool { return l.committed == first })
	before := slices.Clone(segments(disk))
	disk.FailSyncs(1)
	last, at := l.Append(1, []byte("the one that fails"))
	l.Flush()
	l.until("it is committed after all", func() bool { return l.committed == last })
	after := segments(disk)
	if s := l.Stats(); s.Failures != 1 || len(l.told) > 0 || len(after) != len(before)+1 || s.Full {
		t.Fatalf("%+v; told %v; %v, then %v", s, l.told, before, after)
	}
	if r, err := l.Read(at, nil); err != nil || r.Seq != last {
		t.Fatalf("%+v %v", r, err)
	}
	disk.CrashAfter(0)
	_ = l.Close()
	disk.Reboot(true)
	if got := contentsTorn(t, disk); len(got) != int(last) || got[last] != "the one that fails" {
		t.Fatalf("%v", got)
	}
}

// contentsTorn is what a log serves whose end was not orderly; nothing of it may be damaged.
func contentsTorn(t *testing.T, disk journal.FS) map[uint64]string {
	t.Helper()
	l, err := journal.Open(dir, journal.Options{Segment: 4096, FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	if err := l.Replay(func(r journal.Record) error { got[r.Seq] = string(r.Body); return nil }); err != nil {
		t.Fatal(err)
	}
	if r := l.Report(); !r.Clean() {
		t.Fatalf("%+v", r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return got
}

// A disk that goes on failing makes the log Full, which it says once, with the reason. Appending goes on in memory and is
// readable there. When the disk is well again all of it is committed, in order, and the log says so.
func TestFailingDisk(t *testing.T) {
	disk := frail.New(1)
	l := tell(t, disk, journal.Options{})
	disk.SetFaults(frail.Faults{Sync: 1})
	l.put(1, "x")
	l.until("it says that it fails", func() bool { return len(l.told) == 1 && errors.Is(l.told[0], syscall.EIO) })
	if !l.Full() || l.Stats().Fault == "" || !strings.Contains(l.told[0].Error(), "tried again") {
		t.Fatalf("%+v %v", l.Stats(), l.told)
	}
	seq, at := l.Append(2, []byte("a DONE"))
	last := l.put(50, "y")
	if r, err := l.Read(at, nil); err != nil || r.Seq != seq || string(r.Body) != "a DONE" {
		t.Fatalf("%+v %v", r, err)
	}
	l.until("several attempts", func() bool { return l.Stats().Failures > 5 })
	if l.committed != 0 {
		t.Fatalf("%d is committed on a disk that syncs nothing", l.committed)
	}
	disk.SetFaults(frail.Faults{})
	l.until("all is committed", func() bool { return l.committed == last && !l.Full() })
	if len(l.told) != 2 || l.told[1] != nil {
		t.Fatalf("told %v", l.told)
	}
	l.close()
	if got := contents(t, disk, dir); len(got) != int(last) {
		t.Fatalf("%d records of %d", len(got), last)
	}
}

// A full disk makes the log Full as soon as the reserve is touched; what ends work still fits into it and is committed. Room makes
// it well by itself.
func TestFullDisk(t *testing.T) {
	disk := frail.New(1)
	l := tell(t, disk, journal.Options{Segment: 1 << 16})
	last := l.put(1, "x")
	l.until("the reserve is there", func() bool { return l.committed == last && !l.Full() && len(disk.Files()) == 3 })
	disk.SetCapacity(disk.Used())
	last = l.put(1200, strings.Repeat("z", 32)) // more than the rest of the first segment
	l.until("the reserve is in use, and committed", func() bool { return l.committed == last && l.Full() })
	if len(l.told) != 1 || !errors.Is(l.told[0], syscall.ENOSPC) || !strings.Contains(l.told[0].Error(), "make room") {
		t.Fatalf("told %v", l.told)
	}
	last = l.put(100, "DONE")
	l.until("what ends work is committed from the reserve", func() bool { return l.committed == last })
	stuck := l.put(2000, strings.Repeat("w", 32)) // more than there is: waits in memory
	l.until("the reserve is used up", func() bool { return l.Stats().Failures > 1 })
	if l.committed == stuck {
		t.Fatal("more was committed than there is room for")
	}
	disk.SetCapacity(0)
	l.until("it goes on by itself", func() bool { return l.committed == stuck && !l.Full() && l.told[len(l.told)-1] == nil })
	l.close()
	if got := contents(t, disk, dir); len(got) != int(stuck) {
		t.Fatalf("%d records of %d", len(got), stuck)
	}
}

// Releasing what is done with makes room on a disk that is full of the log itself.
func TestReleaseMakesRoom(t *testing.T) {
	disk := frail.New(1)
	l := tell(t, disk, journal.Options{Limit: 20000})
	last := l.put(400, strings.Repeat("q", 32))
	l.until("the limit is reached", func() bool { return l.committed == last && l.Full() })
	if f := l.Stats().Fault; !strings.Contains(f, "limit") {
		t.Fatal(f)
	}
	e := l.Oldest()
	if e.First != 1 || e.Next <= 1 || !e.Sealed || e.Bytes == 0 {
		t.Fatalf("%+v", e)
	}
	l.Release(e.Next - 1) // one too little
	l.Release(last + 1)
	l.until("all but the last segment are gone", func() bool { return !l.Full() && l.Stats().Segments == 1 })
	if o := l.Oldest(); o.First <= e.Next || o.Sealed || l.Stats().Released == 0 {
		t.Fatalf("%+v %+v", o, l.Stats())
	}
	if _, err := l.Read(journal.Position(4096), nil); err == nil || !strings.Contains(err.Error(), "released") {
		t.Fatalf("reading what was released: %v", err)
	}
	l.close()
}

// While one sync runs the next batch forms: as many syncs as there is time for, however small the turns are.
func TestGroupsFormBySlowSyncs(t *testing.T) {
	disk := frail.New(1)
	gate := make(chan struct{})
	l := tell(t, disk, journal.Options{Segment: 1 << 20})
	disk.SlowSync(func() { <-gate })
	l.put(1, "first")
	gate <- struct{}{} // its sync has begun, and ends; the others come while the next one waits
	var last uint64
	for range 500 {
		last = l.put(1, "turn")
	}
	close(gate)
	l.until("all are committed", func() bool { return l.committed == last })
	if s := l.Stats(); s.Groups > 3 || s.Records != 501 {
		t.Fatalf("%d groups for %d records", s.Groups, s.Records)
	}
	l.close()
}

// A record larger than a segment gets a file of its own size; an empty one is one too.
func TestLargeAndEmptyRecords(t *testing.T) {
	disk := frail.New(1)
	l := tell(t, disk, journal.Options{})
	want := map[uint64]string{}
	for _, n := range []int{0, 1, 5000, 0, 3 << 20, 7} {
		body := strings.Repeat("b", n)
		seq, at := l.Append(0, []byte(body))
		want[seq] = body
		l.Flush()
		l.until("it is committed", func() bool { return l.committed == seq })
		if r, err := l.Read(at, make([]byte, 0, 100)); err != nil || string(r.Body) != body {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	l.close()
	if got := contents(t, disk, dir); !maps.Equal(got, want) {
		t.Fatalf("%d records of %d", len(got), len(want))
	}
}

// A segment of another format is refused by its name, and not touched.
func TestOtherFormat(t *testing.T) {
	disk, _ := small(t, true)
	path := segments(disk)[1]
	disk.Damage(path, journal.OtherFormat)
	before := disk.Files()
	_, err := journal.Open(dir, journal.Options{FS: disk})
	var v *journal.VersionError
	if !errors.As(err, &v) || v.Path != path || v.Version != 2 {
		t.Fatalf("%v", err)
	}
	if !slices.Equal(before, disk.Files()) {
		t.Fatalf("%v, then %v", before, disk.Files())
	}
}

// An append of a usual size allocates nothing, once buffers have grown.
func TestAppendAllocatesNothing(t *testing.T) {
	l := tell(t, frail.New(1), journal.Options{Segment: 64 << 20})
	head, body := make([]byte, 24), make([]byte, 256)
	warm := l.put(3000, string(body))
	l.until("the buffers have grown", func() bool { return l.committed == warm })
	if n := testing.AllocsPerRun(1000, func() { l.Append(1, head, body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	l.close()
}
