package supervisor

import (
	"context"
	"maps"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

func TestParseFigures(t *testing.T) {
	many := strings.Repeat("x", 200)
	for text, want := range map[string]any{
		"":                                    map[string]float64{},
		"# none\n\n":                          map[string]float64{},
		"a=1\n b = -2.5e3 \r\n":               map[string]float64{"a": 1, "b": -2500},
		`{"a": 1, "c": {"hits": 2, "d": {}}}`: map[string]float64{"a": 1, "c.hits": 2},
		"{}":                                  map[string]float64{},
		"a":                                   "line 1 of what it printed is not NAME=NUMBER",
		"a=1\nb=x":                            "line 2 of what it printed: \"x\" is no number",
		"a=NaN":                               "a is not finite",
		"a=1e999":                             "is no number",
		"a=1\na=2":                            "it says a twice",
		"1a=1":                                "is no name of a figure",
		many + "=1":                           "is no name of a figure",
		`{"a": "1"}`:                          "\"a\" is no number",
		`{"a": [1]}`:                          "is no number",
		`{"a": 1`:                             "as JSON",
		`{"a": 1} x`:                          "as JSON",
		"a\x00=1":                             "is no name of a figure",
	} {
		got, err := parseFigures([]byte(text))
		switch want := want.(type) {
		case string:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, %v, want %q", text, got, err, want)
			}
		case map[string]float64:
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%q: %v, %v", text, got, err)
			}
		}
	}
}

func FuzzFigures(f *testing.F) {
	f.Add([]byte("a=1\nb.c=2"))
	f.Add([]byte(`{"a": {"b": 1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseFigures(text)
		if err == nil && len(got) > mostFigures {
			t.Fatalf("%d figures", len(got))
		}
		for name, v := range got {
			if err == nil && (!figureName.MatchString(name) || math.IsNaN(v) || math.IsInf(v, 0)) {
				t.Fatalf("%q = %v", name, v)
			}
		}
	})
}

func TestSpoolIsBounded(t *testing.T) {
	p := &spool{most: 10}
	for range 3 {
		p.add([]byte("abcd"))
	}
	if text, over := p.take(); string(text) != "abcdabcdab" || !over {
		t.Fatalf("%q %v", text, over)
	}
	exact := &spool{most: 4}
	exact.add([]byte("abcd"))
	if text, over := exact.take(); string(text) != "abcd" || over {
		t.Fatalf("%q %v", text, over)
	}
}

// hooked is a satellite whose hooks run shell scripts.
func hooked(name string, scripts map[topology.HookKind]string) *topology.Satellite {
	s := satelliteOf(name, "pause", "")
	for kind, script := range scripts {
		s.Hooks[kind] = &topology.Hook{Command: []string{"/bin/sh", "-c", script}, Deadline: 20 * time.Second}
	}
	return s
}

// Many ask at once: one process answers all.
func TestFiguresAreAskedOnce(t *testing.T) {
	dir := t.TempDir()
	r := start(t, list(
		hooked("good", map[topology.HookKind]string{topology.ExtendedStats: "echo x >> " + dir + "/asked; while ! test -e " + dir + "/go; do sleep 0.01; done; echo a=$DSAT_PID"}),
		hooked("bad", map[topology.HookKind]string{topology.ExtendedStats: "echo oops >&2; exit 3"}),
		satelliteOf("plain", "pause", "")))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	refs := []topology.Ref{ref("good", 0), ref("bad", 0), ref("plain", 0), ref("nobody", 0)}
	answers := make(chan []Figures, 4)
	for range cap(answers) {
		q := r.askFigures(refs[0]) // begun before the hook may go on
		go func() {
			<-q.done
			got, err := r.Figures(context.Background(), refs[1:])
			if err != nil {
				t.Error(err)
			}
			answers <- append([]Figures{q.answer}, got...)
		}()
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Figures(gone, refs[:1]); err == nil {
		t.Error("who has gone was answered")
	}
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pid := r.status(refs[0]).PID
	for range cap(answers) {
		got := <-answers
		if got[0].Values["a"] != float64(pid) || got[0].Problem != "" {
			t.Errorf("%+v", got[0])
		}
		if got[1].Problem != "exit code 3 (its last line: oops)" || got[1].Values != nil || got[2].Problem != "" || got[2].PID == 0 || got[3].PID != 0 {
			t.Errorf("%+v", got[1:])
		}
	}
	if text := readFile(t, dir+"/asked"); string(text) != "x\n" {
		t.Errorf("asked %q", text)
	}
}

// All hooks, with exits, stops and signals at once: what follows a hook neither hangs nor is lost.
func TestHooksUnderFire(t *testing.T) {
	all := map[topology.HookKind]string{}
	for kind := topology.BeforeStart; kind <= topology.AfterReap; kind++ {
		all[kind] = "exit 0"
	}
	var sats []*topology.Satellite
	for _, name := range []string{"a", "b", "c", "d"} {
		s := hooked(name, all)
		s.Restart.Limit = 0
		sats = append(sats, s)
	}
	r := start(t, sats)
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	done := make(chan error, len(sats))
	for n, s := range sats {
		go func() {
			var err error
			refs := []topology.Ref{ref(s.Name, 0)}
			for turn := 0; turn < 4 && err == nil; turn++ {
				switch (turn + n) % 3 {
				case 0:
					_, err = r.Restart(ctx, refs)
				case 1:
					_, _ = r.Signal(refs, syscall.SIGKILL) // it may have no process just now
					_, err = r.Restart(ctx, refs)
				case 2:
					if _, err = r.Stop(ctx, refs); err == nil {
						_, err = r.Start(ctx, refs)
					}
				}
			}
			done <- err
		}()
	}
	for range sats {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
