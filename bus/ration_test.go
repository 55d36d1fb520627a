package bus

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// Answers, good and bad, and accepted EMITs are counted for each life, and it is told once.
func TestSessionIsWornAfterSoManyMessages(t *testing.T) {
	clock, cpu := sat("clock", "cpu"), sat("cpu")
	clock.Recycle, cpu.Recycle = topology.Recycle{Messages: 4}, topology.Recycle{Messages: 3}
	st := newStage(t, clock, cpu)
	var worn []string
	st.o.bus.cfg.Worn = func(r topology.Ref, inc topology.Incarnation, why string) {
		worn = append(worn, fmt.Sprintf("%s %s: %s", r, inc, why))
	}
	src, w := st.join("clock", 0, 1, source), st.join("cpu", 0, 2, wire.HelloBody{})
	src.emit("a", "b", "c")
	d := w.only(wire.Data)
	w.done(d[0].N)
	w.done(d[0].N) // a repeat is no answer
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: d[1].N}, []byte("no"))
	if len(worn) > 0 {
		t.Fatal(worn)
	}
	w.done(d[2].N)
	src.emit("d", "e", "f")
	for _, r := range w.only(wire.Data) {
		w.done(r.N)
	}
	want := []string{"cpu:0 7.2: it has handled 3 messages", "clock:0 7.1: it has handled 4 messages"}
	if !reflect.DeepEqual(worn, want) {
		t.Errorf("%q, want %q", worn, want)
	}
	if len(st.faults) > 0 {
		t.Error(st.faults)
	}
}

// The jitter stays within its share, and is drawn for each life.
func TestRationIsSpread(t *testing.T) {
	cpu := sat("cpu")
	cpu.Instances, cpu.Recycle = 50, topology.Recycle{Messages: 1000, Jitter: 0.2}
	st := newStage(t, sat("clock", "cpu"), cpu)
	seen := map[int]bool{}
	for wid := range 50 {
		n := st.join("cpu", wid, uint32(wid+1), wire.HelloBody{}).p.sess.left
		if n < 800 || n > 1200 {
			t.Errorf("%d messages", n)
		}
		seen[n] = true
	}
	if len(seen) < 10 {
		t.Errorf("50 lives have %d rations", len(seen))
	}
}
