package topology

import (
	"fmt"
	"path/filepath"
	"strings"
)

// reader turns the nodes of one file into settings, and reports everything in them that does not fit the schema.
type reader struct {
	src      *source
	problems *collector
	getenv   func(string) (string, bool)
	builtins []string // nil: not checked

	condition func(text string, key bool) (off int, wrong, hint string) // nil: not checked
}

func (r *reader) problem(off int, hint, format string, args ...any) {
	r.problems.add(place{r.src, off}, hint, format, args...)
}

// table reads a table of known keys.
func (r *reader) table(k *key, n *node) *setting {
	out := r.setting(k, n)
	out.table = true
	groups := map[string]*node{}
	for _, c := range n.fields {
		ck := k.find(c.name)
		switch {
		case ck == nil && k.name == "defaults" && ownKey(c.name):
			r.problem(c.key, "say it in the satellite", "%s belongs to one satellite and cannot be a default", c.name)
			continue
		case ck == nil:
			r.problem(c.key, k.hint(c.name), "unknown key %q%s", shorten(c.name), within(k))
			continue
		case ck.later:
			r.problem(c.key, "", "%s is not in this version", ck.label)
			continue
		}
		if ck.group != "" {
			if first := groups[ck.group]; first != nil {
				r.problem(c.key, "say one of them", "%s and %s exclude each other", first.name, c.name)
				continue
			}
			groups[ck.group] = c
		}
		out.fields = append(out.fields, r.value(ck, c))
	}
	return out
}

// ownKey reports whether a key is of one satellite and no default.
func ownKey(name string) bool {
	k := (&key{keys: satelliteKeys()}).find(name)
	return k != nil && k.own
}

// within names the table of an unknown key.
func within(k *key) string {
	switch k.label {
	case "":
		return ""
	case "satellite.*":
		return " in a satellite"
	case "socket.*":
		return " in a socket"
	}
	return " in " + k.label
}

func (r *reader) setting(k *key, n *node) *setting {
	return &setting{key: k, name: n.name, at: place{r.src, n.key}, pos: place{r.src, n.at}}
}

// value reads whatever the key wants.
func (r *reader) value(k *key, n *node) *setting {
	switch k.kind.(type) {
	case tableKind:
		if n.shape == shapeTable {
			return r.table(k, n)
		}
		if _, isText := n.scalar.(string); k.short != "" && isText {
			return r.shorthand(k, n)
		}
		return r.mistyped(k, n)
	case namesKind, entriesKind:
		if n.shape == shapeTable {
			return r.names(k, n)
		}
		return r.mistyped(k, n)
	case freeKind:
		if n.shape == shapeTable {
			return r.free(k, n)
		}
		return r.mistyped(k, n)
	}
	s := r.setting(k, n)
	for _, c := range n.items {
		s.items = append(s.items, place{r.src, c.at})
	}
	if len(n.items) == 0 {
		for _, c := range n.fields {
			s.items = append(s.items, place{r.src, c.key})
		}
	}
	v, ok := k.kind.read(r, k, n)
	s.value, s.bad = v, !ok
	return s
}

// shorthand reads restart = "never" as restart = { policy = "never" }.
func (r *reader) shorthand(k *key, n *node) *setting {
	member := *n
	member.name = k.short
	s := r.setting(k, n)
	s.table, s.fields = true, []*setting{r.value(k.find(k.short), &member)}
	return s
}

// names reads a table whose members are named by the user.
func (r *reader) names(k *key, n *node) *setting {
	out := r.setting(k, n)
	out.table = true
	_, entries := k.kind.(entriesKind)
	named := entries || k.name == "satellite"
	names, _ := k.kind.(namesKind)
	for _, c := range n.fields {
		if entries && c.shape != shapeTable && k.each.find(c.name) != nil { // the name was left out
			r.problem(c.key, fmt.Sprintf("give it one: %s.NAME = { %s = ... }", k.name, c.name), "%s has no name: %s is a key of a table below it, each under a name of yours", k.label, shorten(c.name))
			out.bad = true
			return out
		}
		f := r.value(k.each, c)
		if names.free {
			out.fields = append(out.fields, f)
			continue
		}
		if named {
			f.bad = !r.satelliteName(c.name, c.key) || f.bad
		} else {
			f.bad = !r.variable(c) || f.bad
		}
		out.fields = append(out.fields, f)
	}
	return out
}

