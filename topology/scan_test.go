package topology

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "unknown%d = %d\n", i, i)
	}
	return b.String()
}

// hostile are files that cost their reader much more than their writer.
func hostile() map[string]string {
	const n = 100_000
	var prefixes, deepTables, satellites, chain, links strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&prefixes, "[a.b.c.d.e.f.g.h%d]\n", i)
	}
	for i := range 15_000 {
		fmt.Fprintf(&deepTables, "a.b.c.d.e.f.g.h.i.j.k.l%d = 1\n", i)
	}
	for i := range 9000 {
		fmt.Fprintf(&satellites, "[satellite.s%d]\ncommand = \"a\"\nneeds = \"nothing%d\"\n", i, i)
		fmt.Fprintf(&chain, "[satellite.s%d]\ncommand = \"a\"\nspeaks = \"bus\"\nto = \"s%d\"\nneeds = \"s%d\"\n", i, (i+1)%9000, (i+1)%9000)
	}
	for i := range 50_000 {
		fmt.Fprintf(&links, "\"n%d\",", i)
	}
	return map[string]string{
		"inline tables":      "x = " + strings.Repeat("{a=", n),
		"lists":              "x = " + strings.Repeat("[", n),
		"closed lists":       "x = " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"dotted key":         strings.Repeat("a.", n) + "b = 1",
		"dotted header":      "[" + strings.Repeat("a.", n) + "b]",
		"list of tables":     "x = " + strings.Repeat("[{a=", n),
		"options":            "[satellite.a]\noptions = " + strings.Repeat("{ a = ", n) + "1" + strings.Repeat("}", n),
		"error, then depth":  "x = \n" + strings.Repeat("a.", n),
		"one long string":    "name = \"" + strings.Repeat("a", 1_000_000) + "\"",
		"one long key":       strings.Repeat("a", 1_000_000) + " = 1",
		"many keys":          manyKeys(40_000),
		"many numbers":       "x = [" + strings.Repeat("1,", 500_000) + "]",
		"empty tables":       "x = [" + strings.Repeat("{},", 300_000) + "]",
		"arrays of tables":   strings.Repeat("[[a]]\n", n),
		"headers":            prefixes.String(),
		"dotted keys":        deepTables.String(),
		"dangling needs":     satellites.String(),
		"one great cycle":    chain.String(),
		"one satellite's to": "[satellite.a]\ncommand = \"a\"\nspeaks = \"bus\"\nto = [" + links.String() + "]",
		"dates":              "x = [" + strings.Repeat("2020-01-01 ", 90_000) + "]",
		"comments":           strings.Repeat("#\n", 500_000),
		"quotes":             "x = " + strings.Repeat(`"`, 1_000_000),
		"words":              "[satellite.a]\ncommand = '" + strings.Repeat("a ", 400_000) + "| '",
		"variables":          "[satellite.a]\ncommand = '" + strings.Repeat("${A:-x}", 100_000) + "'",
		"unclosed variables": "[satellite.a]\ncommand = '" + strings.Repeat("${A ", 200_000) + "'",
		"too large":          strings.Repeat("# nothing\n", 1_000_000),
		"far too deep":       strings.Repeat("[", 1_000_000),
	}
}

// TestHostileFiles has no clock of its own: one of these that takes its time runs into the test's.
func TestHostileFiles(t *testing.T) {
	files := hostile()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, files[name])
			if err == nil && name != "variables" {
				t.Error("it was loaded")
			}
			if err != nil && len(err.Error()) > 200_000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestLimitsSayWhere(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"x = " + strings.Repeat("[", 32) + strings.Repeat("]", 32), "unknown key"},
		{"x = " + strings.Repeat("[", 33) + strings.Repeat("]", 33), "t.toml:1:37: the list is nested deeper than 32 levels here"},
		{"x = " + strings.Repeat("{a=", 33), "the table is nested deeper than 32 levels here"},
		{strings.Repeat("a.", 15) + "a = 1", "unknown key"},
		{strings.Repeat("a.", 16) + "a = 1", "t.toml:1:33: a key has more than 16 parts here"},
		{strings.Repeat(" ", maxSize) + "\n", "is larger than 1MiB"},
	} {
		_, err := loadText(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want %s", c.text, err, c.want)
		}
	}
}

// collect gathers the members by path; the library lists members of tables in lists under the path of the list.
func (n *node) collect(prefix []string, out map[string]*node, inLists map[string]bool) {
	for _, c := range n.fields {
		path := append(slices.Clip(prefix), c.name)
		out[toml.Key(path).String()] = c
		c.collect(path, out, inLists)
	}
	for _, item := range n.items {
		below := map[string]*node{}
		item.collect(prefix, below, inLists)
		for path := range below {
			inLists[path] = true
		}
	}
}

