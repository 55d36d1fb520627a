package bus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// comeBack says HELLO with what an actor has in hand.
func (a *actor) comeBack(holds ...string) []string {
	a.hello(wire.HelloBody{Holds: holds})
	for _, r := range a.look() {
		if r.Kind == wire.Welcome {
			var w wire.WelcomeBody
			if err := wire.ParseJSON(&r, &w); err != nil {
				a.st.t.Fatal(err)
			}
			return w.Held
		}
		if r.Kind == wire.Data {
			a.st.t.Errorf("%s is given %q before its WELCOME", a.ref, r.Body)
		}
	}
	return nil
}

// number is what a dispatch is called in the new session.
func number(t *testing.T, held []string) (n uint64) {
	t.Helper()
	var of string
	if len(held) != 1 {
		t.Fatalf("held: %q", held)
	}
	if _, err := fmt.Sscanf(held[0], "%s %d", &of, &n); err != nil {
		t.Fatalf("held: %q", held)
	}
	return n
}

func TestAWorkerThatOutlivedItsDaemonGoesOn(t *testing.T) {
	sats := func() []*topology.Satellite {
		return []*topology.Satellite{sat("gen", "w"), keep(sat("w", "x")), keep(sat("x"))}
	}
	st := newStage(t, sats()...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	w0, w1 := st.join("w", 0, 2, wire.HelloBody{}), st.join("w", 1, 3, wire.HelloBody{})
	gen.emit("1", "2")
	st.sync(l)
	_, n0 := w0.bodies()
	_, n1 := w1.bodies()
	st.sync(l)
	next, log := st.killed(l, l.seq, sats()...)
	// Both live on, and are known before anybody speaks. What one has is not given to the other, who is there first.
	a0, a1 := next.admit("w", 0, 2), next.admit("w", 1, 3)
	if held := a1.comeBack(fmt.Sprintf("7.%d", n1[0]), "7.99", "6.1", "nonsense", "."); len(held) != 1 {
		t.Fatalf("held: %q", held)
	}
	if got, _ := a1.bodies(); len(got) > 0 {
		t.Fatalf("%q were given before w:0 has spoken", got)
	}
	held := a0.comeBack(fmt.Sprintf("7.%d", n0[0]))
	n := number(t, held)
	next.wait(time.Minute)
	if got, _ := a0.bodies(); len(got) > 0 {
		t.Fatalf("it is given %q again", got)
	}
	a0.b.Reset()
	a0.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 8, N: n})
	a0.b.Output(wire.AllLinks, wire.Text, []byte("out"))
	a0.b.End()
	a0.frame(a0.b.Frame())
	next.sync(log)
	if led := next.ledger(); led.Done != 1 || led.Admitted != 3 || led.InFlight != 1 {
		t.Errorf("%+v", led)
	}
	// The other dies: its message comes back, as of any worker.
	a1.die("killed")
	if got, _ := a0.bodies(); !slices.Equal(got, []string{"2"}) {
		t.Errorf("w:0 is given %q", got)
	}
	if len(next.faults) > 0 {
		t.Error(next.faults)
	}
}

// Killed again, the next daemon but one hears the same words; and one that never hears them goes on without.
func TestClaimsOutliveAnotherKillAndAreNotWaitedForLong(t *testing.T) {
	sats := func() []*topology.Satellite { return []*topology.Satellite{sat("gen", "w"), keep(sat("w"))} }
	st := newStage(t, sats()...)
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1")
	st.sync(l)
	_, n := w.bodies()
	st.sync(l)
	said := fmt.Sprintf("7.%d", n[0])
	second, log := st.killed(l, l.seq, sats()...)
	number(t, second.admit("w", 0, 2).comeBack(said))
	second.sync(log)
	third, log3 := second.killed(log, log.seq, sats()...)
	a := third.admit("w", 0, 2)
	fail := number(t, a.comeBack(said))
	a.say(&wire.Header{Kind: wire.Fail, Epoch: third.o.t.epoch, N: fail, Flags: wire.FlagRetry}, []byte("bad day"))
	third.sync(log3)
	third.wait(time.Minute)
	if got, _ := a.bodies(); !slices.Equal(got, []string{"1"}) {
		t.Errorf("after its failure it is tried again: %q", got)
	}
	late, _ := st.killed(l, l.seq, sats()...)
	silent := late.admit("w", 0, 2)
	b := late.arrive("w", 1, 3)
	if got, _ := b.bodies(); len(got) > 0 || !late.o.t.steps[1].awaits {
		t.Fatalf("%q is given to another while w:0 may have it", got)
	}
	late.wait(3 * time.Second)
	if got, _ := b.bodies(); !slices.Equal(got, []string{"1"}) {
		t.Fatalf("w:1 is given %q", got)
	}
	if held := silent.comeBack(said); len(held) > 0 {
		t.Errorf("w:0 came too late, and is believed: %q", held)
	}
	late.ledger()
}
