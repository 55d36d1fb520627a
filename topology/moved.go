package topology

func movedKey() *key {
	return &key{name: "moved_from", kind: nameKind{}, own: true, aka: []string{"renamed_from", "formerly", "was"},
		doc:   "Its former name. When a satellite of that name runs and the new topology has none, it is this one: what waits for it, in memory too, waits for this one. It may stay in the file afterwards.",
		field: sat(func(s *Satellite) any { return &s.MovedFrom }), dropped: func(o, _ any) bool { return o.(*Satellite).MovedFrom == "" }}
}

// moved checks former names: of one satellite there is one new name, and it is not there itself.
func (r *rules) moved() {
	taken := map[string]string{}
	for _, s := range r.t.Satellites {
		from := s.MovedFrom
		if from == "" {
			continue
		}
		at := r.said[s.Name].find("moved_from").pos
		switch {
		case r.said[from] != nil:
			r.add(at, "leave moved_from out, or remove the other", "%s cannot have been %s: there is a satellite of that name", s.Name, from)
		case taken[from] != "":
			r.add(at, "what waits for it can have one heir only", "%s and %s cannot both have been %s", taken[from], s.Name, from)
		}
		taken[from] = s.Name
	}
}
