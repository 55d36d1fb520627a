package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
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
	thief.p = newPeer(thief.car, st.o.bus.pool)
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
	if got := st.admitted("end"); strings.Join(got, "") != "abc" {
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
