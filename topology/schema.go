package topology

import (
	"slices"
	"strings"
)

// key is one entry of the language: the single description from which validation, defaults, the effective file, the JSON
// Schema and docs/topology.md are all made.
type key struct {
	name  string
	label string // path as messages show it: "stop.deadline", without the satellite
	kind  kind
	doc   string   // one sentence or two, for docs and schema
	def   string   // default, as TOML; "" when there is none
	auto  string   // default in words, where it depends on other keys (see derive)
	aka   []string // what the field calls it, or what people type instead; for hints only

	min, max int64    // bounds of whole numbers, durations (ns) and sizes (bytes); both 0: none
	choices  []choice // of an enum

	keys  []*key // members of a table
	each  *key   // what every member of a table of names is; nil for others
	short string // the member that a bare string in place of the table sets
	group string // of the members of one group exactly one may be set; a later one replaces the others
	whole bool   // overlays replace it instead of merging member by member
	own   bool   // belongs to one satellite, so it cannot stand in [defaults]
	later bool   // of the language, but not in this version

	value   any                         // the parsed default
	field   func(owner any) any         // pointer to the Go field of a *Topology or *Satellite
	applies func(owner any) string      // why the key means nothing here; "" when it does
	derive  func(owner any) any         // the default where auto is set
	dropped func(owner any, v any) bool // true: the effective file leaves it out, because its absence means the same
}

// choice is a value of an enum.
type choice struct {
	value string
	doc   string
	later bool
}

// find returns the member of that name, or nil.
func (k *key) find(name string) *key {
	for _, c := range k.keys {
		if c.name == name {
			return c
		}
	}
	return nil
}

// names lists the members that are in this version.
func (k *key) names() []string {
	var out []string
	for _, c := range k.keys {
		if !c.later {
			out = append(out, c.name)
		}
	}
	return out
}

// hint says what may have been meant by a name that is no member.
func (k *key) hint(name string) string {
	for _, c := range k.keys {
		if slices.Contains(c.aka, strings.ToLower(name)) && !c.later {
			return "did you mean " + c.name + "?"
		}
	}
	if s := suggest(name, k.names()); s != "" {
		if strings.EqualFold(s, name) {
			return "did you mean " + s + "? Upper and lower case matter"
		}
		return "did you mean " + s + "?"
	}
	var places []string
	for _, c := range k.keys {
		if m := c.find(name); m != nil && !m.later {
			places = append(places, c.name)
		}
	}
	if len(places) > 0 {
		return name + " belongs in " + strings.Join(places, " or in ") + ", as in " + places[0] + " = { " + name + " = ... }"
	}
	if len(k.keys) == 0 {
		return ""
	}
	return "it can hold " + strings.Join(k.names(), ", ")
}

// settle fills what follows from the place in the tree: labels, and the parsed defaults.
func (k *key) settle(prefix string) *key {
	k.label = prefix + k.name
	if k.def != "" {
		k.value = parseDefault(k)
	}
	below := k.label + "."
	if k.label == "" || strings.HasSuffix(k.label, ".*") || k.label == "defaults" {
		below = ""
	}
	for _, c := range k.keys {
		c.settle(below)
	}
	if k.each != nil {
		k.each.settle(k.label + ".")
	}
	return k
}

// parseDefault reads a default as a file's value would be read.
func parseDefault(k *key) any {
	src := newSource("default", "/default", 0, []byte("x = "+k.def))
	n, err := parse(src)
	if err != nil {
		panic("default of " + k.label + ": " + err.Error()) // the schema is a constant, and tested
	}
	r := &reader{src: src, problems: &collector{}}
	v, ok := k.kind.read(r, k, n.child("x"))
	if !ok {
		panic("default of " + k.label + ": " + r.problems.list[0].Text)
	}
	return v
}
