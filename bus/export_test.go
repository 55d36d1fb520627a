package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// freeze freezes a stage and returns what Freeze would wait for.
func (st *stage) freeze() *freezing {
	f := &freezing{make(chan struct{})}
	st.o.freeze(f)
	st.turn()
	return f
}

func (st *stage) export() []byte {
	st.t.Helper()
	if !st.o.freezing.told() {
		st.t.Fatal("not frozen")
	}
	st.o.gather()
	data, err := st.o.keep().encode()
	if err != nil {
		st.t.Fatal(err)
	}
	return data
}

// successor is the next daemon on the same topology.
func (st *stage) successor(data []byte, sats ...*topology.Satellite) *stage {
	st.t.Helper()
	k, err := decodeKept(data)
	if err != nil {
		st.t.Fatal(err)
	}
	next := newStage(st.t, sats...)
	next.o.goOn(next.o.restore(k))
	return next
}

func TestAFrozenBusTakesNothingAndLosesNothing(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w", "end"), sat("end"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	f := st.freeze()
	gen.look()
	gen.emit("3")
	early := st.ask(&sending{}, "w", "4")
	if f.told() || len(gen.only(wire.Accepted)) > 0 || early.end {
		t.Fatal("frozen with work in hand, or it took something")
	}
	if who := st.o.t.busy(); !slices.Equal(who, []string{"w:0 has 2"}) {
		t.Errorf("%q", who)
	}
	w.done(w.hand(), "x")
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand(), Flags: wire.FlagRetry}, []byte("later"))
	if !f.told() {
		t.Fatal("nothing is in hand, and nobody is told")
	}
	if l := st.ledger(); l.Held != 2 || l.Admitted != 3 {
		t.Errorf("%+v", l)
	}
	if kindOf(st.apply(ApplyOptions{}, sat("gen"))) != KindUnavailable {
		t.Error("a frozen bus was changed")
	}
	st.wait(time.Minute)
	if w.hand() != 0 {
		t.Error("a retry was dispatched")
	}
	st.o.thaw()
	st.turn()
	if acc := gen.only(wire.Accepted); len(acc) != 1 || acc[0].N != 3 || w.p.sess.hand.live != 3 || !early.end {
		t.Errorf("after the thaw: %+v, %d in hand", acc, w.p.sess.hand.live)
	}
}

func TestTheNextDaemonGoesOnWhereThisOneStopped(t *testing.T) {
	narrow := sat("w")
	narrow.Queue.MaxMessages = 3
	st := newStage(t, sat("gen", "w"), narrow)
	gen := st.join("gen", 0, 1, source)
	gen.emit("1", "2", "3", "not accepted")
	st.wait(time.Hour)
	st.freeze()
	next := st.successor(st.export(), sat("gen", "w"), narrow)
	// The source has not read the last ACCEPTED, says HELLO, and repeats what it believes to be open.
	again := next.admit("gen", 0, 1)
	again.hello(wire.HelloBody{Source: true, Accepted: 1})
	if s := again.p.sess; s.accepted != 3 {
		t.Fatalf("the new daemon knows %d as accepted", s.accepted)
	}
	again.seq = 1
	again.emit("2", "3", "not accepted")
	w := next.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
	var got []string
	for w.hand() > 0 {
		got = append(got, string(next.inHand(w)))
		w.done(w.hand())
	}
	if strings.Join(got, " ") != "1 2 3 not accepted" {
		t.Errorf("%q", got)
	}
	if l := next.ledger(); l.Admitted != 4 || l.Done != 4 || next.o.t.tasks.live != 0 {
		t.Errorf("%+v", l)
	}
}

func TestAnotherLifeOfASourceBeginsAnew(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	st.join("gen", 0, 1, source).emit("1", "2")
	st.freeze()
	next := st.successor(st.export(), sat("gen", "w"), sat("w"))
	gen := next.join("gen", 0, 9, source)
	gen.emit("3")
	if l := next.ledger(); l.Admitted != 3 || len(next.faults) > 0 {
		t.Errorf("%+v %q", l, next.faults)
	}
}

