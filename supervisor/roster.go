package supervisor

import "github.com/dsat/dsat/topology"

// roster is who there is at a moment: a topology and its satellites. It is never changed; a change of the topology at run time
// replaces it as a whole. Who needs more than one thing of it takes it once, and works on what it was then.
type roster struct {
	topology   *topology.Topology
	satellites []*satellite // in the order of the topology
	byName     map[string]*satellite
	groups     map[string]*topology.Group // by the name of each member
}

// roster is the present one.
func (s *Supervisor) roster() *roster { return s.present.Load() }

// Topology is the present one: in the middle of a change the one that is gone through.
func (s *Supervisor) Topology() *topology.Topology { return s.roster().topology }

func newRoster(t *topology.Topology) *roster {
	r := &roster{topology: t, byName: make(map[string]*satellite, len(t.Satellites)), groups: make(map[string]*topology.Group)}
	for _, g := range t.Groups {
		for _, name := range g.Members {
			r.groups[name] = g
		}
	}
	return r
}

// add is for a roster that nobody else has seen yet.
func (r *roster) add(sat *satellite) {
	r.satellites = append(r.satellites, sat)
	r.byName[sat.spec.Name] = sat
}

// newSatellite makes an entry with its instances.
func (s *Supervisor) newSatellite(t *topology.Satellite) *satellite {
	sat := &satellite{spec: t, slots: &slots{turn: make(chan struct{}, 1), all: make(map[int]*instance)}}
	list := make([]*instance, 0, t.Instances)
	for wid := range t.Instances {
		list = append(list, s.instance(sat, wid))
	}
	sat.list.Store(&list)
	return sat
}
