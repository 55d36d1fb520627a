package bus

import (
	"context"
	"reflect"

	"github.com/dsat/dsat/bus/rules"
	"github.com/dsat/dsat/topology"
)

// Routes is where messages go, as one table.
type Routes struct {
	Version uint64 // how often the links were changed since the daemon began
	Steps   []RouteStatus
}

// RouteStatus is the links of one step that emits.
type RouteStatus struct {
	Step      string
	Mode      topology.RouteMode
	By        string // expression, of topology.RouteHash
	Unrouted  uint64 // messages that took no link
	Failed    uint64 // messages whose By could not be told
	LastError string
	Links     []LinkStatus
}

// LinkStatus is one link, with what went over it.
type LinkStatus struct {
	topology.Link
	Taken     uint64            // messages admitted to To
	Skipped   uint64            // messages its conditions have kept from it
	Failed    uint64            // messages whose condition or key could not be told
	LastError string            // why, the last time
	Others    map[string]uint64 // messages admitted to the ends that get a share or copies
}

// Routes tells where messages go. Errors are *Error: the bus is closed, or its loop did not answer before ctx ended.
func (b *Bus) Routes(ctx context.Context) (Routes, error) {
	return ask(ctx, b, func(o *orchester) (Routes, error) { return Routes{Version: o.version, Steps: o.t.routes()}, nil })
}

func (t *tracker) routes() []RouteStatus {
	var all []RouteStatus
	for _, s := range t.steps {
		if len(s.sat.To) == 0 {
			continue
		}
		st := RouteStatus{Step: s.name, Mode: s.sat.Route.Mode, By: s.sat.Route.By}
		if st.Mode == "" {
			st.Mode = topology.RouteAll
		}
		if s.router != nil {
			st.Unrouted, st.Failed, st.LastError = s.router.unrouted, s.router.byFlow.failed, s.router.byFlow.last
		}
		for _, l := range s.sat.To {
			f := s.flowTo(l.To)
			ls := LinkStatus{Link: l, Taken: f.taken, Skipped: f.skipped, Failed: f.failed, LastError: f.last}
			for _, name := range l.Ends()[1:] {
				if ls.Others == nil {
					ls.Others = map[string]uint64{}
				}
				ls.Others[name] = s.flowTo(name).taken
			}
			st.Links = append(st.Links, ls)
		}
		all = append(all, st)
	}
	return all
}

// keptRoute is what is counted and remembered about the links of one step.
type keptRoute struct {
	From     string
	Unrouted uint64
	ByFailed uint64
	Links    []keptLink
}

type keptLink struct {
	To                     string
	Taken, Skipped, Failed uint64
	Last                   string
	When                   string // the condition whose memory this is
	OneIn                  int
	N                      uint64 // messages that came to one_in
	Memory                 []rules.Cell
}

// keepRoutes writes down what the links have counted and remember.
func (t *tracker) keepRoutes(now int64) []keptRoute {
	var all []keptRoute
	wall := t.seen.start.Add(duration(now))
	for _, s := range t.steps {
		k := keptRoute{From: s.name}
		if s.router != nil {
			k.Unrouted, k.ByFailed = s.router.unrouted, s.router.byFlow.failed
		}
		for _, to := range s.to {
			f := s.flowTo(to.name)
			kl := keptLink{To: to.name, Taken: f.taken, Skipped: f.skipped, Failed: f.failed, Last: f.last}
			if s.router != nil {
				if l := s.router.link(to); l != nil {
					kl.When, kl.OneIn, kl.N = l.spec.When, l.spec.OneIn, l.n
					if l.when != nil {
						kl.Memory = l.when.Memory(wall)
					}
				}
			}
			k.Links = append(k.Links, kl)
		}
		all = append(all, k)
	}
	return all
}

// restoreRoutes takes over what the links of an earlier daemon have counted, and what those that say the same remember.
func (t *tracker) restoreRoutes(now int64, all []keptRoute) {
	by := map[string]*step{}
	for _, s := range t.steps {
		by[s.name] = s
	}
	wall := t.seen.start.Add(duration(now))
	for _, k := range all {
		s := by[k.From]
		if s == nil {
			continue
		}
		if s.router != nil {
			s.router.unrouted, s.router.byFlow.failed = k.Unrouted, k.ByFailed
		}
		for _, kl := range k.Links {
			f := s.flowTo(kl.To)
			f.taken, f.skipped, f.failed, f.last = kl.Taken, kl.Skipped, kl.Failed, kl.Last
			to := by[kl.To]
			if s.router == nil || to == nil {
				continue
			}
			l := s.router.link(to)
			if l == nil || l.spec.When != kl.When || l.spec.OneIn != kl.OneIn {
				continue
			}
			l.n = kl.N
			if l.when != nil {
				l.when.Restore(wall, kl.Memory)
			}
		}
	}
}

// sameRoutes reports whether two topologies tell sessions the same: a change in stages is one change of the links.
func sameRoutes(a, b *topology.Topology) bool {
	type told struct {
		name     string
		to       []topology.Link
		route    topology.Route
		inHand   int
		deadline int64
	}
	tell := func(t *topology.Topology) (all []told) {
		for _, s := range t.Satellites {
			if speaks(s) {
				all = append(all, told{s.Name, s.To, s.Route, s.Work.InHand, int64(s.Work.Deadline)})
			}
		}
		return all
	}
	return reflect.DeepEqual(tell(a), tell(b))
}
