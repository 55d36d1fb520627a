package supervisor

import (
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

func TestRests(t *testing.T) {
	path := t.TempDir() + "/record"
	open := func() *record {
		r, _, err := openRecord(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.close)
		return r
	}
	cpu, net := rest{"done", time.Unix(0, 5), "s", "exit code 0; all\nis well"}, rest{"stopped", time.Unix(0, 6), "s", ""}
	r := open()
	r.rests(ref("cpu", 0), cpu)
	r.rests(ref("net", 1), net)
	r.rests(ref("net", 2), net)
	r.wakes(ref("net", 2))
	r.wakes(ref("net", 3)) // never rested
	r.scaled("net", scaling{4, 2})
	cpu.why = "exit code 0; all is well"
	want := map[topology.Ref]rest{ref("cpu", 0): cpu, ref("net", 1): net}
	for range 2 { // as it was appended, and as it is compacted
		r = open()
		if !maps.Equal(r.past.rests, want) || r.past.scaled["net"] != (scaling{4, 2}) {
			t.Fatalf("%+v", r.past)
		}
		r.stand(r.past)
	}
	r.finish()
	r.rests(ref("cpu", 0), cpu) // everything is stopped at the end: that is no stop by hand
	r.scaled("net", scaling{3, 2})
	if r = open(); len(r.past.rests)+len(r.past.scaled) > 0 {
		t.Fatalf("%+v", r.past)
	}
}

// What was written down by the clock on the wall is counted in monotonic time from then on; what seems to come from the future is of now.
func TestTimesAreAnchored(t *testing.T) {
	now := time.Now()
	wall := now.Round(0)
	got := anchored([]time.Time{wall.Add(-time.Minute), wall, wall.Add(time.Hour)}, now)
	for n, want := range []time.Duration{time.Minute, 0, 0} {
		if ago := now.Sub(got[n]); ago != want {
			t.Errorf("%d: %s ago, want %s", n, ago, want)
		}
		if !strings.Contains(got[n].String(), " m=") {
			t.Error("no monotonic reading:", got[n])
		}
	}
}
