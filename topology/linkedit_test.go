package topology

import (
	"strings"
	"testing"
)

func TestLinksAreEditedOneByOne(t *testing.T) {
	const text = `
[satellite.a]
command = "a"
speaks = "bus"
to = { b = { when = "payload.x > 1", one_in = 3 }, c = { mirror = "d" } }
[satellite.b]
command = "b"
speaks = "bus"
[satellite.c]
command = "c"
speaks = "bus"
[satellite.d]
command = "d"
speaks = "bus"
`
	loaded, err := loadWith(t, text, Overlay{})
	if err != nil {
		t.Fatal(err)
	}
	s := loaded.Satellite("a")
	set := func(link, option, value string) func(*LinkEdit) error {
		return func(e *LinkEdit) error { return e.Set(link, option, value) }
	}
	for _, c := range []struct {
		name string
		do   func(*LinkEdit) error
		want string // of `to` afterwards, or a part of the error
	}{
		{"an option", set("b", "one_in", "5"), `{ b = { when = "payload.x > 1", one_in = 5 }, c = { mirror = ["d"] } }`},
		{"a condition without quotes", set("b", "when", `payload.s == "x" && true`), `{ b = { when = "payload.s == \"x\" && true", one_in = 3 }, c = { mirror = ["d"] } }`},
		{"a condition with quotes", set("b", "when", `'payload.y'`), `{ b = { when = "payload.y", one_in = 3 }, c = { mirror = ["d"] } }`},
		{"a condition that begins with a string", set("b", "when", `"x" == payload.y`), `{ b = { when = "\"x\" == payload.y", one_in = 3 }, c = { mirror = ["d"] } }`},
		{"a condition that is a word", set("b", "when", `true`), `{ b = { when = "true", one_in = 3 }, c = { mirror = ["d"] } }`},
		{"unset", set("b", "when", ""), `{ b = { one_in = 3 }, c = { mirror = ["d"] } }`},
		{"a new link", set("d", "", "{}"), `{ b = { when = "payload.x > 1", one_in = 3 }, c = { mirror = ["d"] }, d = {} }`},
		{"a whole link", set("b", "", "{ fallback = true }"), `{ b = { fallback = true }, c = { mirror = ["d"] } }`},
		{"moved", func(e *LinkEdit) error { return e.Move("b", "d", 12.5) }, `{ b = { when = "payload.x > 1", one_in = 3, move = { to = "d", percent = 12.5 } }, c = { mirror = ["d"] } }`},
		{"moved back", func(e *LinkEdit) error { return e.Move("b", "d", 0) }, `{ b = { when = "payload.x > 1", one_in = 3 }, c = { mirror = ["d"] } }`},
		{"mirrored", func(e *LinkEdit) error { return s.Mirror(e, "b", "c", true) }, `{ b = { when = "payload.x > 1", one_in = 3, mirror = ["c"] }, c = { mirror = ["d"] } }`},
		{"mirrored no more", func(e *LinkEdit) error { return s.Mirror(e, "c", "d", false) }, `{ b = { when = "payload.x > 1", one_in = 3 }, c = {} }`},
		{"removed", func(e *LinkEdit) error { e.Remove("b"); return nil }, `{ c = { mirror = ["d"] } }`},
		{"no such option", set("b", "whenn", "x"), "did you mean when?"},
		{"no table", set("b", "", "3"), "want a table"},
		{"smuggled", set("b", "", "{}\nx = 3"), "want a table"},
	} {
		e := s.EditLinks()
		err := c.do(e)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		o, err := Overlay{}.With("a", "to", e.TOML())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		after, err := loadWith(t, text, o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := origin(t, after, "a", "to").Value; got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
		if origin(t, after, "a", "to").From != RunTime {
			t.Errorf("%s: it comes from %s", c.name, origin(t, after, "a", "to").From)
		}
	}
}
