package topology

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const pipeline = `
name = "pipe"
[satellite.clock]
plugin = "clock"
to = ["cpu", "own"]
[satellite.cpu]
plugin = "cpu"
instances = 2
to = "csv"
[satellite.own]
plugin = "./own"
to = "csv"
[satellite.csv]
command = "cat"
speaks = "lines"
mode = "sink"
needs = "site"
[satellite.site]
command = "site"
after = ["db"]
[satellite.db]
command = "db"
[satellite.py]
command = "py"
speaks = "bus"
needs = ["csv", "db:booted"]
`

func TestGraph(t *testing.T) {
	topo, err := loadText(t, pipeline)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"order", topo.Order(), [][]string{{"clock", "cpu", "own", "db"}, {"site"}, {"csv"}, {"py"}}},
		{"sources", topo.Sources(), []string{"clock", "py"}},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
	for _, format := range []string{"dot", "mermaid", "text"} {
		got, err := topo.Graph(format)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "graph."+format), got)
	}
	if _, err := topo.Graph("svg"); err == nil || !strings.Contains(err.Error(), "dot, mermaid or text") {
		t.Errorf("svg: %v", err)
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // part of the repository
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is stale (go test ./topology -update): %s", path, d)
	}
}

// TestCycles compares with the plain definition: a node is in a cycle when it can be reached from itself.
func TestCycles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "nodes")
		g := digraph{make([][]int, n)}
		for range rapid.IntRange(0, 10).Draw(t, "edges") {
			from := rapid.IntRange(0, n-1).Draw(t, "from")
			g.out[from] = append(g.out[from], rapid.IntRange(0, n-1).Draw(t, "to"))
		}
		inside := map[int]bool{}
		for _, part := range g.circular() {
			for _, v := range part {
				inside[v] = true
			}
			cycle := g.cycle(part)
			for i, v := range cycle {
				if !reaches(g, v, cycle[(i+1)%len(cycle)], 1) {
					t.Fatalf("%v: no edge from %d to the next", cycle, v)
				}
			}
		}
		for v := range n {
			if inside[v] != reaches(g, v, v, n) {
				t.Fatalf("%v: node %d", g.out, v)
			}
		}
	})
}

// reaches looks for a way of at most so many edges, and at least one.
func reaches(g digraph, from, to, most int) bool {
	if most == 0 {
		return false
	}
	for _, w := range g.out[from] {
		if w == to || reaches(g, w, to, most-1) {
			return true
		}
	}
	return false
}

func TestFind(t *testing.T) {
	dir := write(t, map[string]string{"dsat.toml": "", "a/b/x": "", "a/dsat.toml/x": ""})
	got, err := Find(filepath.Join(dir, "a", "b"))
	if err != nil || got != filepath.Join(dir, "dsat.toml") {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := Find(t.TempDir()); err == nil || !strings.Contains(err.Error(), "dsatd init") {
		t.Errorf("got %v", err)
	}
}

func TestSampleIsRight(t *testing.T) {
	topo, err := loadText(t, string(Sample("/srv/My Project")))
	if err != nil {
		t.Fatal(err)
	}
	if len(topo.Satellites) < 3 {
		t.Error("the sample shows too little")
	}
}

func TestSuggest(t *testing.T) {
	names := []string{"command", "cwd", "csv", "instances", "needs"}
	for _, c := range [][2]string{
		{"comand", "command"}, {"commnad", "command"}, {"Command", "command"}, {"csw", "csv"}, {"cvs", "csv"}, {"instance", "instances"}, {"zebra", ""}, {"", ""},
		{strings.Repeat("c", 100), ""},
	} {
		if got := suggest(c[0], names); got != c[1] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[1])
		}
	}
}

func TestWordsAndExpand(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"a  b\tc", []string{"a", "b", "c"}},
		{`a 'b c' "d 'e'" 'f "g"'`, []string{"a", "b c", "d 'e'", `f "g"`}},
		{`a\ b \| \\ \'`, []string{"a b", "|", `\`, "'"}},
		{`"a\nb" "\"" "\\"`, []string{`a\nb`, `"`, `\`}},
		{`--x="a b"'c'd`, []string{"--x=a bcd"}},
		{`jq -c '.a | .b'`, []string{"jq", "-c", ".a | .b"}},
		{`x ${TWO} "${TWO}" ${NOPE:-p q}`, []string{"x", "a b", "a b", "p q"}},
		{`awk '{print $1}' '$$NF' \$HOME`, []string{"awk", "{print $1}", "$NF", "$HOME"}},
		{`a '' ""`, []string{"a", "", ""}},
		{"w${instance} ${USER}", []string{"w${instance}", "ann"}},
	} {
		list, flaw := words(c.line)
		if flaw != nil {
			t.Errorf("%s: %s", c.line, flaw.text)
			continue
		}
		var got []string
		for _, w := range list {
			s, flaw := expand(w.text, true, environment)
			if flaw != nil {
				t.Errorf("%s: %s", c.line, flaw.text)
			}
			got = append(got, s)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.line, d)
		}
	}
}
