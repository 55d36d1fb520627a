package bus

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// overflowing lets the queue of a satellite have so many messages in memory, and the others on disk.
func overflowing(s *topology.Satellite, messages int) *topology.Satellite {
	s.Queue.Full, s.Queue.MaxMessages = topology.FullSpill, messages
	return s
}

// bring reads what was asked for from a log in memory.
func (st *stage) bring(l *fakeLog) {
	st.t.Helper()
	for list := st.o.bus.fetcher.take(); len(list) > 0; list = st.o.bus.fetcher.take() {
		st.o.t.arrive(st.o.now, l.bring(list))
		st.turn()
	}
}

func (l *fakeLog) bring(list []wanted) (all []brought) {
	read := reader(func(at journal.Position) ([]byte, error) {
		for _, r := range l.records {
			if r.At == at {
				return r.Body, nil
			}
		}
		return nil, errors.New("it is not there")
	})
	for _, w := range list {
		b := brought{wanted: w}
		b.data, b.err = read(w.at, w.off, w.n)
		all = append(all, b)
	}
	return all
}

// numbered are n payloads.
func numbered(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("message %d", i))
	}
	return all
}

// inMemory is how many payloads of a step are in memory.
func (st *stage) inMemory(name string) int {
	n := 0
	for _, i := range st.o.byName[name].waiting.all(&st.o.t.hops) {
		if len(st.o.t.hops.at(i).body.data) > 0 {
			n++
		}
	}
	return n
}

func TestWhatFindsMemoryFullGoesToDiskAndComesBackInOrder(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			sink := overflowing(sat("w"), 3)
			sink.Work.InHand = 2
			if durable {
				keep(sink)
			}
			st := newStage(t, sat("gen", "w"), sink)
			l := st.disk()
			gen := st.join("gen", 0, 1, source)
			gen.emit(numbered(10)...)
			if n := gen.accepted(); n != 0 {
				t.Fatalf("accepted up to %d, and some of it is not on disk", n)
			}
			st.sync(l)
			if n := gen.accepted(); n != 10 {
				t.Fatalf("accepted up to %d", n)
			}
			q := st.o.t.queues(st.o.now)[1]
			if q.Waiting != 10 || q.Spilled != 7 || q.Spills != 7 || q.Blocked || st.inMemory("w") != 3 {
				t.Fatalf("%d in memory; %+v", st.inMemory("w"), q)
			}
			w := st.arrive("w", 0, 2)
			var got []string
			for range 12 {
				st.sync(l)
				st.bring(l)
				bodies, n := w.bodies()
				got = append(got, bodies...)
				for _, n := range n {
					w.done(n)
				}
			}
			if !slices.Equal(got, numbered(10)) {
				t.Errorf("it got %q", got)
			}
			if led, q := st.ledger(), st.o.t.queues(st.o.now)[1]; led.Done != 10 || q.Spilled != 0 || q.SpillBytes != 0 {
				t.Errorf("%+v, %+v", led, q)
			}
		})
	}
}

func TestASpillHasABoundAndThenBlocks(t *testing.T) {
	sink := overflowing(sat("w"), 2)
	sink.Queue.Spill.MaxMessages = 3
	st := newStage(t, sat("gen", "w"), sink)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit(numbered(8)...)
	st.sync(l)
	if n := gen.accepted(); n != 5 {
		t.Fatalf("accepted up to %d, want 2 in memory and 3 on disk", n)
	}
	if q := st.o.t.queues(st.o.now)[1]; !q.Blocked || q.Stuck {
		t.Fatalf("%+v", q)
	}
	why := strings.Join(st.o.t.reasons(st.o.now, st.o.byName["gen"]), "; ")
	if !strings.Contains(why, "full with 5 messages of 5, of which 3 with") {
		t.Errorf("why: %s", why)
	}
	w := st.arrive("w", 0, 2)
	for range 10 {
		_, n := w.bodies()
		for _, n := range n {
			w.done(n)
		}
		st.bring(l)
		st.sync(l)
	}
	if n := gen.accepted(); n != 8 {
		t.Errorf("accepted up to %d", n)
	}
	if l := st.ledger(); l.Done != 8 {
		t.Errorf("%+v", l)
	}
}

// deaf is a journal that takes nothing that can wait.
type deaf struct {
	*fakeLog
	full bool
}

func (d *deaf) Full() bool { return d.full }

