package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/journal/frail"
)

const dir = "/state/journal"

// life is the specification of a log: what was appended, what was promised, and what may be gone.
type life struct {
	t        *rapid.T
	disk     *frail.Disk
	rng      *rand.Rand
	log      *journal.Log
	records  map[uint64]string           // what is in the log, or was appended to it
	at       map[uint64]journal.Position // addresses of this life
	last     uint64
	promised uint64 // committed at some time: must be there for good
	released uint64 // below it nothing is promised any more

	mu        sync.Mutex
	committed uint64
	fault     error
}

func (l *life) open() {
	var err error
	l.mu.Lock()
	l.committed = 0
	l.mu.Unlock()
	l.log, err = journal.Open(dir, journal.Options{
		Segment: 4096, FS: l.disk,
		Committed: func(seq uint64) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if seq < l.committed {
				panic(fmt.Sprintf("committed went from %d back to %d", l.committed, seq))
			}
			l.committed = seq
		},
		Failed: func(err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.fault = err
		},
		Pause: func(int) time.Duration { return 20 * time.Microsecond },
	})
	if err != nil {
		l.t.Fatalf("open: %v", err)
	}
	l.replay()
}

// replay compares what the log serves with what it was given.
func (l *life) replay() {
	seen := map[uint64]string{}
	l.at = map[uint64]journal.Position{}
	var before uint64
	if err := l.log.Replay(func(r journal.Record) error {
		body, ok := l.records[r.Seq]
		switch {
		case r.Seq <= before:
			l.t.Fatalf("record %d comes after %d", r.Seq, before)
		case !ok:
			l.t.Fatalf("record %d was invented: %q", r.Seq, r.Body)
		case body != string(r.Body) || r.Kind != kindOf(body):
			l.t.Fatalf("record %d is %q, was %q", r.Seq, r.Body, body)
		}
		before, seen[r.Seq], l.at[r.Seq] = r.Seq, body, r.At
		return nil
	}); err != nil {
		l.t.Fatalf("replay: %v", err)
	}
	for seq := max(l.released, 1); seq <= l.promised; seq++ {
		if _, was := l.records[seq]; was && seen[seq] == "" {
			l.t.Fatalf("record %d is lost; promised up to %d, released below %d, served %v at %v of %v; %+v",
				seq, l.promised, l.released, slices.Sorted(keys(seen)), l.at, l.disk.Files(), l.log.Report())
		}
	}
	if r := l.log.Report(); !r.Clean() {
		l.t.Fatalf("damage without a cause: %+v", r)
	}
	l.records, l.last = seen, l.log.Last()
	if l.last < before || l.last < l.promised {
		l.t.Fatalf("the next record would get %d, but %d is there and %d was promised", l.last+1, before, l.promised)
	}
	for seq, at := range l.at {
		l.read(seq, at)
	}
}

func kindOf(body string) uint8 { return uint8(len(body) % 200) }

func (l *life) append() {
	for range 1 + l.rng.IntN(6) {
		body := strings.Repeat(string(rune('a'+l.rng.IntN(26))), 1+l.rng.IntN(60))
		if l.rng.IntN(40) == 0 {
			body = strings.Repeat("x", l.rng.IntN(9000)+1)
		}
		cut := l.rng.IntN(len(body) + 1)
		seq, at := l.log.Append(kindOf(body), []byte(body[:cut]), []byte(body[cut:]))
		if seq != l.last+1 {
			l.t.Fatalf("got sequence %d after %d", seq, l.last)
		}
		l.records[seq], l.at[seq], l.last = body, at, seq
	}
	if l.rng.IntN(3) > 0 {
		l.log.Flush()
	}
}

func (l *life) read(seq uint64, at journal.Position) {
	r, err := l.log.Read(at, nil)
	if err != nil {
		if seq >= l.released {
			l.t.Fatalf("record %d: %v", seq, err)
		}
		return
	}
	if r.Seq != seq || string(r.Body) != l.records[seq] {
		l.t.Fatalf("record %d at %d reads as %d %q", seq, at, r.Seq, r.Body)
	}
}

