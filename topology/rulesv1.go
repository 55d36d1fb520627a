package topology

import (
	"slices"
	"strings"

	"github.com/dsat/dsat/bus/v1"
)

// legacy checks [bus.v1] and those who speak it.
func (r *rules) legacy(said *setting) {
	spoken := r.legacySatellites(said)
	if said == nil {
		r.t.V1 = V1{}
		return
	}
	if w := r.t.V1.Where; w == "" || strings.ContainsAny(w, ":\x00") {
		r.add(orElse(said.find("where"), said).pos, "it is the name of this host", "where is empty or holds a colon, which separates fields")
	}
	links := said.find("links")
	if links == nil || links.bad {
		if spoken {
			r.add(said.at, `say links = { PUSH_any_ORCHESTER = "tcp://127.0.0.1:9576", ... }`, "bus.v1 has no links")
		}
		return
	}
	var problems []v1.Problem
	r.t.V1.Open, problems = v1.Lint(v1.Table{Links: r.t.V1.Links, Variables: r.t.V1.Variables, Dir: r.t.Dir, Expose: r.t.V1.Expose,
		Role: r.role, Instances: func(name string) int { return r.built[name].Instances }})
	for i := range problems {
		r.legacyProblem(&problems[i], links.find(problems[i].Link))
	}
	for _, s := range r.t.Satellites {
		if s.Speaks == SpeaksV1 && r.role(s.Name) == v1.Theirs && !doubtful(r.said[s.Name]) && len(problems) == 0 {
			r.reachable(s)
		}
	}
}

// legacySatellites checks those who speak v1, each by itself, and reports whether there are any.
func (r *rules) legacySatellites(said *setting) (spoken bool) {
	for _, s := range r.t.Satellites {
		if s.Speaks != SpeaksV1 {
			continue
		}
		spoken = true
		at := r.said[s.Name]
		switch {
		case said == nil:
			r.add(at.find("speaks").pos, `say [bus.v1] with links = { PUSH_any_ORCHESTER = "tcp://127.0.0.1:9576", ... }`, "%s speaks v1, and there is no [bus.v1]", s.Name)
		case s.Name == v1.Orchester || s.Name == v1.Tracker || s.Name == v1.Any:
			r.add(at.at, "leave it out: dsatd is orchester and tracker", "a satellite that speaks v1 cannot be called %s", s.Name)
		case strings.Contains(s.Name, "_"):
			r.add(at.at, "give it another name", "names of satellites that speak v1 cannot hold a _, for DSAT splits the names of links there")
		case strings.Contains(s.Name, v1.Any):
			r.add(at.at, "give it another name", "DSAT 0.6 overlooks every link with the letters any in it, as in %q", s.Name)
		}
		if f := at.find("work").find("heartbeat"); s.Work.Heartbeat > 0 && f != nil && !f.inherited {
			r.add(f.at, "leave it out", "%s speaks v1, which has no PROGRESS: work.heartbeat means nothing", s.Name)
		}
		if strings.ContainsAny(s.V1.Channel, ":\x00") {
			r.add(at.find("v1").find("channel").pos, "", "v1.channel holds a colon, which separates fields")
		}
	}
	return spoken
}

// role says who stands at the end of a link.
func (r *rules) role(name string) v1.Role {
	switch s := r.built[name]; {
	case name == v1.Orchester || name == v1.Tracker:
		return v1.Ours
	case s == nil && r.said[name] != nil:
		return v1.Theirs // its table is wrong, which is reported
	case s == nil:
		return v1.Nobody
	case s.Speaks == SpeaksV1:
		return v1.Theirs
	case s.Speaks == SpeaksNone:
		return v1.Nobody
	}
	return v1.Ours
}

// legacyProblem puts what is wrong with a link where it stands.
func (r *rules) legacyProblem(p *v1.Problem, said *setting) {
	if p.Note {
		r.t.Notes = append(r.t.Notes, p.Text)
		return
	}
	if said == nil {
		return // it was wrong before
	}
	at := said.pos
	if p.InName {
		at = said.at
	} else if at.off >= 0 && p.Off > 0 {
		at.off += 1 + p.Off // after the quote
	}
	hint := p.Hint
	if hint == "" && strings.HasSuffix(p.Text, "no such satellite") {
		for _, end := range strings.Split(strings.ToLower(p.Link), "_") {
			if r.built[end] == nil {
				hint = didYouMean(end, r.names)
			}
		}
	}
	r.add(at, hint, "%s", p.Text)
}

// reachable checks that what a satellite needs is among the links.
func (r *rules) reachable(s *Satellite) {
	said := r.said[s.Name]
	fed, asked, reports := false, false, false
	for i := range r.t.V1.Open {
		switch p := &r.t.V1.Open[i]; {
		case p.To() == s.Name:
			fed = fed || p.End != "" && p.From() != v1.Tracker
		case p.To() == v1.Tracker:
			reports = true
		}
	}
	for _, o := range r.t.Satellites {
		asked = asked || o.Speaks != SpeaksV1 && slices.ContainsFunc(o.To, func(l Link) bool { return l.To == s.Name })
	}
	switch {
	case asked && !fed:
		r.add(said.at, "add PUSH_ORCHESTER_"+s.Name+" to links of [bus.v1]", "messages shall go to %s, and no link leads there from dsatd", s.Name)
	case fed && !reports:
		r.add(said.at, "add PUSH_any_TRACKER to links of [bus.v1]", "%s could never be done with anything: its reports come over a link to TRACKER, and there is none", s.Name)
	case !fed && !r.speaksAnywhere(s.Name):
		r.add(said.at, "add PUSH_any_ORCHESTER for a source, PUSH_ORCHESTER_"+s.Name+" for a worker", "no link of [bus.v1] is of use to %s", s.Name)
	}
}

// speaksAnywhere reports whether any link is of a satellite, or of everybody.
func (r *rules) speaksAnywhere(name string) bool {
	return slices.ContainsFunc(r.t.V1.Open, func(p v1.Planned) bool {
		return p.Src == name || p.Dst == name || p.Src == v1.Any && p.Dst == v1.Orchester
	})
}
