package topology

import (
	"fmt"
	"slices"
	"strings"
)

func callsKey() *key {
	return &key{name: "calls", kind: stepsKind{}, own: true, whole: true, applies: whenCalls, aka: []string{"asks", "request", "requests", "rpc", "client_of"},
		doc:   "Steps whose answers it may ask for while it handles a message, or as a source: `out.Call` of the Go SDK, `dsat.call` of the Python one. An answer is what the last steps below put out; a step without links answers itself.",
		field: sat(func(s *Satellite) any { return &s.Calls })}
}

func whenCalls(o any) string {
	if o.(*Satellite).Speaks != SpeaksBus {
		return `is for satellites with speaks = "bus": only an SDK can wait for an answer`
	}
	return ""
}

// calls checks what satellites call, and tells of circles in which handlers may wait for each other.
func (r *rules) calls() {
	for _, s := range r.t.Satellites {
		for i, name := range s.Calls {
			if at := r.said[s.Name].find("calls").item(i); r.known(name, "calls", at) {
				r.target(name, at)
			}
		}
	}
	g := r.t.digraph(func(s *Satellite) []string { return append(s.Sends(), s.Calls...) })
	for _, part := range g.circular() {
		if c := r.callIn(part); c != "" {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s in a circle: %s; handlers that all wait for each other get no answer before the deadlines of their calls", c, r.t.path(g.cycle(part))))
		}
	}
}

// callIn names the calls within a part of the graph; "" when there is none.
func (r *rules) callIn(part []int) string {
	var found []string
	for _, i := range part {
		for _, name := range r.t.Satellites[i].Calls {
			if slices.ContainsFunc(part, func(j int) bool { return r.t.Satellites[j].Name == name }) {
				found = append(found, fmt.Sprintf("%s calls %s", r.t.Satellites[i].Name, name))
			}
		}
	}
	return strings.Join(found, ", ")
}

// Feeds are the satellites that get work by s: what it sends to, and what it calls.
func (s *Satellite) Feeds() []string {
	all := s.Sends()
	for _, name := range s.Calls {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