// await lets the writer come to rest: everything is committed, or it says that it cannot.
func (l *life) await(well bool) {
	l.log.Flush()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Microsecond) {
		s := l.log.Stats()
		if s.Committed == s.Last && (!well || !s.Full) {
			break
		}
		if !well && s.Full {
			break
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the log does not come to rest: %+v", s)
		}
	}
	l.note()
}

// note takes over what was promised so far.
func (l *life) note() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promised = max(l.promised, l.committed)
}

// end closes the log: in order, or with the machine already down.
func (l *life) end(inOrder bool) {
	err := l.log.Close()
	if l.note(); inOrder && err == nil && l.last > 0 {
		if _, ok := l.records[l.last]; ok {
			l.promised = max(l.promised, l.last)
		}
	}
}

func (l *life) step(n int) {
	what := l.rng.IntN(14)
	l.t.Logf("step %d: %d; last %d, promised %d, released %d, committed %d; %v", n, what, l.last, l.promised, l.released, l.log.Committed(), l.disk.Files())
	switch what {
	case 0, 1, 2, 3, 4, 5:
		l.append()
	case 6:
		l.await(false)
	case 7:
		for seq, at := range l.at {
			l.read(seq, at)
			break
		}
	case 8:
		l.note()
		if l.promised > l.released {
			l.released += l.rng.Uint64N(l.promised - l.released + 1)
			l.log.Release(l.released)
		}
	case 9:
		p := func() float64 { return []float64{0, 0, 0.02, 0.3, 1}[l.rng.IntN(5)] }
		l.disk.SetFaults(frail.Faults{Write: p(), Short: p(), Sync: p(), Create: p(), Rename: p(), SyncDir: p(), Link: p()})
		l.disk.SetCapacity([]int64{0, l.disk.Used() + l.rng.Int64N(10000), l.disk.Used()}[l.rng.IntN(3)])
	case 10:
		l.disk.SetFaults(frail.Faults{})
		l.disk.SetCapacity(0)
		l.await(true)
	case 11:
		l.end(true)
		l.disk.Reboot(false)
		l.disk.SetCapacity(0)
		l.open()
	case 12:
		l.disk.CrashAfter(l.rng.IntN(30))
		for range l.rng.IntN(4) {
			l.append()
		}
		if l.rng.IntN(2) == 0 {
			l.await(false) // until the crash, or until the log is at rest before it
		}
		l.disk.CrashAfter(0)
		l.end(false)
		l.disk.Reboot(l.rng.IntN(3) > 0)
		l.disk.SetCapacity(0)
		l.open()
	case 13:
		l.crashWhileOpening()
	}
}

// crashWhileOpening loses power in the midst of recoveries.
func (l *life) crashWhileOpening() {
	l.disk.CrashAfter(0)
	l.end(false)
	l.disk.Reboot(true)
	l.disk.SetCapacity(0)
	l.disk.CrashAfter(1 + l.rng.IntN(60))
	log, err := journal.Open(dir, journal.Options{Segment: 4096, FS: l.disk, Pause: func(int) time.Duration { return 20 * time.Microsecond }})
	if err == nil {
		_ = log.Replay(func(journal.Record) error { return nil })
		l.disk.CrashAfter(0)
		_ = log.Close()
	} else if !errors.Is(err, frail.ErrDead) {
		l.t.Fatalf("open: %v", err)
	}
	l.disk.CrashAfter(0)
	l.disk.Reboot(true)
	l.open()
}

// A log goes through random lives: appends, faults of the disk, kills, losses of power, in the midst of recoveries too.
// Whatever was promised is there afterwards, in order and intact; nothing was invented. `make ci` runs 10,000.
func TestLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		l := &life{t: t, disk: frail.New(seed), rng: rand.New(rand.NewPCG(seed, 2)), records: map[uint64]string{}}
		l.open()
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			l.step(i)
		}
		l.disk.SetFaults(frail.Faults{})
		l.disk.SetCapacity(0)
		l.await(true)
		l.end(true)
		if l.promised != l.last {
			t.Fatalf("%d appended, %d committed", l.last, l.promised)
		}
		l.disk.Reboot(true)
		l.open()
		if served := slices.Collect(keys(l.records)); len(served) > 0 && slices.Max(served) != l.promised {
			t.Fatalf("the last record served is %d of %d", slices.Max(served), l.promised)
		}
		l.end(true)
	})
}

func keys(m map[uint64]string) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
