package topology

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Effective is the topology as TOML with every default written out and everything in its place: no includes, no [defaults],
// absolute paths, variables replaced. Load reads it to an equal value (but for Files; and Dir, if it is put elsewhere).
func (t *Topology) Effective() []byte {
	var b bytes.Buffer
	root := language()
	b.WriteString("dsat = 1\n")
	writeKeys(&b, root.keys, t)
	each := root.find("satellite").each
	for _, s := range t.Satellites {
		fmt.Fprintf(&b, "\n[satellite.%s]\n", s.Name)
		writeKeys(&b, each.keys, s)
	}
	return b.Bytes()
}

// writeKeys writes the members of a table, one line each. Tables of the topology get a header, those of a satellite
// are inline.
func writeKeys(b *bytes.Buffer, keys []*key, owner any) {
	width := 0
	for _, k := range keys {
		if _, ok := render(k, owner); ok {
			width = max(width, len(k.name))
		}
	}
	for _, k := range keys {
		if kind, isEntries := k.kind.(entriesKind); isEntries && k.label == k.name {
			if _, isRoot := owner.(*Topology); isRoot {
				for _, e := range kind.list(owner) {
					fmt.Fprintf(b, "\n[%s.%s]\n", k.name, e.name)
					writeKeys(b, k.each.keys, e.of)
				}
				continue
			}
		}
		if k.name == "daemon" {
			b.WriteString("\n[daemon]\n")
			writeKeys(b, k.keys, owner)
			continue
		}
		if v, ok := render(k, owner); ok {
			fmt.Fprintf(b, "%-*s = %s\n", width, k.name, v)
		}
	}
}

// render is the value of a key as TOML; false when the file shall not hold it.
func render(k *key, owner any) (string, bool) {
	if k.later || k.name == "defaults" || k.name == "daemon" || k.applies != nil && k.applies(owner) != "" {
		return "", false
	}
	if _, isTable := k.kind.(tableKind); isTable {
		var members []string
		for _, c := range k.keys {
			if v, ok := render(c, owner); ok {
				members = append(members, c.name+" = "+v)
			}
		}
		return "{ " + strings.Join(members, ", ") + " }", len(members) > 0
	}
	if _, isEntries := k.kind.(entriesKind); isEntries {
		return renderEntries(k, owner)
	}
	if k.field == nil {
		return "", false
	}
	v := current(k.field(owner))
	if k.dropped != nil && k.dropped(owner, v) {
		return "", false
	}
	switch v := v.(type) {
	case map[string]string:
		return inlineTable(v, func(s string) string { return quote(s, true) }), true
	case map[string]any:
		return inlineTable(v, anyValue), true
	}
	return k.kind.format(v), true
}

func inlineTable[T any](m map[string]T, format func(T) string) string {
	if len(m) == 0 {
		return "{}"
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, keyText(name)+" = "+format(m[name]))
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

// keyText is a key, bare where it can be. Keys are not expanded, so a dollar stays.
func keyText(name string) string {
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return r > 0x7f || !bare(byte(r)) }) < 0 {
		return name
	}
	return strings.ReplaceAll(quote(name, false), "$$", "$")
}

// anyValue is a value of options as TOML.
func anyValue(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v, true)
	case map[string]any:
		return inlineTable(v, anyValue)
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, anyValue(e))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	}
	return fmt.Sprint(v)
}
