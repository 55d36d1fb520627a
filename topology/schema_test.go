package topology

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

type fataler interface {
	Helper()
	Fatal(...any)
}

// validate checks a TOML text by the JSON Schema, with as much of draft 7 as the schema uses.
func validate(t fataler, text string) []string {
	t.Helper()
	var schema, value map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	if _, err := toml.Decode(text, &value); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	return flaws(schema, plain, "")
}

func flaws(schema map[string]any, v any, at string) []string {
	out := choiceFlaws(schema, v, at)
	complain := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	if typ, ok := schema["type"].(string); ok && !ofType(v, typ) {
		complain("%v is no %s", v, typ)
		return out
	}
	switch v := v.(type) {
	case string:
		if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			complain("%q does not match %s", v, p)
		}
	case float64:
		if m, ok := schema["minimum"].(float64); ok && v < m {
			complain("%v is too small", v)
		}
		if m, ok := schema["maximum"].(float64); ok && v > m {
			complain("%v is too large", v)
		}
	case []any:
		if items, ok := schema["items"].(map[string]any); ok {
			for i, e := range v {
				out = append(out, flaws(items, e, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		out = append(out, memberFlaws(schema, v, at)...)
	}
	return out
}

func choiceFlaws(schema map[string]any, v any, at string) (out []string) {
	for _, word := range []string{"oneOf", "anyOf"} {
		list, ok := schema[word].([]any)
		if !ok {
			continue
		}
		fits := 0
		for _, s := range list {
			if len(flaws(s.(map[string]any), v, at)) == 0 {
				fits++
			}
		}
		if fits == 0 || word == "oneOf" && fits > 1 {
			out = append(out, fmt.Sprintf("%s: %v fits %d of %s", at, v, fits, word))
		}
	}
	if schema["not"] != nil {
		out = append(out, at+": is refused")
	}
	if list, ok := schema["enum"].([]any); ok {
		found := false
		for _, e := range list {
			found = found || e == v
		}
		if !found {
			out = append(out, fmt.Sprintf("%s: %v is none of %v", at, v, list))
		}
	}
	return out
}

func memberFlaws(schema, v map[string]any, at string) []string {
	var out []string
	known, _ := schema["properties"].(map[string]any)
	patterns, _ := schema["patternProperties"].(map[string]any)
	for name, e := range v {
		below := at + "." + name
		matched := false
		if s, ok := known[name].(map[string]any); ok {
			matched = true
			out = append(out, flaws(s, e, below)...)
		}
		for p, s := range patterns {
			if regexp.MustCompile(p).MatchString(name) {
				matched = true
				out = append(out, flaws(s.(map[string]any), e, below)...)
			}
		}
		switch more := schema["additionalProperties"].(type) {
		case bool:
			if !matched && !more {
				out = append(out, below+": unknown")
			}
		case map[string]any:
			if !matched {
				out = append(out, flaws(more, e, below)...)
			}
		}
	}
	return out
}

func ofType(v any, typ string) bool {
	switch v := v.(type) {
	case string:
		return typ == "string"
	case bool:
		return typ == "boolean"
	case float64:
		return typ == "number" || typ == "integer" && v == float64(int64(v))
	case []any:
		return typ == "array"
	case map[string]any:
		return typ == "object"
	}
	return false
}

func TestSchemaRefuses(t *testing.T) {
	for _, text := range []string{
		"nope = 1", "dsat = 2", "[satellite.Cpu]\ncommand = \"x\"", "[satellite.a]\ncomand = \"x\"", "[satellite.a]\nsecrets = 1", "[satellite.a]\numask = 18", "[satellite.a]\nrlimits = { nofiles = 1 }", "[satellite.a]\nnice = 20", "[satellite.a]\ncapabilities = [\"x\"]",
		"[satellite.a]\nstop = { deadline = \"10\" }", "[satellite.a]\nstop = { deadline = 10 }", "[satellite.a]\nrestart = \"alway\"",
		"[satellite.a]\ninstances = 0", "[satellite.a]\nlog = { ring = \"64K\" }", "[satellite.a]\nto = { b = { wenn = \"x\" } }",
		"[satellite.a]\nqueue = { delivery = \"exactly-once\" }", "[satellite.a]\nstop = { signal = \"FOO\" }", "[defaults]\ncommand = \"x\"",
	} {
		if len(validate(t, text)) == 0 {
			t.Errorf("the JSON Schema takes %q", text)
		}
	}
}

// TestSchemaTable wants every key to be documented and whole, so that a new one cannot be half there.
func TestSchemaTable(t *testing.T) {
	names := map[string]bool{}
	var walk func(k *key)
	walk = func(k *key) {
		seen := map[string]string{}
		for _, c := range k.keys {
			if c.doc == "" || !strings.HasSuffix(c.doc, ".") {
				t.Errorf("%s: the doc %q is no sentence", c.label, c.doc)
			}
			for _, n := range append([]string{c.name}, c.aka...) {
				if other := seen[n]; other != "" {
					t.Errorf("%s: %q stands for %s too", c.label, n, other)
				}
				seen[n] = c.name
			}
			_, isEnum := c.kind.(enumKind)
			_, isList := c.kind.(sinksKind)
			isEnum = isEnum || isList
			if isEnum != (len(c.choices) > 0) && c.name != "signal" {
				t.Errorf("%s: choices without an enum, or the other way round", c.label)
			}
			if c.short != "" && c.find(c.short) == nil {
				t.Errorf("%s: no member %s", c.label, c.short)
			}
			names[c.name] = true
			walk(c)
			if c.each != nil {
				walk(c.each)
			}
		}
	}
	walk(language())
	for _, want := range []string{"command", "health", "schedule", "hooks", "user", "umask", "secrets", "socket"} {
		if !names[want] {
			t.Errorf("the language has no %s", want)
		}
	}
}

// TestEtc wants every topology that is shipped to fit the schema.
func TestEtc(t *testing.T) {
	files, err := filepath.Glob("../etc/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, "sample.toml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range validate(t, string(text)) {
			t.Errorf("%s%s", path, f)
		}
		if _, err := Load([]string{path}, Options{}); err != nil {
			t.Error(err)
		}
	}
}
