package topology

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// guard fails when f does not end; the time is a guard against hanging, no measure.
func guard(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "t.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		guard(t, func() {
			topo, err := Load([]string{path}, testOptions())
			if err != nil {
				checkProblems(t, err, text)
				return
			}
			again := filepath.Join(dir, "again.toml")
			effective := topo.Effective()
			if err := os.WriteFile(again, effective, 0o600); err != nil {
				t.Error(err)
				return
			}
			second, err := Load([]string{again}, testOptions())
			if err != nil {
				t.Errorf("the effective file cannot be loaded: %v\n%s", err, effective)
				return
			}
			second.Files = topo.Files
			if !reflect.DeepEqual(topo, second) {
				t.Errorf("the effective file says something else:\n%s\n%s", effective, second.Effective())
			}
		})
	})
}

func checkProblems(t *testing.T, err error, text string) {
	var p *Problems
	if !errors.As(err, &p) || len(p.List) == 0 {
		t.Errorf("the error is a %T", err)
		return
	}
	lines := strings.Count(text, "\n") + 1
	for i, one := range p.List {
		if one.Text == "" || one.Line < 0 || one.Line > lines || one.Line > 0 && one.Col < 1 {
			t.Errorf("problem %+v", one)
		}
		if i > 0 && one.Line < p.List[i-1].Line {
			t.Errorf("problem of line %d after that of line %d", one.Line, p.List[i-1].Line)
		}
	}
	if s := err.Error(); strings.ContainsAny(s, "\x1b\x00\r") {
		t.Errorf("the message can steer a terminal: %q", s)
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"a b", `a 'b c' "d\"e" f\ g`, "a | b", "${A:-b c} $x $$y", `\`, `"`, "'", "a\tb\nc", `"\$x"`, "${"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list, flaw := words(line)
		if flaw != nil {
			if flaw.off < 0 || flaw.off > len(line) || flaw.text == "" {
				t.Fatalf("%q: flaw %+v", line, flaw)
			}
			return
		}
		for _, w := range list {
			if w.off < 0 || w.off >= len(line) {
				t.Fatalf("%q: word %+v", line, w)
			}
			if _, flaw := expand(w.text, true, environment); flaw != nil && (flaw.off < 0 || flaw.off > len(w.text)) {
				t.Fatalf("%q: flaw %+v", w.text, flaw)
			}
		}
		// Quoted, every word comes back as it is.
		var quoted []string
		for _, w := range list {
			if strings.ContainsAny(w.text, "'") {
				return
			}
			quoted = append(quoted, "'"+w.text+"'")
		}
		again, flaw := words(strings.Join(quoted, " "))
		if flaw != nil || len(again) != len(list) {
			t.Fatalf("%q: quoted %q: %v %+v", line, quoted, again, flaw)
		}
		for i := range list {
			if list[i].text != again[i].text {
				t.Fatalf("%q: %q became %q", line, list[i].text, again[i].text)
			}
		}
	})
}

func FuzzPositions(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		guard(t, func() { compareWithLibrary(t, text) })
	})
}
