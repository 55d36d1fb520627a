package bus

import (
	"slices"

	"github.com/dsat/dsat/bus/wire"
)

// relink numbers the steps in their order and makes their links those of their satellites. spoken reports whether a step has
// sessions: they know links by ports, so that none of these may come to mean another one.
func relink(steps []*step, spoken func(*step) bool) {
	by := make(map[string]*step, len(steps))
	for i, s := range steps {
		by[s.name] = s
		s.index, s.to, s.from, s.gates = i, nil, nil, nil
	}
	for _, s := range steps {
		if s.guard != nil {
			s.guard.fallback = by[s.sat.Breaker.Fallback]
		}
		for _, name := range s.sat.Sends() {
			if to := by[name]; to != nil {
				s.to = append(s.to, to)
			}
		}
	}
	for _, s := range steps {
		for _, to := range s.to {
			to.from = append(to.from, s)
		}
	}
	for _, s := range steps {
		if !spoken(s) {
			s.routes, s.origins, s.callees = nil, nil, nil
		}
		s.routes, s.origins = places(s.routes, s.to), places(s.origins, s.from)
		s.callSteps(by)
		s.reflow()
		s.conditions(by)
		s.ports = make([]uint16, len(steps))
		for i := range s.ports {
			s.ports[i] = wire.AllLinks
		}
		for _, f := range s.from {
			s.ports[f.index] = uint16(slices.Index(s.origins, f))
		}
	}
	regate(steps)
}

// regate finds the queues below each step that can stop it.
func regate(steps []*step) {
	for _, s := range steps {
		s.gates = nil
		for _, to := range s.to {
			if (to.shut || to.cfg.blocks || to.cfg.durable) && !reaches(to, s, map[*step]bool{}) {
				s.gates = append(s.gates, to)
			}
		}
	}
}

// places gives each link the port it had, and those that had none the next ones.
func places(ports, links []*step) []*step {
	ports = slices.Clone(ports)
	for _, l := range links {
		if !slices.Contains(ports, l) {
			ports = append(ports, l)
		}
	}
	return ports
}

// linkNames is what a peer is told of ports: the names of links, and "" for those that are gone.
func linkNames(ports, links []*step) []string {
	names := make([]string, len(ports))
	for i, s := range ports {
		if slices.Contains(links, s) {
			names[i] = s.name
		}
	}
	return names
}

// routing is what the sessions of s have to know of its place in the topology.
func (s *step) routing() wire.RoutesBody {
	return wire.RoutesBody{Routes: linkNames(s.routes, s.to), From: linkNames(s.origins, s.from), Calls: linkNames(s.callees, s.calls), InHand: s.cfg.inHand, DeadlineMS: s.cfg.deadline / 1e6}
}
