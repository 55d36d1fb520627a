package topology

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files, docs/topology.md and etc/topology.schema.json")

// environment is what tests expand variables by.
func environment(name string) (string, bool) {
	v, ok := map[string]string{"USER": "ann", "EMPTY": "", "BAD": "\xff", "PORT": "8080", "TWO": "a b"}[name]
	return v, ok
}

func testOptions() Options {
	return Options{
		Getenv:   environment,
		Builtins: []string{"clock", "cpu", "csv", "generate", "mem", "net", "null", "proc"},
		Condition: func(text string, key bool) (int, string, string) {
			if off := strings.Index(text, "wrong"); off >= 0 {
				return off, fmt.Sprintf("a message has no wrong (key: %v)", key), "did you mean right?"
			}
			return 0, "", ""
		},
		BuiltinOptions: func(name string, options map[string]any) error {
			if _, bad := options["evry"]; bad {
				return errors.New(`unknown option "evry"; did you mean every?`)
			}
			return nil
		},
	}
}

// write puts files into a new directory and makes it the current one, so that messages show short names.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadText loads one file.
func loadText(t testing.TB, text string) (*Topology, error) {
	t.Helper()
	return Load([]string{filepath.Join(write(t, map[string]string{"t.toml": text}), "t.toml")}, testOptions())
}

// TestProblems goes through the archives of testdata/problems: each holds pairs of NAME.toml and NAME.want, which is the
// whole message, or "ok" and the notes.
func TestProblems(t *testing.T) {
	archives, err := filepath.Glob("testdata/problems/*.txt")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, path := range archives {
		ar, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var out []txtar.File
		wants := map[string]string{}
		for _, f := range ar.Files {
			wants[f.Name] = string(f.Data)
		}
		for _, f := range ar.Files {
			name, isCase := strings.CutSuffix(f.Name, ".toml")
			if !isCase {
				continue
			}
			got := verdict(t, string(f.Data))
			out = append(out, f, txtar.File{Name: name + ".want", Data: []byte(got)})
			if want := wants[name+".want"]; !*update && got != want {
				t.Errorf("%s: %s:\n%s", path, name, cmp.Diff(want, got))
			}
		}
		if *update {
			ar.Files = out
			if err := os.WriteFile(path, txtar.Format(ar), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func verdict(t *testing.T, text string) string {
	topo, err := loadText(t, text)
	if err == nil {
		return strings.Join(append([]string{"ok"}, topo.Notes...), "\n") + "\n"
	}
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatalf("error is a %T, not *Problems: %v", err, err)
	}
	for i := range p.List {
		p.List[i].File = filepath.Base(p.List[i].File)
	}
	return p.Error() + "\n"
}