func TestWhatAFilterSaidIsTakenAlong(t *testing.T) {
	narrow := sat("w")
	narrow.Queue.MaxMessages = 1
	st := newStage(t, sat("gen", "w"), narrow)
	gen := st.join("gen", 0, 1, source)
	gen.p.sess.filter = true
	gen.emit("1", "2", "3")
	st.freeze()
	next := st.successor(st.export(), sat("gen", "w"), narrow)
	if got := next.admitted("w"); strings.Join(got, "") != "123" {
		t.Errorf("%q", got)
	}
	st.o.thaw() // the exec failed
	gen.emit("4")
	if l := st.ledger(); l.Admitted != 3 || len(st.o.gated) != 1 {
		t.Errorf("%+v", l)
	}
}

func TestWhatTheNextTopologyHasNoStepForIsSetAside(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w", "x"), sat("x"))
	st.join("gen", 0, 1, source).emit("1", "2")
	st.freeze()
	next := st.successor(st.export(), sat("x"))
	if l := next.ledger(); l.Admitted != 2 || l.Quarantined != 2 || next.o.t.aside.count("w") != 2 || next.o.t.tasks.live != 0 {
		t.Errorf("%+v", l)
	}
}

func TestAgesTTLsAndRetriesGoOn(t *testing.T) {
	w := sat("w")
	w.Queue.TTL, w.Work.Backoff = time.Hour, time.Minute
	st := newStage(t, sat("gen", "w"), w)
	gen := st.join("gen", 0, 1, source)
	gen.emit("old")
	wrk := st.join("w", 0, 2, wire.HelloBody{})
	wrk.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: wrk.hand(), Flags: wire.FlagRetry}, []byte("not yet"))
	wrk.die("exit code 0")
	gen.emit("young")
	st.wait(10 * time.Second)
	st.freeze()
	next := st.successor(st.export(), sat("gen", "w"), w)
	if due := time.Duration(next.o.t.next()); due < 20*time.Second || due > 50*time.Second {
		t.Errorf("the retry is due in %v", due)
	}
	next.wait(55 * time.Minute)
	if l := next.ledger(); l.Held != 2 {
		t.Fatalf("%+v", l)
	}
	next.wait(5 * time.Minute)
	if l := next.ledger(); l.Expired != 2 {
		t.Errorf("%+v", l)
	}
}

// A worker may be waiting to emit what came of a message that it was sent directly, before it answers what it has in hand: a freeze takes
// that although the queue is full, for nothing makes room in it any more; and nothing of those who have nothing in hand.
func TestAFreezeTakesWhatBusyWorkersHaveToSayFirst(t *testing.T) {
	end := sat("end")
	end.Queue.MaxMessages = 2
	st := newStage(t, sat("gen", "w"), sat("w", "end"), end)
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	idle := st.join("w", 1, 3, wire.HelloBody{})
	gen.emit("1")
	w.emit("a", "b", "c", "d")
	idle.emit("z")
	n := w.only(wire.Data)[0].N
	if got := st.o.t.steps[2].queued(); got != 2 {
		t.Fatalf("%d wait in a queue for 2", got)
	}
	f := st.freeze()
	w.emit("e")
	if got := w.only(wire.Accepted); len(got) == 0 || got[len(got)-1].N != 5 {
		t.Fatalf("of five %v are accepted", got)
	}
	w.done(n, "1'")
	w.emit("f")
	if !f.told() || len(idle.only(wire.Accepted)) > 0 {
		t.Fatalf("frozen: %v (%v), and accepted of the idle: %v", f.told(), st.o.t.busy(), idle.look())
	}
	next := st.successor(st.export(), sat("gen", "w"), sat("w", "end"), end)
	e := next.admit("end", 0, 4)
	e.hello(wire.HelloBody{})
	var got []string
	for _, r := range e.only(wire.Data) {
		got = append(got, string(r.Body))
	}
	if !slices.Equal(got, []string{"a", "b", "c", "d", "e", "1'"}) {
		t.Errorf("%q", got)
	}
	next.ledger()
}

