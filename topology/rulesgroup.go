package topology

import "fmt"

// groups checks what groups and satellites say about each other, and sorts the members.
func (r *rules) groups(declared *setting) {
	if declared == nil {
		return
	}
	member := map[string]string{}
	for _, g := range r.t.Groups {
		said := declared.find(g.Name)
		list := said.find("members")
		if list == nil || !list.bad && len(g.Members) == 0 {
			r.add(said.at, `say members = ["NAME", "NAME"]`, "group %s has no members", g.Name)
		}
		fine := true
		for i, name := range g.Members {
			if !r.known(name, "members", list.item(i)) {
				fine = false
			} else if other := member[name]; other != "" && other != g.Name {
				r.add(list.item(i), "a satellite is in one group at most", "%s is a member of the groups %s and %s", name, other, g.Name)
			}
			member[name] = g.Name
			fine = fine && r.built[name] != nil
		}
		if fine {
			g.Members = r.t.startOrder(g.Members)
		}
	}
}

// endings checks what shall follow the end of a satellite. What it has inherited and cannot mean is left out.
func (r *rules) endings() {
	for _, s := range r.t.Satellites {
		said := r.said[s.Name].find("restart")
		r.stopsGroup(s, said.find("then"), &s.Restart.Then)
		r.stopsGroup(s, said.find("done"), &s.Restart.Done)
		if f := said.find("done"); s.Restart.Done.Kind != EndStay && s.Restart.Policy == RestartAlways {
			if s.Restart.Done = (Ending{}); !f.inherited {
				r.add(f.at, `say restart.policy = "on-failure" or "never"`, "restart.done means nothing where restart.policy is always: it never ends for good")
			}
		}
		for i, n := range s.Needs {
			if of := r.built[n.Name]; n.Stage == StageDone && of != nil && of.Restart.Policy == RestartAlways {
				r.add(r.said[s.Name].find("needs").item(i), fmt.Sprintf(`say restart = "never" or "on-failure" in [satellite.%s]`, n.Name),
					"%s waits until %s is done, which is never: its restart.policy is always", s.Name, n.Name)
			}
		}
	}
}

func (r *rules) stopsGroup(s *Satellite, f *setting, e *Ending) {
	if e.Kind != EndStop || r.broken || r.t.GroupOf(s.Name) != nil {
		return
	}
	if *e = (Ending{}); !f.inherited {
		r.add(f.pos, `name it in the members of a [group.NAME]; "exit" ends the daemon`, "%s = %q: %s is in no group", f.key.label, EndStop, s.Name)
	}
}
