package supervisor

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

func TestParsePss(t *testing.T) {
	for text, want := range map[string]int64{
		"55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:     1200 kB\nPss:      340 kB\nPss_Dirty:  7 kB\n": 340 << 10,
		"Pss: 0 kB\n": 0, "": -1, "Rss: 5 kB\n": -1, "Pss: x kB\n": -1, "Pss: 5 MB\n": -1, "Pss: -3 kB\n": -1, "Pss:\n": -1,
	} {
		got, ok := parsePss([]byte(text))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

func TestMemoryOfUs(t *testing.T) {
	if n := memoryOf(os.Getpid()); n < 1<<20 || n > 8<<30 {
		t.Errorf("this test takes %d bytes", n)
	}
	if n := memoryOf(1 << 30); n != 0 {
		t.Errorf("nobody takes %d bytes", n)
	}
}

// Two instances that grow old at once are replaced one after the other, which is no failure.
func TestRecycleByAge(t *testing.T) {
	s := satelliteOf("old", "pause", "")
	s.Instances, s.Restart.Limit = 2, 1
	s.Recycle = topology.Recycle{Age: 150 * time.Millisecond}
	r := start(t, []*topology.Satellite{s})
	if err := r.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for wid := range 2 {
		st := r.until(ref("old", wid), "replaced often", func(st InstanceStatus) bool { return st.Recycles >= 3 })
		if st.Restarts != 0 || st.State == Fatal {
			t.Errorf("%+v", st)
		}
	}
	deaths, err := r.Deaths([]topology.Ref{ref("old", 0)})
	if err != nil || len(deaths) == 0 {
		t.Fatal(deaths, err)
	}
	if d := deaths[len(deaths)-1]; !d.Asked || !strings.Contains(d.Motive, "replaced, it has run for") {
		t.Errorf("%+v", d)
	}
}

// A worn process waits until the others of its satellite are up.
func TestRecycleLeavesOneUp(t *testing.T) {
	s := satelliteOf("pair", "pause", "")
	s.Instances = 2
	r := start(t, []*topology.Satellite{s})
	if err := r.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	sat := r.roster().byName["pair"]
	if !r.take(t.Context(), sat) {
		t.Fatal("no turn")
	}
	first := r.status(ref("pair", 0))
	r.Worn(first.Ref, first.Inc, "it has handled 5 messages")
	r.Worn(first.Ref, first.Inc+1, "of another life")
	if st := r.status(ref("pair", 0)); st.Inc != first.Inc {
		t.Errorf("it was replaced out of turn: %+v", st)
	}
	sat.give()
	r.until(ref("pair", 0), "replaced", func(st InstanceStatus) bool { return st.State == Running && st.Recycles == 1 })
	if !sat.othersUp(r.find(ref("pair", 0))) {
		t.Error("the other one is not up")
	}
	if _, err := r.Stop(t.Context(), []topology.Ref{ref("pair", 1)}); err != nil {
		t.Fatal(err)
	}
	if !sat.othersUp(r.find(ref("pair", 0))) {
		t.Error("who was stopped by hand keeps others from being replaced")
	}
}

// Bounds that are given later hold for what runs already.
func TestRecycleByNewBounds(t *testing.T) {
	r := start(t, []*topology.Satellite{satelliteOf("old", "pause", "")})
	if err := r.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := r.find(ref("old", 0))
	spec := *r.roster().byName["old"].spec
	spec.Recycle = topology.Recycle{Memory: 1, Every: 5 * time.Millisecond}
	i.post(event{kind: evSpec, spec: &spec})
	r.until(i.ref, "replaced twice", func(st InstanceStatus) bool { return st.Recycles > 1 && st.State == Running })
	deaths, err := r.Deaths([]topology.Ref{i.ref})
	if err != nil || len(deaths) == 0 || !strings.Contains(deaths[0].Motive, "MiB of memory") {
		t.Error(deaths, err)
	}
}