func TestFreezeGivesUpWithItsContextAndThaws(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksLines, ""))
	f := s.spawnFilter()
	first := s.send("one")
	f.line()
	ctx, cancel := context.WithCancelCause(context.Background())
	frozen := make(chan error, 1)
	go func() { frozen <- s.Freeze(ctx) }()
	for begun := false; !begun; {
		begun, _ = ask(t.Context(), s.Bus, func(o *orchester) (bool, error) { return o.t.frozen, nil })
	}
	if err := s.Freeze(t.Context()); kindOf(err) != KindConflict {
		t.Errorf("frozen twice: %v", err)
	}
	if _, err := s.Export(t.Context()); kindOf(err) != KindConflict {
		t.Errorf("exported with work in hand: %v", err)
	}
	cancel(errors.New("enough"))
	if err := <-frozen; kindOf(err) != KindTimeout || !strings.Contains(err.Error(), "f:0 has 1") || !strings.Contains(err.Error(), "enough") {
		t.Fatal(err)
	}
	f.say("ONE\n")
	if got := <-first; got.text() != "done ONE" {
		t.Error(got)
	}
	second := s.send("two") // thawed again
	f.line()
	f.say("TWO\n")
	if got := <-second; got.text() != "done TWO" {
		t.Error(got)
	}
	f.exit(s, "exit code 0")
}

func TestAnExportIsTheImportOfAnotherBus(t *testing.T) {
	s := serve(t, sat("w"))
	for _, m := range []string{"1", "2"} {
		if _, err := s.Send(t.Context(), "w", "json", []byte(m), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, err := New(Config{Topology: topo(sat("w")), RunDir: shortDir(t), Epoch: 8, Import: data})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if got, want := next.loop.t.ledger(), s.Ledger(); got != want || got.Held != 2 {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := New(Config{Topology: topo(sat("w")), RunDir: shortDir(t), Epoch: 8, Import: data[:40]}); kindOf(err) != KindInvalid {
		t.Errorf("%v", err)
	}
}

func TestDamagedExportsAreRefused(t *testing.T) {
	good, err := (&kept{Steps: []keptStep{{Name: "w"}}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeKept(good); err != nil {
		t.Fatal(err)
	}
	change := func(at int) []byte {
		b := slices.Clone(good)
		b[at] ^= 1
		return b
	}
	crooked, err := (&kept{Steps: []keptStep{{Name: "w", Waiting: []keptHop{{Task: 3}}}}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string][]byte{
		"DSATKEPT": change(0), "version 0": change(8), "checksum": change(len(good) - 1), "begin": good[:7], "damaged": good[:len(good)-3], "belongs to nothing": crooked,
	} {
		if _, err := decodeKept(b); kindOf(err) != KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzImport(f *testing.F) {
	st := newStage(f, sat("gen", "w"), sat("w"))
	st.join("gen", 0, 1, source).emit("1", "2")
	st.freeze()
	f.Add(st.export()[keptHeader:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		b := make([]byte, keptHeader, keptHeader+len(body))
		copy(b, keptMagic)
		binary.LittleEndian.PutUint32(b[8:], keptVersion)
		binary.LittleEndian.PutUint32(b[12:], crc(body))
		k, err := decodeKept(append(b, body...))
		if err != nil {
			return
		}
		next := newStage(t, sat("gen", "w"), sat("w"))
		next.o.t.closeTasks(next.o.restore(k))
		w := next.join("w", 0, 2, wire.HelloBody{})
		for range 100 {
			if n := w.hand(); n > 0 {
				w.done(n)
			}
		}
		next.o.t.queues(next.o.now)
	})
}
