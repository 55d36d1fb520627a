package topology

import "slices"

// Wide is the topology for the time in which new and changed satellites become ready: they are as in New, what is to be removed is
// still there, and what changes without a restart is as it was in Old. All names that any entry has exist in it.
func (p *Plan) Wide() *Topology {
	out := p.stage(p.Old)
	moved := p.Moved()
	for _, c := range p.Satellites {
		switch {
		case c.Verdict == Removed, c.Verdict == Unchanged:
			out.Satellites = append(out.Satellites, p.Old.Satellite(c.Name).readdressed(moved))
		case !c.Restart && c.Verdict == Changed:
			// Order is by New already: what Old and New each say without a circle could be one together.
			s := *p.Old.Satellite(c.Name).readdressed(moved)
			s.Needs, s.After = p.New.Satellite(c.Name).Needs, p.New.Satellite(c.Name).After
			out.Satellites = append(out.Satellites, &s)
		default:
			out.Satellites = append(out.Satellites, p.New.Satellite(c.Name))
		}
	}
	return out
}

// Narrow is the topology for the time in which what is to be removed ends: New, and those, which nobody feeds any more.
func (p *Plan) Narrow() *Topology {
	out := p.stage(p.New)
	moved := p.Moved()
	for _, c := range p.Satellites {
		if c.Verdict == Removed {
			out.Satellites = append(out.Satellites, p.Old.Satellite(c.Name).readdressed(moved))
		} else {
			out.Satellites = append(out.Satellites, p.New.Satellite(c.Name))
		}
	}
	return out
}

func (p *Plan) stage(like *Topology) *Topology {
	out := *like
	out.Dir, out.Satellites, out.Sockets, out.Secrets = p.New.Dir, nil, p.allSockets(), p.allSecrets()
	return &out
}

// readdressed is the satellite with the new names of others, and itself when it names none of them.
func (s *Satellite) readdressed(moved map[string]string) *Satellite {
	if len(moved) == 0 {
		return s
	}
	now := func(name string) string {
		if to, ok := moved[name]; ok {
			return to
		}
		return name
	}
	out := *s
	out.To, out.Needs, out.After = slices.Clone(s.To), slices.Clone(s.Needs), slices.Clone(s.After)
	for i := range out.To {
		out.To[i] = out.To[i].moved(now)
	}
	for i := range out.Needs {
		out.Needs[i].Name = now(out.Needs[i].Name)
	}
	for i := range out.After {
		out.After[i] = now(out.After[i])
	}
	out.Calls = slices.Clone(s.Calls)
	for i := range out.Calls {
		out.Calls[i] = now(out.Calls[i])
	}
	for _, h := range []**TaskHook{&out.OnDone, &out.OnFailed} {
		if *h != nil && (*h).To != "" {
			moved := **h
			moved.To = now(moved.To)
			*h = &moved
		}
	}
	return &out
}
