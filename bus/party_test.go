package bus

import (
	"fmt"
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

// A process that runs 32 messages at once dies of one of them: the others get through in a few steps, by halves, and the one is set aside.
func TestPoisonIsFoundByHalves(t *testing.T) {
	for poison := range 32 {
		st := newStage(t, sat("gen", "w"), sat("w"))
		gen := st.join("gen", 0, 1, wire.HelloBody{Source: true})
		life := uint32(2)
		w := st.join("w", 0, life, wire.HelloBody{Concurrency: 32})
		var bodies []string
		for i := range 32 {
			bodies = append(bodies, fmt.Sprint(i))
		}
		gen.emit(bodies...)
		deaths, rounds := 0, 0
		for st.o.t.hops.live > 0 {
			if rounds++; rounds > 40 {
				t.Fatalf("poison %d: %+v after %d deaths", poison, st.ledger(), deaths)
			}
			data := w.only(wire.Data)
			dies := false
			for _, r := range data {
				dies = dies || string(r.Body) == fmt.Sprint(poison)
			}
			if !dies {
				for _, r := range data {
					w.done(r.N)
				}
				continue
			}
			deaths++
			w.die("exit code 42")
			life++
			w = st.admit("w", 0, life)
			w.hello(wire.HelloBody{Concurrency: 32})
		}
		if l := st.ledger(); l.Done != 31 || l.Quarantined != 1 || deaths != 6 || rounds > 6+6 {
			t.Errorf("poison %d: %d deaths in %d rounds, %+v", poison, deaths, rounds, l)
		}
		if got := string(st.o.t.aside.list[0].payload); got != fmt.Sprint(poison) {
			t.Errorf("%q is set aside, and it was %d", got, poison)
		}
	}
}

// A worker that dies on everything makes poison of three messages at most, halves or not.
func TestABrokenWorkerIsNoPoison(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	for range 64 {
		gen.emit("x")
	}
	for life := range uint32(100) {
		w := st.join("w", 0, 2+life, wire.HelloBody{Concurrency: 16})
		st.turn()
		w.die("exit code 1")
	}
	if l := st.ledger(); l.Quarantined != brokenAfter || l.Held != 64-brokenAfter {
		t.Errorf("%+v", l)
	}
}
