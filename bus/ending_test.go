package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

func TestDrainWaitsForWhatIsInHandAndForBye(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1")
	drained := make(chan struct{})
	st.o.drain(w.ref, w.inc, drained)
	if d := w.only(wire.Drain); len(d) != 1 {
		t.Fatalf("%+v", d)
	}
	gen.emit("2")
	if n := len(w.only(wire.Data)); n != 0 {
		t.Error("work after DRAIN")
	}
	w.done(w.hand())
	select {
	case <-drained:
		t.Fatal("drained before BYE")
	default:
	}
	w.say(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
	select {
	case <-drained:
	default:
		t.Fatal("not drained after BYE")
	}
	if b := w.only(wire.Bye); len(b) != 1 {
		t.Error("BYE was not answered")
	}
	w.die("exit code 0")
	if l := st.ledger(); l.Done != 1 || l.Held != 1 || l.Redelivered != 0 {
		t.Errorf("%+v", l)
	}
}

func TestTwoHalvesOfAnEnd(t *testing.T) {
	setup := func(t *testing.T) (*stage, *actor, *actor) {
		st := newStage(t, sat("gen", "w"), sat("w"))
		gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
		gen.emit("1", "2")
		return st, gen, w
	}
	t.Run("answers count until the input ends", func(t *testing.T) {
		st, _, w := setup(t)
		st.o.gone(w.ref, w.inc, "killed by signal 9", nil)
		st.turn()
		if w.car.finished != 1 {
			t.Fatal("the carrier was not asked for the rest")
		}
		w.done(w.hand())
		st.o.inputEnded(w.p, nil)
		st.turn()
		if l := st.ledger(); l.Done != 1 || l.Held != 1 || w.car.dropped != 1 {
			t.Errorf("%+v", l)
		}
	})
	t.Run("the exit comes second", func(t *testing.T) {
		st, _, w := setup(t)
		st.o.inputEnded(w.p, nil)
		st.turn()
		if l := st.ledger(); l.InFlight != 2 {
			t.Fatalf("redelivered before the exit: %+v", l)
		}
		st.o.gone(w.ref, w.inc, "killed by signal 9", nil)
		st.turn()
		if l := st.ledger(); l.Held != 2 || len(st.faults) > 0 {
			t.Errorf("%+v %v", l, st.faults)
		}
	})
	t.Run("the stream ends and the process lives", func(t *testing.T) {
		st, _, w := setup(t)
		st.o.inputEnded(w.p, nil)
		st.turn()
		st.wait(time.Second)
		if len(st.faults) != 1 || !strings.Contains(st.faults[0], "without BYE") {
			t.Errorf("%q", st.faults)
		}
	})
	t.Run("the end of the input never comes", func(t *testing.T) {
		st, _, w := setup(t)
		st.o.gone(w.ref, w.inc, "killed", nil)
		st.turn()
		st.wait(time.Second)
		if l := st.ledger(); l.Held != 2 {
			t.Errorf("%+v", l)
		}
	})
}

func TestPoisonIsSetAsideWithItsEvidenceAndItsNeighboursAreNot(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen := st.join("gen", 0, 1, source)
	gen.emit("poison", "good", "fine")
	for life := uint32(2); life < 40; life++ {
		w := st.join("w", 0, life, wire.HelloBody{Concurrency: 1})
		if w.hand() == 0 {
			break
		}
		for w.hand() > 0 && string(st.inHand(w)) != "poison" {
			w.done(w.hand())
		}
		w.die("killed by signal 11 (SIGSEGV)")
	}
	l := st.ledger()
	if l.Quarantined != 1 || l.Done != 2 {
		t.Fatalf("%+v", l)
	}
	q := st.o.t.aside.list[0]
	if string(q.payload) != "poison" || q.crashes != 3 || !strings.Contains(strings.Join(q.evidence, "\n"), "SIGSEGV") ||
		!strings.Contains(strings.Join(q.evidence, "\n"), "last words") {
		t.Errorf("%+v", q)
	}
}

// inHand is the payload of the oldest message an actor has in hand.
func (st *stage) inHand(a *actor) []byte {
	w := &a.p.sess.worker
	return st.o.t.hops.at(w.hand.at(w.hand.first).slot).body.data
}

func TestABrokenWorkerDoesNotSpoilAllMessages(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen := st.join("gen", 0, 1, source)
	gen.emit(strings.Split(strings.Repeat("m ", 50), " ")[:50]...)
	for life := uint32(2); life < 60; life++ {
		st.join("w", 0, life, wire.HelloBody{}).die("exit code 1")
	}
	if l := st.ledger(); l.Quarantined != brokenAfter || l.Held != 50-brokenAfter {
		t.Errorf("%+v, want %d set aside and the rest kept", l, brokenAfter)
	}
}

// A broken worker beside an honest one that is busy: as the one that is always idle it was given the same suspects again and again,
// until they passed for poison.
func TestABrokenWorkerMakesNoPoisonOfWhatAnHonestOneCanDo(t *testing.T) {
	s := sat("w")
	s.Work.InHand = 8
	st := newStage(t, sat("gen", "w"), s)
	gen := st.join("gen", 0, 1, source)
	honest := st.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
	gen.emit(strings.Split(strings.Repeat("m ", 200), " ")[:200]...)
	for life := uint32(3); life < 100; life++ {
		honest.done(honest.hand())
		st.join("w", 1, life, wire.HelloBody{Concurrency: 1}).die("exit code 1")
	}
	for honest.hand() > 0 {
		honest.done(honest.hand())
	}
	if l := st.ledger(); l.Quarantined != 0 || l.Done != 200 {
		t.Errorf("%+v, want all done and none set aside", l)
	}
}

func TestASuspectIsAlone(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen := st.join("gen", 0, 1, source)
	gen.emit("suspect", "b", "c")
	st.join("w", 0, 2, wire.HelloBody{}).die("killed")
	w := st.join("w", 0, 3, wire.HelloBody{})
	if n := w.p.sess.hand.live; n != 1 || string(st.inHand(w)) != "suspect" {
		t.Fatalf("%d in hand, the first %q", n, st.inHand(w))
	}
	w.done(w.hand())
	if n := w.p.sess.hand.live; n != 2 {
		t.Errorf("%d in hand after it was done", n)
	}
}

func TestDeadlineOfARunningHopIsAFault(t *testing.T) {
	s := sat("w")
	s.Work.Deadline = time.Minute
	st := newStage(t, sat("gen", "w"), s)
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
	gen.emit("1", "2")
	st.wait(50 * time.Second)
	w.done(w.hand())
	st.wait(50 * time.Second) // the second runs only since the first was done
	if len(st.faults) > 0 {
		t.Fatal(st.faults)
	}
	w.say(&wire.Header{Kind: wire.Progress, Epoch: 7, N: w.hand()}, nil)
	st.wait(50 * time.Second)
	if len(st.faults) > 0 {
		t.Fatal(st.faults)
	}
	st.wait(20 * time.Second)
	if len(st.faults) != 1 || !strings.Contains(st.faults[0], "no answer for 1m0s on task 7.") {
		t.Fatal(st.faults)
	}
	w.die("killed by signal 9")
	if l := st.ledger(); l.Held != 1 || l.Done != 1 {
		t.Errorf("%+v", l)
	}
}

func TestFullPolicies(t *testing.T) {
	for full, want := range map[topology.Full]struct {
		l    Ledger
		left string
	}{
		topology.FullDropOldest: {Ledger{Admitted: 5, Dropped: 2, Held: 3}, "345"},
		topology.FullDropNewest: {Ledger{Admitted: 5, Dropped: 2, Held: 3}, "123"},
		topology.FullQuarantine: {Ledger{Admitted: 5, Quarantined: 2, Held: 3}, "123"},
		topology.FullBlock:      {Ledger{Admitted: 3, Held: 3}, "123"},
	} {
		w := sat("w")
		w.Queue.MaxMessages, w.Queue.Full = 3, full
		st := newStage(t, sat("gen", "w"), w)
		st.join("gen", 0, 1, source).emit("1", "2", "3", "4", "5")
		if l := st.ledger(); l != want.l || strings.Join(st.admitted("w"), "") != want.left {
			t.Errorf("%s: %+v, %v", full, l, st.admitted("w"))
		}
	}
}

func TestExpiredWorkIsNeverDispatched(t *testing.T) {
	w := sat("w")
	w.Queue.TTL = time.Minute
	st := newStage(t, sat("gen", "w"), w)
	gen := st.join("gen", 0, 1, source)
	gen.emit("old")
	st.wait(40 * time.Second)
	gen.emit("new")
	st.wait(30 * time.Second)
	st.join("w", 0, 2, wire.HelloBody{})
	if l := st.ledger(); l.Expired != 1 || l.InFlight != 1 {
		t.Errorf("%+v", l)
	}
}

func TestFailuresAreTriedAgainAndThenSetAside(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("bad")
	for i := range 4 {
		d := w.only(wire.Data)
		if len(d) != 1 || int(d[0].Flags) != i {
			t.Fatalf("attempt %d: %+v", i, d)
		}
		w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: d[0].N, Flags: wire.FlagRetry}, []byte("disk full"))
		st.wait(time.Minute)
	}
	if l := st.ledger(); l.Quarantined != 1 || l.Redelivered != 3 {
		t.Fatalf("%+v", l)
	}
	gen.emit("worse")
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.only(wire.Data)[0].N}, []byte("not a number"))
	if l := st.ledger(); l.Quarantined != 2 {
		t.Errorf("not retryable: %+v", l)
	}
}

func TestLateAndDoubleAnswersAreCounted(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	n := w.hand()
	w.done(n)
	w.done(n)
	w.say(&wire.Header{Kind: wire.Done, Epoch: 6, N: n + 1}, nil)
	if s := st.o.byName["w"]; s.count.refused != 2 || len(st.faults) > 0 {
		t.Errorf("%d refused, %v", s.count.refused, st.faults)
	}
	if l := st.ledger(); l.Done != 1 || l.InFlight != 1 {
		t.Errorf("%+v", l)
	}
}
