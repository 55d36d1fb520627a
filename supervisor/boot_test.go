package supervisor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/topology"
)

// The chain goes back from the last that was ready, through what each waited for last: a stage of another, or a place it gave up.
func TestCriticalChain(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	a, b, c, d, e := ref("a", 0), ref("b", 0), ref("b", 1), ref("c", 0), ref("d", 0)
	log := &bootlog{}
	var all []*instance
	for _, r := range []topology.Ref{a, b, c, d, e} {
		i := &instance{ref: r}
		i.status.Store(&InstanceStatus{Ref: r})
		all = append(all, i)
	}
	log.begin(all, 2, map[topology.Ref]*life{}, noon)
	spawn := func(r topology.Ref, open, ready float64) {
		log.held(r, nil, at(open))
		log.spawned(r)
		log.phase(r, phaseSpawned, at(open))
		if ready > 0 {
			log.phase(r, phaseReady, at(ready))
		}
	}
	log.held(b, &BootWait{For: "a", Stage: topology.StageReady}, at(0))
	log.held(b, &BootWait{For: "a", Stage: topology.StageReady}, at(0.5)) // asked again: the same wait
	log.held(c, &BootWait{For: "a", Stage: topology.StageBooted}, at(0))
	log.held(d, &BootWait{Turn: true, By: []topology.Ref{a, b}}, at(0))
	spawn(a, 0, 1)
	spawn(c, 0.1, 0.4)
	spawn(b, 1, 1.5)
	spawn(d, 1.5, 4)
	spawn(e, 0, 0) // never ready
	log.phase(e, phaseFailing, at(3))
	log.spawned(e)
	log.phase(e, phaseFailed, at(5))
	log.end(at(6))
	got := log.report()
	if diff := cmp.Diff([]topology.Ref{d, b, a}, got.Chain); diff != "" {
		t.Error(diff)
	}
	want := []BootWait{{For: "a", Stage: topology.StageReady, From: noon, Until: at(1)}}
	if diff := cmp.Diff(want, got.Instances[1].Waits); diff != "" {
		t.Error(diff)
	}
	if in := got.Instances[4]; in.Spawns != 2 || in.Failed != at(5) || in.Took() != 0 {
		t.Errorf("%+v", in)
	}
	if in := got.Instances[3]; in.Took() != 2500*time.Millisecond {
		t.Errorf("%+v", in)
	}
	for n := range 3 * mostWaits { // memory is bounded, and the last wait is kept
		log.held(e, &BootWait{For: "x", Stage: string(rune('a' + n))}, at(7))
	}
	if n := len(log.report().Instances[4].Waits); n > mostWaits {
		t.Errorf("%d waits", n)
	}
}
