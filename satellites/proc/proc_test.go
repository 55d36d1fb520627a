package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/satellites/probe"
)

// line is /proc/PID/stat.
func line(pid int, comm, state string, ticks, rss int) string {
	return fmt.Sprintf("%d (%s) %s 1 1 1 0 -1 4194304 104 0 0 0 %d 1 0 0 20 0 2 0 63750 3133440 %d 18446744073709551615 1 1 1 0 0\n",
		pid, comm, state, ticks, rss)
}

func write(t *testing.T, root string, pid int, text string) {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSample(t *testing.T) {
	root := t.TempDir()
	write(t, root, 1, line(1, "init", "S", 100, 10))
	write(t, root, 20, line(20, "a) R (b", "R", 100, 30))
	write(t, root, 3, line(3, "gone", "Z", 0, 0))
	if err := os.MkdirAll(filepath.Join(root, "44"), 0o755); err != nil { // ended meanwhile
		t.Fatal(err)
	}
	measure := New(Options{N: 2}, root)
	tick, start := probe.Tick{Seq: 1, Time: time.Unix(1, 0)}, time.Unix(1, 0)
	if _, err := measure(tick, start); err != nil {
		t.Fatal(err)
	}
	write(t, root, 1, line(1, "init", "S", 150, 10))
	got, err := measure(tick, start.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	page := uint64(os.Getpagesize())
	want := Sample{
		Tick: tick, Total: 3, Running: 1, Sleeping: 1, Zombie: 1, Threads: 6,
		TopCPU: []Consumer{{1, "init", 50, 10 * page}, {3, "gone", 0, 0}},
		TopRSS: []Consumer{{20, "a) R (b", 0, 30 * page}, {1, "init", 50, 10 * page}},
	}
	if diff := cmp.Diff([]any{want}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRealProc(t *testing.T) {
	got, err := New(defaults(), "/proc")(probe.Tick{}, time.Now())
	if err != nil || got[0].(Sample).Total < 1 || len(got[0].(Sample).TopRSS) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOptions(t *testing.T) {
	for n, ok := range map[any]bool{0: true, 100: true, 101: false, -1: false, "3": false, 1.5: false} {
		if _, err := Parse(map[string]any{"n": n}); (err == nil) != ok {
			t.Errorf("n = %v: %v", n, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(line(1, "init", "S", 1, 2)))
	f.Add([]byte("1 () R"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := ParseStat(text); err != nil && !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%+v %v", s, err)
		}
	})
}
