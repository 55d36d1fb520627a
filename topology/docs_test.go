package topology

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"
)

//go:embed testdata/intro.md
var intro string

// TestDocs keeps docs/topology.md and etc/topology.schema.json as the schema table says; -update rewrites them.
func TestDocs(t *testing.T) {
	golden(t, "../docs/topology.md", reference())
	golden(t, "../etc/topology.schema.json", string(Schema()))
}

// TestDocsExamples loads every example of the introduction.
func TestDocsExamples(t *testing.T) {
	blocks := strings.Split(intro, "```")
	n := 0
	for i := 1; i < len(blocks); i += 2 {
		text, isTOML := strings.CutPrefix(blocks[i], "toml\n")
		if !isTOML {
			continue
		}
		n++
		if _, err := loadText(t, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if n < 2 {
		t.Errorf("the introduction has %d examples", n)
	}
}

// reference is the page: the hand-written introduction, then every key.
func reference() string {
	var b strings.Builder
	b.WriteString(intro)
	root := language()
	section(&b, "The file", "", root.keys)
	section(&b, "[daemon]", root.find("daemon").doc, root.find("daemon").keys)
	for _, k := range root.find("daemon").keys {
		if len(k.keys) > 0 {
			section(&b, k.label, k.doc, k.keys)
		}
	}
	legacy := root.find("bus").find("v1")
	section(&b, "[bus.v1]", legacy.doc, legacy.keys)
	satellite := root.find("satellite").each
	section(&b, "[satellite.NAME]", "And, but for those marked *own*, [defaults].", satellite.keys)
	for _, k := range root.keys {
		if _, isEntries := k.kind.(entriesKind); isEntries {
			section(&b, "["+k.name+".NAME]", k.doc, k.each.keys)
			for _, c := range k.each.keys {
				if len(c.keys) > 0 {
					section(&b, c.name+" of ["+k.name+".NAME]", c.doc, c.keys)
				}
			}
		}
	}
	section(&b, "A link: to = { NAME = { ... } }", "All of them may be said together: a message takes the link when it fulfils `when`, is in the `sample`, and is the one in `one_in`.", linkKeys().settle("").keys)
	section(&b, "to.NAME.move", "", linkKeys().settle("").find("move").keys)
	for _, k := range satellite.keys {
		if _, isEntries := k.kind.(entriesKind); isEntries {
			section(&b, k.name+".NAME", k.doc, k.each.keys)
		}
		if len(k.keys) == 0 || k.later {
			continue
		}
		section(&b, k.name, k.doc+shortOf(k), k.keys)
		for _, c := range k.keys {
			if len(c.keys) > 0 {
				section(&b, c.label, c.doc+shortOf(c), c.keys)
			}
		}
	}
	b.WriteString("\n## Not in this version\n\nThese keys and values belong to the language and are refused by `dsatd check` with the words \"not in this version\".\n\nOf the file:\n\n")
	laters(&b, root)
	b.WriteString("\nOf a satellite:\n\n")
	laters(&b, satellite)
	return b.String()
}

// shortOf tells what a bare string in place of a table is.
func shortOf(k *key) string {
	if k.short == "" {
		return ""
	}
	return fmt.Sprintf(" `%s = \"X\"` is short for `%s = { %s = \"X\" }`.", k.name, k.name, k.short)
}

func section(b *strings.Builder, title, doc string, keys []*key) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	if doc != "" {
		fmt.Fprintf(b, "%s\n\n", doc)
	}
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		if k.later {
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.name, cell(typeOf(k)), cell(defaultOf(k)), cell(meaningOf(k)))
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func typeOf(k *key) string {
	switch k.kind.(type) {
	case wholeKind, numberKind, optionalKind:
		return fmt.Sprintf("%s, %d to %d", k.kind.typ(), k.min, k.max)
	case enumKind:
		return "string"
	case tableKind:
		if k.short != "" {
			return "string or table"
		}
	}
	return k.kind.typ()
}

func defaultOf(k *key) string {
	switch {
	case k.auto != "":
		return k.auto
	case k.def != "":
		return "`" + k.def + "`"
	}
	return ""
}

func meaningOf(k *key) string {
	text := k.doc
	var values []string
	for _, c := range k.choices {
		switch {
		case c.later:
		case c.doc != "":
			values = append(values, fmt.Sprintf("`%s`: %s", c.value, c.doc))
		default:
			values = append(values, "`"+c.value+"`")
		}
	}
	if len(values) > 0 {
		text += "<br>" + strings.Join(values, "<br>")
	}
	if _, isSize := k.kind.(sizeKind); isSize {
		text += fmt.Sprintf(" From %s to %s.", sizeText(k.min), sizeText(k.max))
	}
	if k.own {
		text += " *own*"
	}
	return text
}

func laters(b *strings.Builder, k *key) {
	for _, c := range k.keys {
		if c.name == "defaults" {
			continue
		}
		if c.later {
			fmt.Fprintf(b, "- `%s`: %s\n", cell(c.label), c.doc)
		}
		for _, v := range c.choices {
			if v.later {
				fmt.Fprintf(b, "- `%s = %q`: %s.\n", c.label, v.value, v.doc)
			}
		}
		laters(b, c)
		if _, isEntries := c.kind.(entriesKind); isEntries {
			laters(b, c.each)
		}
	}
}
