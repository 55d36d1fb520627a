package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

var source = wire.HelloBody{Source: true}

func TestMessageTravelsFromSourceToTheLastStep(t *testing.T) {
	st := newStage(t, sat("clock", "cpu"), sat("cpu", "csv"), sat("csv"))
	clock, cpu, csv := st.join("clock", 0, 1, source), st.join("cpu", 0, 2, wire.HelloBody{}), st.join("csv", 0, 3, wire.HelloBody{})
	clock.emit("tick")
	if got := clock.only(wire.Accepted); len(got) != 1 || got[0].N != 1 {
		t.Fatalf("ACCEPTED: %+v", got)
	}
	d := cpu.only(wire.Data)
	if len(d) != 1 || string(d[0].Body) != "tick" || d[0].Epoch != 7 || d[0].Port != 0 || d[0].Hops != 1 || d[0].Flags != 0 {
		t.Fatalf("DATA at cpu: %+v", d)
	}
	if l := st.ledger(); l.InFlight != 1 || l.Admitted != 1 {
		t.Fatalf("%+v", l)
	}
	cpu.done(d[0].N, "0.25", "0.5")
	rows := csv.only(wire.Data)
	if len(rows) != 2 || string(rows[0].Body) != "0.25" || string(rows[1].Body) != "0.5" || rows[0].M != d[0].M || rows[0].Hops != 2 {
		t.Fatalf("DATA at csv: %+v", rows)
	}
	csv.say(&wire.Header{Kind: wire.Done, Epoch: 7, N: rows[0].N, M: rows[1].N}, nil)
	if l := st.ledger(); l.Done != 3 || l.Admitted != 3 || l.Held+l.InFlight != 0 || st.o.t.tasks.live != 0 {
		t.Fatalf("%+v, %d tasks", l, st.o.t.tasks.live)
	}
	if len(st.faults) > 0 {
		t.Error(st.faults)
	}
}

func TestFanOutAdmitsOnceForEveryLink(t *testing.T) {
	st := newStage(t, sat("clock", "a", "b", "c"), sat("a"), sat("b"), sat("c"))
	clock := st.join("clock", 0, 1, source)
	clock.emit("x")
	clock.say(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: 2, N: 2}, []byte("y"))
	if l := st.ledger(); l.Admitted != 4 || l.Held != 4 {
		t.Fatalf("%+v", l)
	}
	if d := st.join("c", 0, 2, wire.HelloBody{}).only(wire.Data); len(d) != 0 {
		t.Fatal("join has looked already")
	}
}

func TestWhoBreaksTheProtocolIsRefusedAndNobodyElse(t *testing.T) {
	garbage := func(a *actor) { a.frame([]byte(strings.Repeat("x", 64))) }
	cases := map[string]struct {
		do  func(a *actor, other uint64)
		why string
	}{
		"garbage":          {func(a *actor, _ uint64) { garbage(a) }, "DSAT"},
		"HELLO twice":      {func(a *actor, _ uint64) { a.hello(wire.HelloBody{}) }, "HELLO twice"},
		"other's hop":      {func(a *actor, n uint64) { a.done(n) }, "w:1 has in hand"},
		"fails another's":  {func(a *actor, n uint64) { a.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: n}, nil) }, "w:1 has in hand"},
		"never dispatched": {func(a *actor, _ uint64) { a.done(1 << 40) }, "never given"},
		"range beyond":     {func(a *actor, _ uint64) { a.say(&wire.Header{Kind: wire.Done, Epoch: 7, N: 1, M: 1 << 40}, nil) }, "none beyond"},
		"gap": {func(a *actor, _ uint64) {
			a.say(&wire.Header{Kind: wire.Emit, Epoch: 7, N: 5, Port: wire.AllLinks}, nil)
		}, "EMIT 5 after 0"},
		"no such link":         {func(a *actor, _ uint64) { a.say(&wire.Header{Kind: wire.Emit, Epoch: 7, N: 1, Port: 3}, nil) }, "link 3 of 1"},
		"DATA from a peer":     {func(a *actor, _ uint64) { a.say(&wire.Header{Kind: wire.Data, Epoch: 7, N: 1}, nil) }, "for the daemon"},
		"BYE with work":        {func(a *actor, _ uint64) { a.say(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil) }, "unanswered"},
		"output to no link":    {func(a *actor, _ uint64) { badOutput(a) }, "link 9 of 1"},
		"staged to no link":    {func(a *actor, _ uint64) { a.say(&wire.Header{Kind: wire.Out, Epoch: 7, N: a.data[0], Port: 4}, nil) }, "link 4 of 1"},
		"more EMITs than told": {func(a *actor, _ uint64) { flood(a) }, "window"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			end := sat("end")
			end.Queue.MaxMessages = 10
			st := newStage(t, sat("gen", "w"), sat("w", "end"), end)
			a, b := st.join("w", 0, 1, wire.HelloBody{}), st.join("w", 1, 2, wire.HelloBody{})
			gen := st.join("gen", 0, 3, source)
			gen.emit("1", "2", "3", "4")
			for _, d := range a.only(wire.Data) {
				a.data = append(a.data, d.N)
			}
			others := b.only(wire.Data)
			// the worker has one later dispatch than the other, so that the other's number is one it may have had
			c.do(a, min(others[0].N, a.data[len(a.data)-1]))
			if len(st.faults) != 1 || !strings.Contains(st.faults[0], c.why) || !strings.HasPrefix(st.faults[0], "w:0") {
				t.Fatalf("faults %q, want one of w:0 with %q", st.faults, c.why)
			}
			if e := a.only(wire.Error); len(e) != 1 {
				t.Errorf("ERROR: %+v", e)
			}
			a.done(a.data[0]) // nothing it says counts now
			a.die("killed")
			if b.only(wire.Data); st.o.instances[b.ref] == nil || len(st.faults) != 1 {
				t.Error("the other was harmed", st.faults)
			}
			for b.hand() > 0 {
				b.done(b.hand())
			}
			if l := st.ledger(); l.Done < 4 && name != "more EMITs than told" {
				t.Errorf("its work was not done by the other: %+v", l)
			}
		})
	}
}