func TestAQueueThatCannotSpillBlocksAndSaysSo(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("other", "free"), overflowing(sat("w"), 2), sat("free"))
	var said []string
	st.o.bus.cfg.Event = func(e Event) { said = append(said, e.Step+": "+e.Text) }
	d := &deaf{fakeLog: st.disk(), full: true}
	st.o.log = d
	st.turn()
	gen, other := st.join("gen", 0, 1, source), st.join("other", 0, 2, source)
	gen.emit(numbered(5)...)
	other.emit(numbered(5)...)
	st.turn()
	if n := gen.accepted(); n != 2 {
		t.Errorf("accepted up to %d, and there is room for 2", n)
	}
	if n := other.accepted(); n != 5 {
		t.Errorf("the other queue has accepted %d", n)
	}
	if q := st.o.t.queues(st.o.now)[2]; !q.Blocked || !q.Stuck || q.Spilled != 0 {
		t.Errorf("%+v", q)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "w: its memory is full and the journal takes nothing") || strings.Count(text, "w: ") != 1 {
		t.Errorf("said %q", said)
	}
	d.full = false
	st.turn()
	st.sync(d.fakeLog)
	if n := gen.accepted(); n != 5 {
		t.Errorf("accepted up to %d", n)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "w: it can spill again") {
		t.Errorf("said %q", said)
	}
}

