package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Overlay is what was changed at run time: it is laid over the files as a last one. The zero value changes nothing. It is a value:
// its methods return another.
type Overlay struct {
	Files   []string `json:"files,omitempty"`   // further topology files, absolute, laid over those dsatd was started with
	Set     []Edit   `json:"set,omitempty"`     // laid over the files, in this order
	Removed []string `json:"removed,omitempty"` // satellites that the files have and that shall not be
}

// Edit gives a value to one key of one satellite.
type Edit struct {
	Satellite string `json:"satellite"`
	Key       string `json:"key"`   // path within the satellite: "stop.deadline"
	Value     string `json:"value"` // TOML
}

// Empty reports that nothing was changed.
func (o Overlay) Empty() bool { return len(o.Files)+len(o.Set)+len(o.Removed) == 0 }

// With sets a key, in place of what it was set to before. A text that is no TOML value is taken as a string, so that nobody has to
// quote a quote for a shell.
func (o Overlay) With(satellite, key, text string) (Overlay, error) {
	value, err := editValue(satellite, key, text)
	if err != nil {
		return o, err
	}
	o = o.Without(satellite, key)
	o.Set = append(o.Set, Edit{satellite, key, value})
	o.Removed = without(o.Removed, satellite)
	return o, nil
}

// Without forgets what a key, and all below it, was set to; without a key, all of the satellite.
func (o Overlay) Without(satellite, key string) Overlay {
	o.Set = slices.DeleteFunc(slices.Clone(o.Set), func(e Edit) bool {
		return e.Satellite == satellite && (key == "" || e.Key == key || strings.HasPrefix(e.Key, key+".") || strings.HasPrefix(key, e.Key+"."))
	})
	return o
}

// Has reports that something of the satellite was set.
func (o Overlay) Has(satellite, key string) bool {
	return slices.ContainsFunc(o.Set, func(e Edit) bool {
		return e.Satellite == satellite && (key == "" || e.Key == key || strings.HasPrefix(e.Key, key+"."))
	})
}

// Remove takes a satellite away, also one that was set at run time only.
func (o Overlay) Remove(satellite string) Overlay {
	o = o.Without(satellite, "")
	o.Removed = append(without(o.Removed, satellite), satellite)
	return o
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// TOML is what was set, as a file would say it.
func (o Overlay) TOML() string {
	var b strings.Builder
	var names []string
	for _, e := range o.Set {
		if !slices.Contains(names, e.Satellite) {
			names = append(names, e.Satellite)
		}
	}
	for _, name := range names {
		fmt.Fprintf(&b, "[satellite.%s]\n", keyText(name))
		for _, e := range o.Set {
			if e.Satellite == name {
				fmt.Fprintf(&b, "%s = %s\n", keyPath(e.Key), e.Value)
			}
		}
	}
	return b.String()
}

// editValue checks that an edit is one key and one value, whatever characters they have: nothing can be smuggled in beside them.
func editValue(satellite, key, text string) (string, error) {
	if !validName(satellite) {
		return "", fmt.Errorf("cannot set a key of %q: that is no name of a satellite", shorten(satellite))
	}
	if key == "" || slices.Contains(strings.Split(key, "."), "") || len(key) > maxEdit {
		return "", fmt.Errorf("cannot set %s.%s: want NAME.KEY=VALUE, as in cpu.stop.deadline=5s", satellite, shorten(key))
	}
	if len(text) > maxEdit {
		return "", fmt.Errorf("cannot set %s.%s: the value has %d bytes, and %d is the most; write it into a file", satellite, key, len(text), maxEdit)
	}
	if isText(key) && !strings.ContainsAny(text[:min(len(text), 1)], `"'`) {
		return quote(text, false), nil
	}
	if oneValue(text) == nil {
		return strings.TrimSpace(text), nil
	}
	if begins := strings.TrimSpace(text); begins != "" && strings.ContainsAny(begins[:1], `[{"'`) {
		return "", fmt.Errorf("cannot set %s.%s: %w", satellite, key, oneValue(text))
	}
	return quote(text, false), nil
}

// maxEdit bounds what one edit can say.
const maxEdit = 64 << 10

// isText reports that every value of a key is a string, so that 8080 is one too.
func isText(path string) bool {
	k := language().find("satellite").each
	for _, name := range strings.Split(path, ".") {
		next := k.find(name)
		if next == nil {
			next = k.each
		}
		if next == nil {
			return false
		}
		k = next
	}
	_, text := k.kind.(textKind)
	return text
}

// oneValue is nil for the text of exactly one TOML value.
func oneValue(text string) error {
	n, err := parse(newSource("value", "/value", 0, []byte("x = "+text+"\n")))
	if bad := (*syntaxError)(nil); errors.As(err, &bad) {
		return fmt.Errorf("the value is no TOML: %s", bad.text)
	}
	if err != nil {
		return err
	}
	if len(n.fields) != 1 || n.fields[0].name != "x" {
		return errors.New("the value is more than one value")
	}
	return nil
}

// keyPath is a dotted key, each part bare where it can be.
func keyPath(path string) string {
	parts := strings.Split(path, ".")
	for i, part := range parts {
		parts[i] = keyText(part)
	}
	return strings.Join(parts, ".")
}
