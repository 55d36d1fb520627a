package supervisor

import (
	"fmt"
	"sync/atomic"

	"github.com/dsat/dsat/topology"
)

// satellite is one entry of a roster. Another roster may hold another entry for the same slots.
type satellite struct {
	spec *topology.Satellite
	*slots
}

// slots is the instances of a satellite, over changes of its entry.
type slots struct {
	list atomic.Pointer[[]*instance] // replaced, never changed
	all  map[int]*instance           // also those scaled away; guarded by turn
	turn chan struct{}               // holds a token while a scaling or a rolling restart is under way
}

func (s *slots) instances() []*instance { return *s.list.Load() }

func (s *Supervisor) find(ref topology.Ref) *instance {
	sat := s.roster().byName[ref.Name]
	if sat == nil {
		return nil
	}
	for _, i := range sat.instances() {
		if i.ref == ref {
			return i
		}
	}
	return nil
}

// everyone is all instances, in the order of the topology.
func (s *Supervisor) everyone() []*instance {
	var all []*instance
	for _, sat := range s.roster().satellites {
		all = append(all, sat.instances()...)
	}
	return all
}

// Snapshot is all satellites in the order of the topology. It takes no lock of the instances.
func (s *Supervisor) Snapshot() []SatelliteStatus {
	present := s.roster()
	satellites := present.satellites
	all := make([]SatelliteStatus, 0, len(satellites))
	for _, sat := range satellites {
		list := sat.instances()
		st := SatelliteStatus{Name: sat.spec.Name, Speaks: sat.spec.Speaks, Instances: make([]InstanceStatus, 0, len(list))}
		if g := present.groups[sat.spec.Name]; g != nil {
			st.Group = g.Name
		}
		for n, i := range list {
			is := *i.status.Load()
			i.hooking.Load().tell(&is)
			is.LogLost, is.LogSuppressed = i.book.Lost()
			st.Instances = append(st.Instances, is)
			st.Want = max(st.Want, is.Want)
			if before := st.State; n == 0 || worst(before, is.State) != before {
				st.State, st.Why = is.State, is.Why
			} else if before == is.State && st.Why == "" {
				st.Why = is.Why
			}
		}
		if len(list) == 0 {
			st.Why = fmt.Sprintf("was scaled to 0: `dsatctl scale %s 1` brings it back", sat.spec.Name)
		}
		if len(sat.spec.Schedules) > 0 {
			s.table.tell(&st)
		}
		all = append(all, st)
	}
	return all
}

// Ready tells, a sentence each, which wanted instances are not ready. Empty is ready.
func (s *Supervisor) Ready() []string {
	var why []string
	for _, i := range s.everyone() {
		if st := i.status.Load(); st.Want == Up && (st.State != Running || st.Unready) {
			why = append(why, fmt.Sprintf("%s is %s: %s", i.ref, st.State, st.Why))
		}
	}
	return why
}
