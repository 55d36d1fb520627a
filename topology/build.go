package topology

import (
	"path/filepath"
	"reflect"
	"strings"
)

// build makes the value of the merged settings, and applies the rules that need more than one key.
func (l *loader) build(merged *setting) (*Topology, map[string]*setting) {
	t := &Topology{}
	for _, s := range l.sources {
		t.Files = append(t.Files, s.path)
	}
	t.Dir = filepath.Dir(l.sources[0].path)
	l.apply(l.root.keys, merged, t)
	if t.Name == "" {
		t.Name = l.opt.Name
	}
	if t.Name == "" {
		t.Name = stem(l.sources[0].path)
	}
	defaults := merged.find("defaults")
	declared := merged.find("satellite")
	each := l.root.find("satellite").each
	r := &rules{loader: l, t: t, said: map[string]*setting{}, built: map[string]*Satellite{}}
	if declared != nil {
		for _, s := range declared.fields {
			if s.bad {
				r.said[s.name] = s
				continue
			}
			if defaults != nil {
				s = merge(inherit(defaults), s)
			}
			r.said[s.name] = s
			out := &Satellite{Name: s.name}
			l.apply(each.keys, s, out)
			r.satellite(out, s)
			r.built[s.name] = out
			t.Satellites = append(t.Satellites, out)
		}
	}
	if declared == nil && !l.broken {
		l.problems.add(place{l.sources[0], -1}, "[satellite.NAME] with a command or a plugin is one; `dsatd init` writes some", "names no satellite")
	}
	r.groups(merged.find("group"))
	r.sockets(merged.find("socket"))
	r.secrets(merged.find("secrets"))
	r.all()
	r.legacy(merged.find("bus").find("v1"))
	return t, r.said
}

// stem makes a valid name of a file's.
func stem(path string) string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	name = strings.Map(func(c rune) rune {
		if c == '-' || c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, name)
	name = strings.TrimLeft(name, "-_")
	if name = name[:min(len(name), 63)]; name == "" {
		return "topology"
	}
	return name
}

// apply sets the fields of owner: to what the file says, to what follows from other keys, or to the default. Keys are
// applied in the order of the schema, so that what others follow from stands before them.
func (l *loader) apply(keys []*key, s *setting, owner any) {
	for _, k := range keys {
		given := s.find(k.name)
		if k.later || k.name == "defaults" {
			continue
		}
		if k.applies != nil {
			if why := k.applies(owner); why != "" {
				if given != nil && !given.inherited && !doubtful(s) {
					l.problems.add(given.at, "", "%s %s", k.label, why)
				}
				continue
			}
		}
		if _, isTable := k.kind.(tableKind); isTable {
			l.apply(k.keys, given, owner)
			continue
		}
		if _, isEntries := k.kind.(entriesKind); isEntries {
			l.entries(k, given, owner)
			continue
		}
		if k.field == nil {
			continue
		}
		switch {
		case given != nil && !given.bad:
			assign(k.field(owner), given.plain())
		case k.derive != nil:
			assign(k.field(owner), k.derive(owner))
		case k.value != nil:
			assign(k.field(owner), k.value)
		}
	}
}

// doubtful reports that what a satellite is could not be read, so that nothing can be concluded from it.
func doubtful(s *setting) bool {
	for _, name := range []string{"command", "plugin", "speaks", "mode"} {
		if f := s.find(name); f != nil && f.bad {
			return true
		}
	}
	return false
}

// plain is the Go value of a setting. Empty maps are nil, so that absent and empty are equal.
func (s *setting) plain() any {
	switch s.key.kind.(type) {
	case freeKind:
		if len(s.fields) == 0 {
			return map[string]any(nil)
		}
		return s.options()
	case namesKind:
		var out map[string]string
		for _, f := range s.fields {
			if v, ok := f.value.(string); ok && !f.bad {
				if out == nil {
					out = make(map[string]string, len(s.fields))
				}
				out[f.name] = v
			}
		}
		return out
	}
	return s.value
}

// assign stores a value in a field whose type is the value's or one derived from it (string -> Speaks, int64 -> int).
func assign(field, v any) {
	dst := reflect.ValueOf(field).Elem()
	dst.Set(reflect.ValueOf(v).Convert(dst.Type()))
}

// current is the value of a field in the form that kinds format.
func current(field any) any {
	v := reflect.ValueOf(field).Elem()
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Type() == reflect.TypeFor[int](), v.Type() == reflect.TypeFor[int64]():
		return v.Int()
	}
	return v.Interface()
}
