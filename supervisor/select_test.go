package supervisor

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// named is a supervisor that only has names.
func named(t *topology.Topology) *Supervisor {
	s, now := &Supervisor{order: newOrder(t)}, newRoster(t)
	for _, spec := range t.Satellites {
		sat := &satellite{spec: spec, slots: &slots{}}
		var list []*instance
		for wid := range spec.Instances {
			list = append(list, &instance{ref: ref(spec.Name, wid), spec: spec})
		}
		sat.list.Store(&list)
		now.add(sat)
	}
	s.present.Store(now)
	return s
}

func TestSelect(t *testing.T) {
	s := named(&topology.Topology{Satellites: list(
		&topology.Satellite{Name: "clock", Instances: 1}, &topology.Satellite{Name: "cpu", Instances: 3}, &topology.Satellite{Name: "net", Instances: 0},
	)})
	for pattern, want := range map[string][]string{
		"cpu": {"cpu:0", "cpu:1", "cpu:2"}, "cpu:1": {"cpu:1"}, "c*": {"clock:0", "cpu:0", "cpu:1", "cpu:2"}, "cpu:[12]": {"cpu:1", "cpu:2"},
		"cpu:2, clock,cpu:2": {"clock:0", "cpu:2"}, "*:0": {"clock:0", "cpu:0"}, "net": nil, "*": {"clock:0", "cpu:0", "cpu:1", "cpu:2"},
	} {
		refs, err := s.Select(pattern)
		var got []string
		for _, r := range refs {
			got = append(got, r.String())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v, want %q", pattern, got, err, want)
		}
	}
	for pattern, want := range map[string][]string{
		"cup": {"cpu"}, "clok": {"clock"}, "cl": {"clock", "cpu"}, "cpu:7": {"cpu:0", "cpu:1", "cpu:2"}, "cpu,zebra": nil, "": nil, "[": nil, "cup:1": {"cpu"},
	} {
		_, err := s.Select(pattern)
		var missing *NotFound
		if !errors.As(err, &missing) {
			t.Errorf("%q: %v", pattern, err)
		} else if len(want) > 0 && !slices.Equal(missing.Suggest, want) || len(want) == 0 && pattern != "" && pattern != "[" && len(missing.Suggest) > 0 {
			t.Errorf("%q: suggests %q, want %q", pattern, missing.Suggest, want)
		}
	}
}

// Whatever the edges, every satellite is in exactly one circle, and no circle waits for itself, however far around.
func TestCircles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "satellites")
		top := &topology.Topology{}
		for i := range n {
			top.Satellites = append(top.Satellites, &topology.Satellite{Name: string(rune('a' + i))})
		}
		pick := rapid.IntRange(0, n-1)
		for range rapid.IntRange(0, 12).Draw(t, "edges") {
			from, to := top.Satellites[pick.Draw(t, "from")], top.Satellites[pick.Draw(t, "to")]
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				from.Needs = append(from.Needs, topology.Need{Name: to.Name})
			case 1:
				from.After = append(from.After, to.Name)
			case 2:
				from.To = append(from.To, topology.Link{To: to.Name})
			}
		}
		all := circles(top)
		count := map[string]int{}
		for i, c := range all {
			for _, name := range c.names {
				count[name]++
			}
			var visit func(int, int)
			visit = func(at, depth int) {
				for _, b := range all[at].before {
					if b == i || depth > n {
						t.Fatalf("circle %v waits for itself", c.names)
					}
					visit(b, depth+1)
				}
			}
			visit(i, 0)
		}
		for _, s := range top.Satellites {
			if count[s.Name] != 1 {
				t.Fatalf("%s is in %d circles", s.Name, count[s.Name])
			}
		}
	})
}
