package bus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// fakeLog is a journal in memory: the test says how much of it is on disk.
type fakeLog struct {
	records   []journal.Record
	seq       uint64
	at        journal.Position
	committed uint64
	released  uint64
	now       func() int64 // wall
}

func newFakeLog(now func() int64) *fakeLog { return &fakeLog{at: 4096, now: now} }

func (l *fakeLog) Append(kind uint8, parts ...[]byte) (uint64, journal.Position) {
	l.seq++
	r := journal.Record{Seq: l.seq, Kind: kind, At: l.at, Time: l.now()}
	for _, p := range parts {
		r.Body = append(r.Body, p...)
	}
	l.records = append(l.records, r)
	l.at += journal.Position(len(r.Body) + recordOverhead)
	return r.Seq, r.At
}

func (l *fakeLog) Release(seq uint64) {
	if seq > l.committed {
		panic(fmt.Sprintf("released %d, and only %d is on disk", seq, l.committed))
	}
	l.released = max(l.released, seq)
	l.records = slices.DeleteFunc(l.records, func(r journal.Record) bool { return r.Seq < seq })
}

func (l *fakeLog) Flush()       {}
func (l *fakeLog) Full() bool   { return false }
func (l *fakeLog) Close() error { return nil }

// keep makes a satellite's queue durable.
func keep(s *topology.Satellite) *topology.Satellite {
	s.Queue.Delivery = topology.DeliveryDurable
	return s
}

// disk gives a stage a journal in memory.
func (st *stage) disk() *fakeLog {
	l := newFakeLog(func() int64 { return st.o.t.wall(st.o.now) })
	st.o.log = l
	st.o.t.writeTo(l)
	return l
}

// sync brings all that was written to disk.
func (st *stage) sync(l *fakeLog) {
	st.turn()
	l.committed = l.seq
	st.o.bus.committed.Store(l.seq)
	st.o.commit()
	st.turn()
}

// killed is the next daemon after this one was killed, with what the log has up to a sequence.
func (st *stage) killed(l *fakeLog, seq uint64, sats ...*topology.Satellite) (*stage, *fakeLog) {
	st.t.Helper()
	next := newStage(st.t, sats...)
	next.o.t.epoch = st.o.t.epoch + 1
	next.o.bus.cfg.TaskHook = st.o.bus.cfg.TaskHook
	log := next.disk()
	r := newRecall()
	r.formats = next.o.t.formats
	for _, rec := range l.records {
		if rec.Seq > seq {
			break
		}
		if err := r.record(rec); err != nil {
			st.t.Fatal(err)
		}
		log.records = append(log.records, rec)
		log.seq, log.at = rec.Seq, rec.At+journal.Position(len(rec.Body)+recordOverhead)
	}
	log.committed = log.seq
	tasks := map[uint64]int32{}
	next.o.recall(r, tasks)
	next.o.goOn(tasks)
	next.turn()
	next.ledger()
	return next, log
}

// bodies is what an actor was given, in order.
func (a *actor) bodies() (got []string, n []uint64) {
	for _, r := range a.only(wire.Data) {
		got, n = append(got, string(r.Body)), append(n, r.N)
	}
	return got, n
}

// arrive joins an instance and leaves what it is sent at once for a look.
func (st *stage) arrive(name string, wid int, spawn uint32) *actor {
	a := st.admit(name, wid, spawn)
	a.hello(wire.HelloBody{})
	return a
}

func (a *actor) accepted() uint64 {
	n := uint64(0)
	for _, r := range a.only(wire.Accepted) {
		n = r.N
	}
	return n
}

func TestDurableIsAcceptedAndDispatchedWhenItIsOnDisk(t *testing.T) {
	st := newStage(t, sat("gen", "w"), keep(sat("w")))
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	if n := gen.accepted(); n != 0 {
		t.Fatalf("accepted up to %d before it is on disk", n)
	}
	if got, _ := w.bodies(); len(got) > 0 {
		t.Fatalf("%q were dispatched before they are on disk", got)
	}
	if led := st.ledger(); led.Held != 2 {
		t.Errorf("%+v", led)
	}
	st.sync(l)
	if n := gen.accepted(); n != 2 {
		t.Errorf("accepted up to %d, want 2", n)
	}
	if got, _ := w.bodies(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("dispatched %q", got)
	}
	if len(l.records) != 2 { // one with both messages, one with both dispatches
		t.Errorf("%d records", len(l.records))
	}
}

func TestDurableIsThereAfterAKill(t *testing.T) {
	sats := func() []*topology.Satellite {
		w := keep(sat("w", "x"))
		w.Work.Backoff = 10 * time.Second // it is not over when the next daemon begins
		return []*topology.Satellite{sat("gen", "w"), w, keep(sat("x"))}
	}
	st := newStage(t, sats()...)
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2", "3")
	st.sync(l)
	_, n := w.bodies()
	w.done(n[0], "out")
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: n[1], Flags: wire.FlagRetry}, []byte("bad day"))
	st.sync(l)
	next, log := st.killed(l, l.seq, sats()...)
	if led := next.o.t.ledger(); led.Admitted != 3 || led.Held != 3 {
		t.Fatalf("%+v", led)
	}
	x := next.arrive("x", 0, 3)
	if got, _ := x.bodies(); !slices.Equal(got, []string{"out"}) {
		t.Errorf("x is given %q", got)
	}
	w = next.arrive("w", 0, 4)
	next.wait(time.Minute)
	got, _ := w.bodies()
	if !slices.Equal(got, []string{"3", "2"}) { // 2 waits for its retry
		t.Errorf("w is given %q", got)
	}
	next.sync(log)
}