// variable checks the name of an environment variable.
func (r *reader) variable(c *node) bool {
	switch {
	case !variableName(c.name):
		r.problem(c.key, "letters, digits and _, not beginning with a digit", "%q is no name of a variable", shorten(c.name))
	case strings.HasPrefix(c.name, "DSAT_"):
		r.problem(c.key, "", "%s cannot be set: names beginning with DSAT_ are dsat's own", shorten(c.name))
	default:
		return true
	}
	return false
}

// satelliteName checks a name, which becomes part of file names, metrics and messages.
func (r *reader) satelliteName(name string, off int) bool {
	const rule = "a name is a-z, 0-9, - and _, begins with a letter or digit, and has 63 characters at most"
	switch {
	case validName(name):
		return true
	case strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, "."):
		r.problem(off, rule, "%q is no name but a path", shorten(name))
	case len(name) > 63:
		r.problem(off, rule, "the name %q has %d characters", shorten(name), len(name))
	case validName(strings.ToLower(name)):
		r.problem(off, "write "+strings.ToLower(name), "the name %q has upper case letters", name)
	default:
		r.problem(off, rule, "%q is no name", shorten(name))
	}
	return false
}

func validName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[0] == '_' {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}) < 0
}

// free reads options: any names, any values that JSON can carry.
func (r *reader) free(k *key, n *node) *setting {
	out := r.setting(k, n)
	if n.shape != shapeTable {
		out.value = r.freeValue(n)
		return out
	}
	out.table = true
	folded := map[string]string{}
	for _, c := range n.fields {
		low := strings.ToLower(c.name)
		if other, twice := folded[low]; twice {
			r.problem(c.key, "programs that read JSON take them for one", "%q differs from %q in upper and lower case only", shorten(c.name), shorten(other))
		}
		folded[low] = c.name
		out.fields = append(out.fields, r.free(k, c))
	}
	return out
}

func (r *reader) freeValue(n *node) any {
	switch n.shape {
	case shapeArray:
		out := make([]any, 0, len(n.items))
		for _, c := range n.items {
			out = append(out, r.freeValue(c))
		}
		return out
	case shapeTable:
		return r.free(nil, n).options()
	}
	switch v := n.scalar.(type) {
	case string:
		s, _ := r.text(n, true)
		return s
	case float64:
		if v-v != 0 {
			r.problem(n.at, "write a number or a string", "options are handed over as JSON, which has no such number")
		}
		return v
	case int64, bool:
		return v
	}
	r.problem(n.at, "write it as a string", "options are handed over as JSON, which has no dates")
	return nil
}

// options is the plain value of a free setting.
func (s *setting) options() any {
	if !s.table {
		return s.value
	}
	out := make(map[string]any, len(s.fields))
	for _, f := range s.fields {
		out[f.name] = f.options()
	}
	return out
}

// text is the string of a node, expanded; false when it is none or wrong, which is then reported.
func (r *reader) text(n *node, instance bool) (string, bool) {
	s, ok := n.scalar.(string)
	if !ok {
		return "", false
	}
	out, f := expand(s, instance, r.getenv)
	if f == nil && strings.ContainsRune(out, 0) {
		f = &flaw{0, "a string cannot hold a NUL", ""}
	}
	if f != nil {
		r.flaw(n, f)
		return "", false
	}
	return out, true
}

// flaw reports a mistake inside a string at its very place, if the string stands in the file as it is.
func (r *reader) flaw(n *node, f *flaw) {
	off := n.at
	s, _ := n.scalar.(string)
	if raw := r.src.text[min(n.at+1, len(r.src.text)):]; strings.HasPrefix(string(raw[:min(len(raw), len(s))]), s) {
		off = n.at + 1 + f.off
	}
	r.problem(off, f.hint, "%s", f.text)
}

func (r *reader) mistyped(k *key, n *node) *setting {
	label := strings.Replace(k.label, "*", shorten(n.name), 1)
	r.problem(n.at, "", "%s wants %s, not %s", label, k.kind.wants(k), n.what())
	s := r.setting(k, n)
	s.bad = true
	return s
}

// path makes a path absolute, seen from the file it stands in.
func (r *reader) path(n *node, p string) (string, bool) {
	if strings.HasPrefix(p, "~") {
		r.problem(n.at, "write ${HOME}", "a ~ means nothing without a shell")
		return "", false
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p), true
	}
	return filepath.Join(filepath.Dir(r.src.path), p), true
}