func badOutput(a *actor) {
	a.b.Reset()
	a.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: a.data[0]})
	a.b.Output(0, wire.Raw, []byte("good"))
	a.b.Output(9, wire.Raw, []byte("bad"))
	a.b.End()
	a.frame(a.b.Frame())
}

func flood(a *actor) {
	for range emitMessages + 200 {
		a.emit("x")
	}
}

func TestHelloNeedsTheTokenOfThisLife(t *testing.T) {
	for name, change := range map[string]func(a *actor) wire.HelloBody{
		"wrong token":    func(*actor) wire.HelloBody { return wire.HelloBody{Token: "guess"} },
		"an older life":  func(a *actor) wire.HelloBody { a.inc--; return wire.HelloBody{} },
		"another's name": func(a *actor) wire.HelloBody { a.ref.WID = 5; return wire.HelloBody{} },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, sat("w"))
			a := st.admit("w", 0, 9)
			a.hello(change(a))
			if e := a.only(wire.Error); len(e) != 1 || e[0].N != wire.ErrToken {
				t.Errorf("%+v", e)
			}
			if len(st.hellos)+len(st.faults) > 0 || a.car.dropped != 1 {
				t.Error("a stranger's HELLO must have no effect on the instance", st.hellos, st.faults)
			}
		})
	}
}

func TestASecondConnectionCannotTakeOverASession(t *testing.T) {
	st := newStage(t, sat("w"))
	a := st.join("w", 0, 1, wire.HelloBody{})
	thief := &actor{st: st, car: &fake{}, ref: a.ref, inc: a.inc, tok: a.tok}
	thief.p = newPeer(thief.car)
	thief.hello(wire.HelloBody{})
	if len(thief.only(wire.Error)) != 1 || len(st.faults) > 0 || thief.car.dropped != 1 {
		t.Error("want the second refused, the first unharmed", st.faults)
	}
}

func TestEmitIsIdempotent(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen := st.join("gen", 0, 1, source)
	gen.emit("a", "b")
	gen.look()
	gen.seq = 0
	gen.emit("a", "b", "c")
	if acc := gen.only(wire.Accepted); len(acc) != 1 || acc[0].N != 3 {
		t.Errorf("%+v", acc)
	}
	if l := st.ledger(); l.Admitted != 3 {
		t.Errorf("%+v", l)
	}
}