func TestARepeatedEmitIsNotAdmittedTwiceAfterAKill(t *testing.T) {
	sats := func() []*topology.Satellite { return []*topology.Satellite{sat("gen", "w"), keep(sat("w"))} }
	st := newStage(t, sats()...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit("1", "2")
	st.sync(l)
	gen.emit("3")
	before := l.seq - 1
	for seq, want := range map[uint64]uint64{before: 2, l.seq: 3} {
		next, _ := st.killed(l, seq, sats()...)
		a := next.admit("gen", 0, 1)
		a.hello(wire.HelloBody{Source: true})
		for _, r := range a.look() {
			var w wire.WelcomeBody
			if r.Kind == wire.Welcome {
				if err := wire.ParseJSON(&r, &w); err != nil || w.Accepted != want {
					t.Errorf("WELCOME says %d, %v; want %d", w.Accepted, err, want)
				}
			}
		}
		if led := next.o.t.ledger(); led.Admitted != want {
			t.Errorf("%+v, want %d", led, want)
		}
	}
}

func TestWhatAWorkerOfTheDaemonBeforeHasDoneCounts(t *testing.T) {
	sats := func() []*topology.Satellite {
		return []*topology.Satellite{sat("gen", "w"), keep(sat("w", "x")), keep(sat("x"))}
	}
	st := newStage(t, sats()...)
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	st.sync(l)
	_, n := w.bodies()
	st.sync(l)
	next, log := st.killed(l, l.seq, sats()...)
	w = next.join("w", 0, 2, wire.HelloBody{})
	w.b.Reset()
	w.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: n[0]})
	w.b.Output(wire.AllLinks, wire.Text, []byte("out"))
	w.b.End()
	w.frame(w.b.Frame())
	next.sync(log)
	led := next.ledger()
	if led.Done != 1 || led.Admitted != 3 {
		t.Errorf("%+v", led)
	}
	w.say(&wire.Header{Kind: wire.Done, Epoch: 7, N: n[0]}, nil)
	w.say(&wire.Header{Kind: wire.Done, Epoch: 6, N: n[1]}, nil)
	if led := next.ledger(); led.Done != 1 {
		t.Errorf("twice, or of an epoch that never gave it: %+v", led)
	}
}

func TestQuarantineOfADurableQueueSurvivesAKill(t *testing.T) {
	sats := func() []*topology.Satellite { return []*topology.Satellite{sat("gen", "w"), keep(sat("w"))} }
	st := newStage(t, sats()...)
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	st.sync(l)
	_, n := w.bodies()
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: n[0]}, []byte("never"))
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: n[1]}, []byte("never ever"))
	st.sync(l)
	next, log := st.killed(l, l.seq, sats()...)
	if got := len(next.o.t.aside.list); got != 2 {
		t.Fatalf("%d in quarantine", got)
	}
	m := next.o.t.aside.list[0]
	if string(m.payload) != "1" || m.reason != "never" || len(m.evidence) != 1 || m.step != "w" {
		t.Errorf("%+v", m)
	}
	if led := next.ledger(); led.Quarantined != 2 || led.Admitted != 2 {
		t.Errorf("%+v", led)
	}
	next.o.t.aside.take(m.id)
	next.o.t.retry(next.o.now, next.o.byName["w"], m)
	next.sync(log)
	third, _ := next.killed(log, log.seq, sats()...)
	if led := third.ledger(); led.Quarantined != 1 || led.Held != 1 {
		t.Errorf("%+v", led)
	}
}

func TestClassChangesAtRunTime(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit("1", "2")
	if gen.accepted() != 2 || len(l.records) > 0 {
		t.Fatal("tracked messages wait for the disk")
	}
	st.mustApply(ApplyOptions{}, sat("gen", "w"), keep(sat("w")))
	gen.emit("3")
	st.sync(l)
	next, _ := st.killed(l, l.seq, sat("gen", "w"), keep(sat("w")))
	w := next.arrive("w", 0, 2)
	if got, _ := w.bodies(); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("after a kill there are %q", got)
	}
	st.mustApply(ApplyOptions{Moved: map[string]string{"w": "v"}}, sat("gen", "v"), keep(sat("v")))
	st.sync(l)
	moved, _ := st.killed(l, l.seq, sat("gen", "v"), keep(sat("v")))
	if got := moved.o.byName["v"].queued(); got != 3 {
		t.Errorf("%d moved to v", got)
	}
	gen.emit("4")
	st.mustApply(ApplyOptions{}, sat("gen", "v"), sat("v"))
	st.sync(l)
	if v := st.arrive("v", 0, 2); true {
		if got, _ := v.bodies(); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("v is given %q", got)
		}
	}
	gone, _ := st.killed(l, l.seq, sat("gen", "v"), sat("v"))
	if led := gone.ledger(); led.Admitted != 0 {
		t.Errorf("tracked messages came back: %+v", led)
	}
}

// What is found on disk may be anything: it is understood or refused.
func FuzzVerses(f *testing.F) {
	st := newStage(f, sat("gen", "w"), keep(sat("w")))
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2", "3")
	st.sync(l)
	_, n := w.bodies()
	w.done(n[0])
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: n[1]}, []byte("never"))
	st.sync(l)
	for _, rec := range l.records {
		f.Add(rec.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newRecall()
		for seq := range uint64(2) {
			if r.record(journal.Record{Seq: seq + 1, Kind: recordKind, At: journal.Position(4096 * (seq + 1)), Body: body}) != nil {
				return
			}
		}
		next := newStage(t, sat("gen", "w"), keep(sat("w")))
		next.disk()
		tasks := map[uint64]int32{}
		next.o.recall(r, tasks)
		next.o.t.closeTasks(tasks)
		next.turn()
		next.ledger()
	})
}
