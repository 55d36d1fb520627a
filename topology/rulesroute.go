package topology

import (
	"fmt"
	"strings"
)

// routes checks what links and their modes say together.
func (r *rules) routes(s *Satellite, said *setting) {
	route := said.find("route")
	switch {
	case s.Route.Mode == RouteHash && s.Route.By == "" && (route.find("by") == nil || !route.find("by").bad):
		r.add(orElse(route.find("mode"), said).pos, `say by = "payload.host", or what else shall decide`, "route.mode = \"hash\" wants by")
	case s.Route.Mode != RouteHash && s.Route.By != "":
		r.add(route.find("by").pos, `say mode = "hash"`, "route.by means nothing with mode = %q", s.Route.Mode)
	}
	if m := route.find("member"); m != nil && !m.bad && s.Speaks != SpeaksJSON && !doubtful(said) {
		r.add(m.pos, `say speaks = "json"; an SDK names the links of what it puts out`, "route.member is for filters that speak json, and %s speaks %q", s.Name, s.Speaks)
	}
	to := said.find("to")
	for i, l := range s.To {
		for _, name := range l.Ends()[1:] {
			if at := to.item(i); r.known(name, "the link to "+shorten(l.To), at) {
				r.target(name, at)
			}
		}
	}
	if s.MayLose() {
		var names []string
		for _, l := range s.To {
			names = append(names, l.To)
		}
		r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s: a message may match none of its links (%s): it then ends there, counted as unrouted; fallback = true makes a link take what no other took",
			s.Name, strings.Join(names, ", ")))
	}
}
