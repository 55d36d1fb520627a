package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dsat/dsat/topology"
)

// A change of the topology takes along what speaks v1: limits are new at once, a step that goes lets go of what it has, and who stands at
// which end cannot change.
func TestLegacyApply(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"), old("clock"))
	p.spawn("cpu", 0, 100)
	for n := range 6 {
		p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, n))
	}
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 4 {
		t.Fatalf("%d sent", got)
	}
	more := old("cpu")
	more.Work.InHand = 5
	next := topo(more, old("clock"), sat("csv"))
	next.V1 = *p.o.legacy.conf
	if err := p.o.apply(next, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	p.turn()
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 1 {
		t.Errorf("%d sent with room for one more", got)
	}
	moved := topo(sat("cpu"), old("clock"))
	moved.V1 = next.V1
	moved.V1.Open = nil
	if err := p.o.apply(moved, ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "cannot change who stands at which end") {
		t.Errorf("%v", err)
	}
	gone := topo(sat("csv"), old("clock"))
	gone.V1 = next.V1
	if err := p.o.apply(gone, ApplyOptions{Discard: map[string]bool{"cpu": true}}); err != nil {
		t.Fatal(err)
	}
	p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 100, 1))
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 9))
	l := p.o.t.ledger()
	if !l.Balanced() || l.Cancelled != 6 || p.o.legacy.steps["cpu"] != nil {
		t.Errorf("%+v", l)
	}
}
