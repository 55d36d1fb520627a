package topology

import (
	"fmt"
	"strings"
)

// Graph draws the topology: links as solid arrows, needs and after as dashed ones. Formats: dot, mermaid, text.
func (t *Topology) Graph(format string) (string, error) {
	switch format {
	case "dot":
		return t.dot(), nil
	case "mermaid":
		return t.mermaid(), nil
	case "text":
		return t.text(), nil
	}
	return "", fmt.Errorf("cannot draw as %q: want dot, mermaid or text", format)
}

// title is a name with the number of its instances.
func (s *Satellite) title() string {
	if s.Instances > 1 {
		return fmt.Sprintf("%s x%d", s.Name, s.Instances)
	}
	return s.Name
}

// kindWord says in one word what runs.
func (s *Satellite) kindWord() string {
	switch {
	case s.Plugin != "" && !strings.Contains(s.Plugin, "/"):
		return "built-in " + s.Plugin
	case s.Plugin != "":
		return "plugin"
	case s.Speaks == SpeaksNone:
		return "program"
	case s.Speaks.Filter():
		return "filter"
	case s.Speaks == SpeaksV1:
		return "speaks v1"
	}
	return "speaks bus"
}

func (t *Topology) dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n\trankdir=LR;\n\tnode [shape=box, fontname=\"sans-serif\"];\n", t.Name)
	for _, s := range t.Satellites {
		style := ""
		if s.Speaks == SpeaksNone {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "\t%q [label=\"%s\\n%s\"%s];\n", s.Name, s.title(), s.kindWord(), style)
	}
	for _, s := range t.Satellites {
		for _, a := range s.arrows() {
			fmt.Fprintf(&b, "\t%q -> %q%s;\n", s.Name, a.to, a.dot())
		}
		for _, n := range s.Needs {
			fmt.Fprintf(&b, "\t%q -> %q [style=dashed, label=\"needs\"];\n", s.Name, n.Name)
		}
		for _, name := range s.Calls {
			fmt.Fprintf(&b, "\t%q -> %q [dir=both, label=\"calls\"];\n", s.Name, name)
		}
		for _, name := range s.After {
			fmt.Fprintf(&b, "\t%q -> %q [style=dotted, label=\"after\"];\n", s.Name, name)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// mermaid prefixes the ids: "end" and others are words of Mermaid.
func (t *Topology) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, s := range t.Satellites {
		fmt.Fprintf(&b, "    s_%s[\"%s<br/>%s\"]\n", s.Name, s.title(), s.kindWord())
	}
	for _, s := range t.Satellites {
		for _, a := range s.arrows() {
			fmt.Fprintf(&b, "    s_%s -->%s s_%s\n", s.Name, a.mermaid(), a.to)
		}
		for _, n := range s.Needs {
			fmt.Fprintf(&b, "    s_%s -. needs .-> s_%s\n", s.Name, n.Name)
		}
		for _, name := range s.Calls {
			fmt.Fprintf(&b, "    s_%s <-- calls --> s_%s\n", s.Name, name)
		}
		for _, name := range s.After {
			fmt.Fprintf(&b, "    s_%s -. after .-> s_%s\n", s.Name, name)
		}
	}
	return b.String()
}

// text is a line for each satellite.
func (t *Topology) text() string {
	var b strings.Builder
	width := 0
	for _, s := range t.Satellites {
		width = max(width, len(s.title()))
	}
	for _, s := range t.Satellites {
		line := fmt.Sprintf("%-*s  %s", width, s.title(), s.kindWord())
		var names []string
		for _, a := range s.arrows() {
			names = append(names, a.text())
		}
		if len(names) > 0 {
			line += "  -> " + strings.Join(names, ", ")
		}
		names = nil
		for _, n := range s.Needs {
			names = append(names, n.Name)
		}
		if len(names) > 0 {
			line += "  (needs " + strings.Join(names, ", ") + ")"
		}
		if len(s.After) > 0 {
			line += "  (after " + strings.Join(s.After, ", ") + ")"
		}
		if len(s.Calls) > 0 {
			line += "  (calls " + strings.Join(s.Calls, ", ") + ")"
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
