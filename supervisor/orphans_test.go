package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

// earlier is a daemon of its own, which the test kills: arg is its run directory.
func earlier(arg string) {
	self, _ := os.Executable()
	a, b := satelliteOf("cpu", "deaf", ""), satelliteOf("family", "family", "child,daemon")
	for _, s := range []*topology.Satellite{a, b} {
		s.Command[0] = self
		s.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "^deaf|complete", Deadline: 30 * time.Second}
	}
	s, err := New(Config{
		Topology: &topology.Topology{Name: "test", Dir: arg, Satellites: list(a, b)}, RunDir: arg, Epoch: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = s.Run(context.Background()) }() // ends with the process
	fmt.Println("booted", s.Boot(context.Background()))
	pause()
}

// kill -9 of dsatd: the next one starts clean. No orphan, no second copy.
func TestOrphansOfAnEarlierRun(t *testing.T) {
	run := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"earlier"}, &syscall.ProcAttr{
		Env: []string{"DSAT_ACT=dsatd", "DSAT_ARG=" + run}, Files: []uintptr{0, w.Fd(), w.Fd()},
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "booted <nil>\n" {
		t.Fatalf("%q %v", line, err)
	}
	orphans := descendants(pid)
	if len(orphans) < 4 {
		t.Fatalf("only %d processes", len(orphans))
	}
	kill9(t, pid)
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	s := satelliteOf("cpu", "pause", "")
	s.Stop.Deadline = 100 * time.Millisecond // the earlier one is deaf
	family := satelliteOf("family", "pause", "")
	family.Stop.Deadline, family.Autostart = 100*time.Millisecond, false
	rig := start(t, list(s, family), withRun(run), func(c *Config) { c.Epoch = 2 })
	if err := rig.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, k := range orphans {
		if p, err := readStat(k.pid); err == nil && p.kin == k && !p.dead() {
			t.Errorf("%d (%s) of the earlier run is still there", k.pid, p.name)
		}
	}
	left, _ := parseRecord(readFile(t, rig.record.path), bootID())
	if len(left) != 1 || left[0].pid != rig.status(ref("cpu", 0)).PID || left[0].inc.Epoch() != 2 {
		t.Fatalf("the record says %+v", left)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRecord(t *testing.T) {
	const boot = "B"
	head := recordMagic + boot + "\n"
	for name, c := range map[string]struct {
		text string
		left []string
		good int
	}{
		"empty":          {"", nil, 0},
		"no header":      {"intend cpu:0 1\n", nil, 0},
		"other boot":     {recordMagic + "A\nspawned cpu:0 1 77 5 s 0 0\n", nil, 0},
		"torn header":    {recordMagic + boot, nil, 0},
		"intent only":    {head + "intend cpu:0 1\n", []string{"intend cpu:0 1\n"}, -1},
		"spawned":        {head + "intend cpu:0 1\nspawned cpu:0 1 77 5 s 8 9\n", []string{"spawned cpu:0 1 77 5 s 8 9\n"}, -1},
		"ended":          {head + "intend cpu:0 1\nspawned cpu:0 1 77 5 s 8 9\nended cpu:0 1\n", nil, -1},
		"two lives":      {head + "spawned cpu:0 1 77 5 s 8 9\nended cpu:0 1\nintend cpu:0 2\n", []string{"intend cpu:0 2\n"}, -1},
		"again the same": {head + "intend cpu:0 1\nended cpu:0 1\nintend cpu:0 1\n", []string{"intend cpu:0 1\n"}, -1},
		"torn line":      {head + "spawned cpu:0 1 77 5 s 8 9\nended cp", []string{"spawned cpu:0 1 77 5 s 8 9\n"}, len(head) + 27},
		"what is told later": {
			head + "spawned cpu:0 1 77 5 s 8 9\nready cpu:0 1\nsays cpu:0 1 1|1|unix|/a b|grpc|\nready cpu:0 2\n",
			[]string{"spawned cpu:0 1 77 5 s 8 9\nsays cpu:0 1 1|1|unix|/a b|grpc|\nready cpu:0 1\n"}, -1,
		},
		"too few fields":  {head + "spawned cpu:0 1 77 5\n", nil, len(head)},
		"pid that is one": {head + "spawned cpu:0 1 1 5 s 0 0\n", nil, len(head)},
		"garbage":         {head + "\x00\x00\nspawned cpu:0 1 77 5 s 8 9\n", nil, len(head)},
	} {
		t.Run(name, func(t *testing.T) {
			left, good := parseRecord([]byte(c.text), boot)
			var lines []string
			for _, e := range left {
				lines = append(lines, e.line())
			}
			if c.good == -1 {
				c.good = len(c.text)
			}
			if !slices.Equal(lines, c.left) || good != c.good {
				t.Fatalf("%q, %d bytes good; want %q, %d", lines, good, c.left, c.good)
			}
		})
	}
}

func TestRecordIsMendedAndCompacted(t *testing.T) {
	path := t.TempDir() + "/record"
	log := slog.New(slog.DiscardHandler)
	r, left, err := openRecord(path, log)
	if err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
	r.intend(ref("cpu", 0), 1)
	r.put(recordEntry{recordKey: recordKey{ref("cpu", 0), 1}, kin: kin{77, 5}, spec: "s"})
	r.close()
	text := readFile(t, path)
	if err := os.WriteFile(path, append(text, "ended cp"...), 0o600); err != nil {
		t.Fatal(err)
	}
	r, left, err = openRecord(path, log)
	if err != nil || len(left) != 1 || left[0].pid != 77 {
		t.Fatal(left, err)
	}
	r.intend(ref("cpu", 0), 2)
	r.forget(left)
	for n := range 40_000 { // beyond the limit: compacted by itself
		r.intend(ref("net", n), 3)
		r.ended(ref("net", n), 3)
	}
	defer r.close()
	left, good := parseRecord(readFile(t, path), bootID())
	if len(left) != 1 || left[0].inc != 2 || good > recordLimit+100 {
		t.Fatalf("%+v, %d bytes", left, good)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(recordMagic + "B\nintend cpu:0 1\nspawned cpu:0 1 77 5 s 8 9\nended cpu:0 1\n"))
	f.Add([]byte(recordMagic + "B\nspawned cpu:0 1 77 5 s 8 9\nready cpu:0 1\nsays cpu:0 1 a b\nended"))
	f.Add([]byte(recordMagic + "B\nrests cpu:0 done 5 s it is\nrests net:0 fatal 5 s \nwakes cpu:0\nscaled cpu 4 2\nover\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		left, good := parseRecord(text, "B")
		if good > len(text) || good > 0 && text[good-1] != '\n' {
			t.Fatalf("%d of %d bytes are good", good, len(text))
		}
		again, same := parseRecord(text[:good], "B")
		if same != good || !slices.Equal(left, again) {
			t.Fatal("what is good reads differently")
		}
		for ref, r := range standingOf(text[:good]).rests {
			back := newStanding()
			if line := r.line(ref); !back.read(line[:len(line)-1]) || back.rests[ref] != r {
				t.Fatalf("%+v is written as %q", r, line)
			}
		}
		for _, e := range left {
			if e.pid == 1 || e.pid < 0 {
				t.Fatalf("would signal %d", e.pid)
			}
			back, _ := parseRecord([]byte(recordMagic+"B\n"+e.line()), "B")
			if len(back) != 1 || back[0] != e {
				t.Fatalf("%+v is written as %q", e, e.line())
			}
		}
	})
}

func FuzzEnv(f *testing.F) {
	f.Add([]byte("A=1\n# x\nexport B='two words'\n\nC=\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		pairs, err := parseEnv(text)
		if err != nil && len(pairs) > 0 {
			t.Fatal("an error and values")
		}
		for _, p := range pairs {
			if p[0] == "" || strings.ContainsAny(p[0], "=\n \x00") || strings.ContainsAny(p[1], "\n\x00") {
				t.Fatalf("%q", p)
			}
		}
	})
}

func TestEnvFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nB\n": "line 2: want KEY=VALUE", "=1": `line 1: "" is no name of a variable`, "A B=1": `line 1: "A B" is no name of a variable`,
	} {
		if _, err := parseEnv([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestStatOfAnyName(t *testing.T) {
	fields := make([]string, 50)
	for i := range fields {
		fields[i] = strconv.Itoa(i)
	}
	fields[0] = "S"
	for _, name := range []string{"x", "a) R 1 2", "((", ")"} {
		p, err := parseStat(9, []byte("9 ("+name+") "+strings.Join(fields, " ")+"\n"))
		if err != nil || p.name != name || p.ppid != 1 || p.sid != 3 || p.start != 19 || p.state != 'S' {
			t.Errorf("%q: %+v %v", name, p, err)
		}
	}
	for _, bad := range []string{"", "9 (x", "9 (x) S 1", ")("} {
		if _, err := parseStat(9, []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