func TestASourceWaitsForAFullQueueAndLosesNothing(t *testing.T) {
	w := sat("w")
	w.Queue.MaxMessages, w.Work.InHand = 5, 2
	st := newStage(t, sat("gen", "w"), w)
	gen := st.join("gen", 0, 1, source)
	for i := range 20 {
		gen.emit(fmt.Sprint(i))
	}
	acc := gen.only(wire.Accepted)
	if n := acc[len(acc)-1].N; n != 5 {
		t.Fatalf("accepted up to %d, want 5", n)
	}
	wrk := st.join("w", 0, 2, wire.HelloBody{})
	// join has looked; what it was given is in hand
	next := uint64(1)
	for seen := 0; seen < 20; {
		n := wrk.hand()
		if n == 0 {
			t.Fatalf("nothing in hand after %d", seen)
		}
		wrk.done(n)
		seen++
		next++
		wrk.look()
	}
	if l := st.ledger(); l.Admitted != 20 || l.Done != 20 {
		t.Errorf("%+v", l)
	}
	if acc := gen.only(wire.Accepted); acc[len(acc)-1].N != 20 {
		t.Errorf("%+v", acc)
	}
}

// hand is the oldest dispatch the loop thinks the actor has.
func (a *actor) hand() uint64 {
	s := a.p.sess
	if s == nil || s.hand.live == 0 {
		return 0
	}
	return s.worker.hand.at(s.worker.hand.first).n
}

func TestWorkIsNotDispatchedAboveAFullQueue(t *testing.T) {
	end := sat("end")
	end.Queue.MaxMessages = 3
	st := newStage(t, sat("gen", "w"), sat("w", "end"), end)
	st.o.byName["w"].cfg.inHand = 2
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2", "3", "4", "5", "6", "7", "8")
	for range 8 {
		if n := w.hand(); n > 0 {
			w.done(n, "out")
		}
	}
	e := st.o.byName["end"]
	if e.waiting.count < 3 || e.waiting.count > 3+2 {
		t.Errorf("%d wait, want 3 and at most the 2 that were in hand", e.waiting.count)
	}
	if l := st.ledger(); l.Done >= 8 {
		t.Errorf("%+v", l)
	}
	sink := st.join("end", 0, 3, wire.HelloBody{})
	for range 40 {
		if n := w.hand(); n > 0 {
			w.done(n, "out")
		}
		if n := sink.hand(); n > 0 {
			sink.done(n)
		}
	}
	if l := st.ledger(); l.Done != 16 || l.Held+l.InFlight != 0 {
		t.Errorf("%+v", l)
	}
}

func TestALoopOfLinksEndsAtTheHopLimit(t *testing.T) {
	a, b := sat("a", "b"), sat("b", "a")
	a.Queue.MaxMessages, b.Queue.MaxMessages = 1, 1
	st := newStage(t, sat("gen", "a"), a, b)
	gen, wa, wb := st.join("gen", 0, 1, source), st.join("a", 0, 2, wire.HelloBody{}), st.join("b", 0, 3, wire.HelloBody{})
	gen.emit("1")
	gen.emit("2")
	for range 100 {
		for _, w := range []*actor{wa, wb} {
			if n := w.hand(); n > 0 {
				w.done(n, "on")
			}
		}
	}
	if l := st.ledger(); l.Quarantined != 2 || l.Held+l.InFlight != 0 {
		t.Errorf("%+v", l)
	}
	if r := st.o.t.aside.list[0].reason; !strings.Contains(r, "hop limit") {
		t.Error(r)
	}
}

func TestStagedOutputsCountWithTheirDone(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w", "end"), sat("end"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1")
	n := w.hand()
	stage := func(body string) {
		w.say(&wire.Header{Kind: wire.Out, Epoch: 7, N: w.hand(), Port: 0}, []byte(body))
	}
	stage("lost with FAIL")
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: n, Flags: wire.FlagRetry}, []byte("once"))
	st.wait(time.Second)
	stage("a")
	stage("b")
	if l := st.ledger(); l.Admitted != 1 {
		t.Fatalf("staged outputs were admitted early: %+v", l)
	}
	w.done(w.hand(), "c")
	if l := st.ledger(); l.Admitted != 4 || l.Done != 1 {
		t.Fatalf("%+v", l)
	}
	var got []string
	for _, d := range st.admitted("end") {
		got = append(got, d)
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("%q", got)
	}
}

// wait moves the loop's clock on.
func (st *stage) wait(d time.Duration) {
	st.o.bus.start = st.o.bus.start.Add(-d)
	st.o.now = st.o.bus.now()
	st.turn()
}

// admitted lists the payloads waiting for a step.
func (st *stage) admitted(step string) []string {
	var out []string
	for i := st.o.byName[step].waiting.head; i != none; i = st.o.t.hops.at(i).next {
		out = append(out, string(st.o.t.hops.at(i).body.data))
	}
	return out
}

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