func TestWhatWasSpilledIsThereAfterAKill(t *testing.T) {
	sats := []*topology.Satellite{sat("gen", "w"), overflowing(sat("w"), 3)}
	st := newStage(t, sats...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit(numbered(8)...)
	st.sync(l)
	next, log := st.killed(l, l.seq, sats...)
	w := next.arrive("w", 0, 3)
	var got []string
	for range 4 {
		bodies, _ := w.bodies()
		got = append(got, bodies...)
		next.bring(log)
	}
	if !slices.Equal(got, numbered(8)[3:]) {
		t.Errorf("after a kill: %q", got)
	}
}

func TestAStopWritesWhatIsLeftInMemory(t *testing.T) {
	sats := []*topology.Satellite{sat("gen", "w"), overflowing(sat("w"), 3)}
	st := newStage(t, sats...)
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	st.o.byName["w"].workers[0].messages = 1
	gen.emit(numbered(8)...)
	st.sync(l)
	if got, _ := w.bodies(); len(got) != 1 {
		t.Fatalf("in hand: %q", got)
	}
	st.o.shutDoors()
	st.o.t.stow(st.o.now)
	st.sync(l)
	if n := st.o.t.scribed(st.o.byName["w"]); n != 8 {
		t.Errorf("%d are on disk", n)
	}
	next, log := st.killed(l, l.seq, sats...)
	heir := next.arrive("w", 0, 3)
	var got []string
	for range 4 {
		bodies, _ := heir.bodies()
		got = append(got, bodies...)
		next.bring(log)
	}
	if !slices.Equal(got, numbered(8)) {
		t.Errorf("the next one has %q", got)
	}
}

func TestAPayloadThatCannotBeReadIsSetAside(t *testing.T) {
	st := newStage(t, sat("gen", "w"), overflowing(sat("w"), 1))
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit(numbered(3)...)
	st.sync(l)
	st.arrive("w", 0, 2)
	list := st.o.bus.fetcher.take()
	if len(list) != 2 {
		t.Fatalf("asked for %v", list)
	}
	st.o.t.arrive(st.o.now, []brought{{wanted: list[0], err: errors.New("input/output error")}, l.bring(list[1:])[0]})
	st.turn()
	a := st.o.t.aside.list
	if len(a) != 1 || !strings.Contains(a[0].reason, "cannot be read") || !strings.Contains(strings.Join(a[0].evidence, ""), "input/output error") {
		t.Errorf("in quarantine: %+v", a)
	}
	if l := st.ledger(); l.Quarantined != 1 || l.InFlight != 2 {
		t.Errorf("%+v", l)
	}
}

func TestClassAndPolicyChangeWithMessagesOnDisk(t *testing.T) {
	with := func(change func(*topology.Satellite)) *topology.Topology {
		w := overflowing(sat("w"), 3)
		change(w)
		return topo(sat("gen", "w"), w)
	}
	st := newStage(t, with(func(*topology.Satellite) {}).Satellites...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit(numbered(8)...)
	st.sync(l)
	for _, change := range []func(*topology.Satellite){
		func(s *topology.Satellite) { s.Queue.Full = topology.FullBlock },
		func(*topology.Satellite) {},
		func(s *topology.Satellite) { keep(s) },
		func(s *topology.Satellite) { keep(s); s.Queue.Full = topology.FullBlock },
		func(s *topology.Satellite) { s.Queue.Full = topology.FullDropOldest; s.Queue.MaxMessages = 100 },
	} {
		if err := st.o.apply(with(change), ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		st.sync(l)
		st.ledger()
	}
	if err := st.o.apply(with(func(s *topology.Satellite) { s.Work.Key = "payload" }), ApplyOptions{}); err == nil {
		t.Error("keys were given to messages on disk")
	}
	w := st.arrive("w", 0, 2)
	var got []string
	for range 4 {
		bodies, n := w.bodies()
		got = append(got, bodies...)
		for _, n := range n {
			w.done(n)
		}
		st.bring(l)
	}
	if !slices.Equal(got, numbered(8)) {
		t.Errorf("it got %q", got)
	}
	if l := st.ledger(); l.Done != 8 {
		t.Errorf("%+v", l)
	}
}

func TestAnUpgradeKeepsTheOrderOfWhatIsInMemoryAndOnDisk(t *testing.T) {
	sats := []*topology.Satellite{sat("gen", "w"), overflowing(sat("w"), 3)}
	st := newStage(t, sats...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit(numbered(8)...)
	st.sync(l)
	st.freeze()
	data := st.export()
	k, err := decodeKept(data)
	if err != nil {
		t.Fatal(err)
	}
	next := newStage(t, sats...)
	tasks := next.o.restore(k)
	log := next.disk()
	r := newRecall()
	r.leave = next.o.t.spillsBy()
	for _, rec := range l.records {
		if err := r.record(rec); err != nil {
			t.Fatal(err)
		}
	}
	log.records, log.seq, log.at, log.committed = l.records, l.seq, l.at, l.seq
	next.o.recall(r, tasks)
	next.o.goOn(tasks)
	if q := next.o.t.queues(next.o.now)[1]; q.Waiting != 8 || q.Spilled != 5 || q.Spills != 5 || next.ledger().Admitted != 8 {
		t.Errorf("%+v", q)
	}
	w := next.arrive("w", 0, 2)
	var got []string
	for range 4 {
		bodies, _ := w.bodies()
		got = append(got, bodies...)
		next.bring(log)
	}
	if !slices.Equal(got, numbered(8)) {
		t.Errorf("it got %q", got)
	}
}

func TestADelayedMessageSpillsAndComesInTime(t *testing.T) {
	st := newStage(t, overflowing(sat("w"), 1))
	l := st.disk()
	for i := range 3 {
		m := message{from: outside, body: st.o.t.bodies.copy([]byte(numbered(3)[i])), wish: &wish{delay: int64(time.Hour)}}
		st.o.t.inject(st.o.now, st.o.byName["w"], m, none)
	}
	st.sync(l)
	if q := st.o.t.queues(st.o.now)[0]; q.Spilled != 2 || q.Delayed != 3 {
		t.Fatalf("%+v", q)
	}
	w := st.arrive("w", 0, 2)
	st.o.now += int64(2 * time.Hour)
	st.turn()
	st.bring(l)
	if got, _ := w.bodies(); !slices.Equal(got, numbered(3)) {
		t.Errorf("it got %q", got)
	}
}

// heedless is a journal that takes everything and keeps nothing.
type heedless struct {
	seq uint64
	at  journal.Position
}

func (l *heedless) Append(_ uint8, parts ...[]byte) (uint64, journal.Position) {
	l.seq++
	l.at += journal.Position(len(parts[0]) + recordOverhead)
	return l.seq, l.at
}

func (l *heedless) Release(uint64) {}

func TestASpilledMessageTakesLittleMemory(t *testing.T) {
	const n, bytes = 200_000, 1000
	sink := overflowing(sat("w"), 1000)
	st := newStage(t, sink)
	log := &heedless{at: 4096}
	st.o.t.writeTo(log)
	before := heapInUse()
	payload := make([]byte, bytes)
	for i := range n {
		st.o.t.inject(int64(i), st.o.byName["w"], message{from: outside, body: st.o.t.bodies.copy(payload)}, none)
		if st.o.t.scroll.large() || i == n-1 {
			st.o.t.scroll.seal(st.o.t)
			st.o.t.commit(log.seq, nil)
		}
	}
	each := (heapInUse() - before) / n
	t.Logf("%d bytes of memory for each of %d messages of %d bytes", each, n, bytes)
	if each > 260 {
		t.Errorf("%d bytes of memory for each of %d messages of %d bytes", each, n, bytes)
	}
	if q := st.o.t.queues(st.o.now)[0]; q.Spilled != n-1000 {
		t.Errorf("%+v", q)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