// checkPlaces wants every key and value to lie where the scanner says.
func checkPlaces(t *testing.T, src *source, n *node) {
	t.Helper()
	for _, c := range n.fields {
		if c.key < 0 || c.key >= len(src.text) || c.at < 0 || c.at >= len(src.text) {
			t.Fatalf("key %q lies at %d, its value at %d, of %d bytes", c.name, c.key, c.at, len(src.text))
		}
		raw := string(src.text[c.key:])
		if raw[0] != '"' && raw[0] != '\'' && !strings.HasPrefix(raw, c.name) {
			t.Fatalf("key %q lies at %.20q", c.name, raw)
		}
		checkPlaces(t, src, c)
	}
	for _, c := range n.items {
		if c.at < 0 || c.at >= len(src.text) {
			t.Fatalf("an element lies at %d of %d bytes", c.at, len(src.text))
		}
		checkPlaces(t, src, c)
	}
}

// seeds are texts from which the fuzzers start; TestScannerAgainstLibrary runs them too.
func seeds() []string {
	return []string{
		string(sample),
		"a = 1\nb.c = 'x'\n[d.e]\nf = [1, {g = 2}, [3]]\n[d]\nh = \"\"\n",
		"\ufeffa = 1",
		"a = \"\"\"\nx\"\"\"\"\"\nb = '''\n'''\nc = 1979-05-27 07:32:00 # x\nd = 1979-05-27\n",
		"\"a b\".'c.d'.e = {x.y = 1, z = {}}\n",
		"\"\\u00e4\\x41\\t\" = 1\n\"\" = 2\n",
		"a = {\n b = 1, # c\n c = [\n 1,\n ],\n}\n",
		"a = true # x\r\nb = inf\r\n",
		"[ a . \"b\" ]\n c = -0.5e3\n",
		"[satellite.a]\ncommand = \"x | y\"\nto = { a = {}, b = { when = 1 } }\n",
		"a = 1 b = 2", "[a", "a = [1", "a = {", "= 1", "a", "[[a]]\nb = 1\n", "a = 'x\n'",
		"a.b = 1\na.b = 2\n", "[a]\n[a]\n", "a = {b = 1}\n[a]\nc = 1\n",
		"a = 07:32:00\nb = 1979-05-27T07:32:00Z\n",
	}
}

func TestScannerAgainstLibrary(t *testing.T) {
	for _, text := range seeds() {
		compareWithLibrary(t, text)
	}
}

// compareWithLibrary wants the scanner and the library to see the same keys in the same order, wherever both can read.
func compareWithLibrary(t *testing.T, text string) {
	t.Helper()
	src := newSource("t", "/t", 0, []byte(text))
	root, err := parse(src)
	if err != nil {
		var bad *syntaxError
		if !errors.As(err, &bad) || bad.off < -1 || bad.off > len(text) {
			t.Fatalf("%q: the error %v does not lie in it", text, err)
		}
		if strings.Contains(bad.text, "cannot find the places") {
			t.Fatalf("%q: %s", text, bad.text)
		}
		if strings.Contains(bad.text, "nested deeper") || strings.Contains(bad.text, "parts here") || strings.Contains(bad.text, "arrays of tables") ||
			strings.Contains(bad.text, "empty") || strings.Contains(bad.text, "NUL") || strings.Contains(bad.text, "UTF-8") {
			return
		}
		if len(text) < 1000 && strings.Count(text, "{")+strings.Count(text, "[")+strings.Count(text, ".") < 100 {
			if _, err := toml.Decode(text, &map[string]any{}); err == nil {
				t.Fatalf("%q: the library can read it, the scanner says %d: %s", text, bad.off, bad.text)
			}
		}
		return
	}
	md, err := toml.Decode(text, &map[string]any{})
	if err != nil {
		t.Fatalf("%q: parsed, but %v", text, err)
	}
	checkPlaces(t, src, root)
	ours := map[string]*node{}
	inLists := map[string]bool{}
	root.collect(nil, ours, inLists)
	last := -1
	for _, k := range md.Keys() {
		n, path := ours[k.String()], k.String()
		switch {
		case n == nil && !inLists[path]:
			t.Fatalf("%q: the scanner does not see %q", text, path)
		case n == nil || n.shape == shapeTable || inLists[path]:
			continue // a table may be named again, later; a list's members have one path for all
		case n.key <= last:
			t.Fatalf("%q: %q lies at %d, but after what lies at %d", text, path, n.key, last)
		}
		last = n.key
	}
}
