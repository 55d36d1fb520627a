package topology

// setting is a value that a file gives to a key: checked, expanded, and still knowing where it came from. Files are merged
// as settings.
type setting struct {
	key       *key // nil for the members of options
	name      string
	at        place // of the key
	pos       place // of the value
	value     any   // what the kind read; nil for tables
	table     bool
	fields    []*setting
	items     []place // of the elements of a list
	inherited bool    // from [defaults]
	bad       bool    // it was wrong, which is reported: nothing more is to be said about what follows from it
}

// find returns the member of that name, or nil; it is nil-safe.
func (s *setting) find(name string) *setting {
	if s == nil {
		return nil
	}
	for _, f := range s.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// item is the place of the i-th element, or of the value.
func (s *setting) item(i int) place {
	if i < len(s.items) {
		return s.items[i]
	}
	return s.pos
}

// merge lays over upon under, member by member, and returns a new setting. The order is that of the first mention.
func merge(under, over *setting) *setting {
	switch {
	case under == nil:
		return over
	case over == nil:
		return under
	case !under.table || !over.table || over.key != nil && over.key.whole:
		return over
	}
	out := *over
	out.fields = nil
	above := make(map[string]*setting, len(over.fields))
	groups := map[string]bool{}
	for _, f := range over.fields {
		above[f.name] = f
		if f.key != nil && f.key.group != "" {
			groups[f.key.group] = true
		}
	}
	seen := make(map[string]bool, len(under.fields))
	for _, f := range under.fields {
		seen[f.name] = true
		o := above[f.name]
		if o == nil && f.key != nil && groups[f.key.group] {
			continue // another member of its group was chosen above
		}
		out.fields = append(out.fields, merge(f, o))
	}
	for _, f := range over.fields {
		if !seen[f.name] {
			out.fields = append(out.fields, f)
		}
	}
	return &out
}

// inherit is a copy of a satellite's defaults, marked, so that a default that means nothing for one satellite is no mistake.
func inherit(s *setting) *setting {
	out := *s
	out.inherited = true
	out.fields = nil
	for _, f := range s.fields {
		out.fields = append(out.fields, inherit(f))
	}
	return &out
}
