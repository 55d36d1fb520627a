package topology

import "strings"

// entriesKind is a table of entries that the user names, each a table of known keys (key.each) that becomes a Go value of its own:
// [socket.NAME], [group.NAME], and inside a satellite health.NAME. Entries keep the order of the file.
type entriesKind struct {
	structural
	make func(name string) any   // a pointer to a new entry; the fields of key.each take it for their owner
	add  func(owner, entry any)  // hands a finished entry to the *Topology or *Satellite
	list func(owner any) []entry // all of them, for the effective file
}

// entry is one of them, with the name it has.
type entry struct {
	name string
	of   any // the pointer that make returned
}

func (entriesKind) typ() string       { return "table of tables" }
func (entriesKind) wants(*key) string { return "a table of names, each with a table { ... }" }
func (entriesKind) schema(k *key) map[string]any {
	return map[string]any{"type": "object", "patternProperties": map[string]any{`^[a-z0-9][a-z0-9_-]{0,62}$`: member(k.each)}, "additionalProperties": false}
}

// entriesOf makes the list of entriesKind from a slice of pointers.
func entriesOf[T any](all []*T, name func(*T) string) []entry {
	out := make([]entry, 0, len(all))
	for _, e := range all {
		out = append(out, entry{name(e), e})
	}
	return out
}

// entries makes the values of a table of entries.
func (l *loader) entries(k *key, given *setting, owner any) {
	if given == nil {
		return
	}
	kind := k.kind.(entriesKind)
	for _, f := range given.fields {
		if f.bad {
			continue
		}
		e := kind.make(f.name)
		l.apply(k.each.keys, f, e)
		kind.add(owner, e)
	}
}

// renderEntries is the table as TOML, inline.
func renderEntries(k *key, owner any) (string, bool) {
	var out []string
	for _, e := range k.kind.(entriesKind).list(owner) {
		var members []string
		for _, c := range k.each.keys {
			if v, ok := render(c, e.of); ok {
				members = append(members, c.name+" = "+v)
			}
		}
		out = append(out, e.name+" = { "+strings.Join(members, ", ")+" }")
	}
	return "{ " + strings.Join(out, ", ") + " }", len(out) > 0
}

// on binds a key to a field of an entry.
func on[T any](f func(*T) any) func(any) any { return func(o any) any { return f(o.(*T)) } }
