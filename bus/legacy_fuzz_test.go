package bus

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// Whatever comes through whatever link: the loop lives, and the books balance.
func FuzzLegacyLinks(f *testing.F) {
	f.Add([]byte(spell(fmt.Sprintf(order, 1))+"\n"+spell(tell("ACK", "unset", 100, 2))), []byte{1, 3})
	f.Add([]byte(spell(fmt.Sprintf(order, 1))+"\n"+spell(tell("ACK", "unset", 100, 2))+"\n"+spell(tell("HAPPY_END", "unset", 100, 2))+"\n"+spell(tell("SEND", "csv", 100, 2))), []byte{1, 3, 3, 2})
	f.Add([]byte(spell(tell("ERROR", "TERMINUS", 100, 0))+"\n\n\x00\x00\x00"), []byte{3, 0, 2})
	f.Fuzz(func(t *testing.T, text, where []byte) {
		p := newPast(t, append(oldLinks, "PUSH_cpu_CSV"), topology.V1Quarantine, old("cpu", "csv"), sat("csv"))
		csv := p.join("csv", 0, 1, wire.HelloBody{})
		p.spawn("cpu", 0, 100)
		links := []string{"PUSH_any_ORCHESTER", "PUSH_any_ORCHESTER", "PUSH_cpu_CSV", "PUSH_any_TRACKER"}
		for i, vector := range bytes.Split(text, []byte("\n")) {
			link := links[0]
			if i < len(where) {
				link = links[int(where[i])%len(links)]
			}
			p.o.frame(p.ports[link].peer, appendArrival(nil, "", vector))
			p.turn()
			p.sent("PUSH_ORCHESTER_cpu")
			if l := p.o.t.ledger(); !l.Balanced() {
				t.Fatalf("%+v", l)
			}
		}
		for _, r := range csv.only(wire.Data) {
			csv.done(r.N)
		}
		p.later(0)
		if l := p.o.t.ledger(); !l.Balanced() {
			t.Fatalf("%+v", l)
		}
	})
}
