package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// The story of every death: what ended it, what it took, its last words; a later daemon knows it too.
func TestDeathsAreRemembered(t *testing.T) {
	state := t.TempDir()
	spill := satelliteOf("spill", "spill", "")
	spill.Restart.Policy = topology.RestartNever
	missing := satelliteOf("missing", "pause", "")
	missing.Command = []string{"/no/such/program"}
	missing.Restart.Policy = topology.RestartNever
	pausing := satelliteOf("pausing", "pause", "")
	r := start(t, list(spill, missing, pausing), withState(state))
	_ = r.Boot(context.Background()) // missing fails
	killed := r.status(ref("pausing", 0)).PID
	kill9(t, killed)
	r.until(ref("pausing", 0), "another process", func(s InstanceStatus) bool { return s.State == Running && s.PID != killed })
	r.until(ref("spill", 0), "over", func(s InstanceStatus) bool { return s.State == Exited })
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("pausing", 0)}); err != nil {
		t.Fatal(err)
	}
	refs := []topology.Ref{ref("spill", 0), ref("missing", 0), ref("pausing", 0)}
	before := byName(t, r.Supervisor, refs)
	r.Close()

	d := before["spill"][0]
	if d.Code != 3 || d.Asked || d.Cause != "exit code 3" || d.PID == 0 || d.Usage.MaxRSS < 1<<20 || d.Uptime <= 0 {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff([]string{"row 4995", "row 4996", "row 4997", "row 4998", "row 4999"}, d.Last); diff != "" {
		t.Error(diff)
	}
	if d := before["missing"][0]; d.PID != 0 || !strings.Contains(d.Cause, "no such file") {
		t.Errorf("%+v", d)
	}
	p := before["pausing"]
	if len(p) != 2 || p[0].Signal != syscall.SIGKILL || p[0].Asked || !p[1].Asked || p[1].Inc <= p[0].Inc {
		t.Errorf("%+v", p)
	}

	path := filepath.Join(state, "deaths")
	if err := os.WriteFile(path, append(readFile(t, path), `{"name":"spill","wid":0,"ti`...), 0o600); err != nil {
		t.Fatal(err)
	}
	again := satelliteOf("spill", "exit", "9")
	again.Restart.Policy = topology.RestartNever
	next := start(t, list(again), withState(state), func(c *Config) { c.Epoch = 2 })
	_ = next.Boot(context.Background())
	next.until(ref("spill", 0), "over", func(s InstanceStatus) bool { return s.State == Exited })
	if after := byName(t, next.Supervisor, refs)["spill"]; len(after) != 2 || after[1].Code != 9 || !cmp.Equal(after[0], d) {
		t.Errorf("%+v", after)
	}
}

func byName(t *testing.T, s *Supervisor, refs []topology.Ref) map[string][]Death {
	t.Helper()
	all, err := s.Deaths(refs)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string][]Death{}
	for _, d := range all {
		d.Time = d.Time.Round(0).UTC()
		named[d.Ref.Name] = append(named[d.Ref.Name], d)
	}
	return named
}

func TestHistoryIsBounded(t *testing.T) {
	g := newGraveyard(filepath.Join(t.TempDir(), "state", "deaths"), slog.New(slog.DiscardHandler))
	long := strings.Repeat("x", lastWidth)
	for n := range 20_000 {
		g.add(Death{Time: time.Unix(int64(n)+1, 0), Ref: ref("cpu", n%3), Code: n, Cause: "x", Last: []string{long, long, long}})
		if n%100 == 0 && !g.flush() {
			t.Fatal("it could not be written")
		}
	}
	g.flush()
	if info, err := os.Stat(g.path); err != nil || info.Size() > historyLimit+1<<20 {
		t.Errorf("%v %v", info.Size(), err)
	}
	all, err := g.of([]topology.Ref{ref("cpu", 1)})
	if err != nil || len(all) != deathsKept || all[len(all)-1].Code != 19_999 {
		t.Errorf("%d deaths, %v", len(all), err)
	}
}

// A disk that takes nothing stops nothing: deaths wait in memory, a bounded number, and are told all the same.
func TestHistoryWithoutADisk(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGraveyard(filepath.Join(blocked, "deaths"), slog.New(slog.DiscardHandler))
	for n := range 3 * historyHeld {
		g.add(Death{Time: time.Unix(int64(n)+1, 0), Ref: ref(fmt.Sprintf("s%d", n%1000), 0), Code: n})
	}
	if g.flush() {
		t.Fatal("it was written into a file's inside")
	}
	if n := len(g.todo); n > historyHeld {
		t.Errorf("%d deaths in memory", n)
	}
	g.path = filepath.Join(filepath.Dir(blocked), "deaths") // the disk is back
	all, err := g.of([]topology.Ref{ref("s999", 0)})
	if !g.flush() || err != nil || len(all) == 0 || all[len(all)-1].Code != 3*historyHeld-1 {
		t.Errorf("%+v %v", all, err)
	}
}

func FuzzDeaths(f *testing.F) {
	d := Death{Time: time.Unix(5, 0), Ref: ref("cpu", 1), Inc: 1<<32 + 1, PID: 7, Cause: "exit code 3", Code: 3, Last: []string{"a\xff\x00"}}
	f.Add(append(d.line(), "{\"name\":\"cp"...))
	f.Add([]byte("\n{}\n[]\n{\"name\":1}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, good := parseDeaths(text, nil)
		if good > len(text) || good > 0 && text[good-1] != '\n' {
			t.Fatalf("%d of %d bytes are good", good, len(text))
		}
		var again bytes.Buffer
		for n := range all {
			again.Write(all[n].line())
		}
		same, _ := parseDeaths(again.Bytes(), nil)
		if len(same) > len(all) {
			t.Fatalf("%d deaths became %d", len(all), len(same))
		}
		var twice bytes.Buffer
		for n := range same {
			twice.Write(same[n].line())
		}
		if !bytes.Equal(again.Bytes(), twice.Bytes()) {
			t.Fatal("what was read is written differently")
		}
	})
}

// What the kernel counts of a process begins before its exec, when its memory was ours.
func TestMemoryOfTheSmallIsABound(t *testing.T) {
	r := start(t, []*topology.Satellite{satelliteOf("a", "exit", "3")})
	_ = r.Boot(context.Background())
	r.until(ref("a", 0), "dead", func(st InstanceStatus) bool { return st.LastExit != "" })
	deaths, err := r.Deaths([]topology.Ref{ref("a", 0)})
	if err != nil || len(deaths) == 0 {
		t.Fatal(deaths, err)
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	if u := deaths[0].Usage; (u.Known == UsageAtMost) != (u.MaxRSS <= own.Maxrss<<10) {
		t.Errorf("%+v, dsatd had %d KiB", u, own.Maxrss)
	}
}

// Of a process that is not our child is known what was seen.
func TestUsageSeen(t *testing.T) {
	self, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u := usageSeen(self.kin); u.Known != UsageAtLeast || u.MaxRSS < 1<<20 {
		t.Errorf("%+v", u)
	}
	if u := usageSeen(kin{self.pid, self.start + 1}); u != (Usage{}) {
		t.Errorf("of another process with its number: %+v", u)
	}
}
