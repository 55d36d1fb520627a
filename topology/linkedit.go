package topology

import (
	"fmt"
	"slices"
	"strings"
)

// linkText is a link as TOML, option by option.
type linkText struct {
	to      string
	options []leafText
}

type leafText struct{ name, value string }

// LinkEdit is `to` of a satellite in the making: what it says now, changed link by link. Its values are TOML, which is checked when it is
// loaded.
type LinkEdit struct{ links []linkText }

// EditLinks begins with the links of a satellite.
func (s *Satellite) EditLinks() *LinkEdit {
	e := &LinkEdit{}
	for _, l := range s.To {
		t := linkText{to: l.To}
		for _, k := range linkKeys().keys {
			if v, ok := render(k, &l); ok {
				t.options = append(t.options, leafText{k.name, v})
			}
		}
		e.links = append(e.links, t)
	}
	return e
}

// Has reports whether there is a link of this name.
func (e *LinkEdit) Has(to string) bool { return e.find(to) != nil }

// Names are the links.
func (e *LinkEdit) Names() []string {
	var all []string
	for _, l := range e.links {
		all = append(all, l.to)
	}
	return all
}

func (e *LinkEdit) find(to string) *linkText {
	for i := range e.links {
		if e.links[i].to == to {
			return &e.links[i]
		}
	}
	return nil
}

// Add makes sure that there is a link.
func (e *LinkEdit) Add(to string) {
	if !e.Has(to) {
		e.links = append(e.links, linkText{to: to})
	}
}

// Remove takes a link away.
func (e *LinkEdit) Remove(to string) {
	e.links = slices.DeleteFunc(e.links, func(l linkText) bool { return l.to == to })
}

// Set gives an option of a link a value; a text that is no TOML value is taken as a string, and "" unsets the option. Without an
// option the value is the whole link, a table.
func (e *LinkEdit) Set(to, option, text string) error {
	e.Add(to)
	l := e.find(to)
	if option == "" {
		n, err := parse(newSource("value", "/value", 0, []byte("x = "+text+"\n")))
		if err != nil || oneValue(text) != nil || n.fields[0].shape != shapeTable {
			return fmt.Errorf("cannot set the link to %s: want a table like { when = \"payload.load1 > 4\" }, not %s", to, shorten(text))
		}
		l.options = []leafText{{"", strings.TrimSpace(text)}}
		return nil
	}
	if linkKeys().find(option) == nil {
		hint := linkKeys().hint(option)
		return fmt.Errorf("cannot set %s of the link to %s: a link has no such option; %s", shorten(option), to, hint)
	}
	if len(l.options) == 1 && l.options[0].name == "" {
		return fmt.Errorf("cannot set %s of the link to %s: the whole link is set in the same change", option, to)
	}
	l.options = slices.DeleteFunc(l.options, func(o leafText) bool { return o.name == option })
	if text == "" {
		return nil
	}
	if _, isText := linkKeys().find(option).kind.(exprKind); isText && !quoted(text) || oneValue(text) != nil {
		text = quote(text, false)
	}
	l.options = append(l.options, leafText{option, strings.TrimSpace(text)})
	return nil
}

// quoted reports whether a text is a TOML string, and not an expression that begins with one.
func quoted(text string) bool {
	text = strings.TrimSpace(text)
	return len(text) > 1 && strings.ContainsAny(text[:1], `"'`) && text[0] == text[len(text)-1] && oneValue(text) == nil
}

// Move sends a share of what a link takes to another satellite; 0 percent: nothing, as before.
func (e *LinkEdit) Move(link, to string, percent float64) error {
	if percent == 0 {
		return e.Set(link, "move", "")
	}
	return e.Set(link, "move", fmt.Sprintf("{ to = %s, percent = %v }", quote(to, false), percent))
}

// Mirror lets a satellite have copies of what a link takes, or not any more.
func (s *Satellite) Mirror(e *LinkEdit, link, to string, on bool) error {
	var names []string
	for _, l := range s.To {
		if l.To == link {
			names = slices.Clone(l.Mirror)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == to })
	if on {
		names = append(names, to)
	}
	if len(names) == 0 {
		return e.Set(link, "mirror", "")
	}
	return e.Set(link, "mirror", quoteAll(names, false))
}

// TOML is the value of `to`.
func (e *LinkEdit) TOML() string {
	var out []string
	for _, l := range e.links {
		text := "{}"
		switch {
		case len(l.options) == 1 && l.options[0].name == "":
			text = l.options[0].value
		case len(l.options) > 0:
			var members []string
			for _, o := range l.options {
				members = append(members, o.name+" = "+o.value)
			}
			text = "{ " + strings.Join(members, ", ") + " }"
		}
		out = append(out, keyText(l.to)+" = "+text)
	}
	return "{ " + strings.Join(out, ", ") + " }"
}
