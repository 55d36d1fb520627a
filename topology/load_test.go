package topology

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustLoad(t testing.TB, files ...string) *Topology {
	t.Helper()
	topo, err := Load(files, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

func TestLoadOfThreeLines(t *testing.T) {
	dir := write(t, map[string]string{"My Probe.toml": "[satellite.site]\ncommand = \"./bin/site -p 80\"\n"})
	got := mustLoad(t, filepath.Join(dir, "My Probe.toml"))
	want := &Topology{
		Name: "my-probe", Files: []string{filepath.Join(dir, "My Probe.toml")}, Dir: dir,
		Daemon: Daemon{Cgroup: "auto", StopDeadline: 30 * time.Second, Log: DaemonLog{Format: LogText}, Journal: Journal{Segment: 64 << 20}},
		Satellites: []*Satellite{{
			Limits: Limits{Swap: true},
			Name:   "site", Command: []string{filepath.Join(dir, "bin/site"), "-p", "80"}, Speaks: SpeaksNone, Dir: dir, Instances: 1, Autostart: true, OnDaemonDeath: Adopt,
			Ready: Ready{Kind: ReadySpawned, Deadline: 30 * time.Second, Every: 200 * time.Millisecond},
			Restart: Restart{
				Policy: RestartAlways, SuccessCodes: []int{0}, Limit: 10, Window: time.Minute,
				Backoff: Backoff{Initial: 100 * time.Millisecond, Factor: 2, Max: 30 * time.Second, Jitter: 0.2, Reset: 10 * time.Second},
			},
			Recycle: Recycle{Jitter: 0.1, Every: 10 * time.Second},
			Stop:    Stop{Signal: syscall.SIGTERM, Deadline: 10 * time.Second},
			Log: Log{Stdout: LogCapture, Stderr: LogJoined, To: []LogSink{LogFile}, Format: LogText, MaxSize: 10 << 20, Keep: 3, Compress: LogPlain, Ring: 64 << 10, Overload: LogDrop,
				Syslog: Syslog{Address: "/dev/log", Format: "rfc3164", Facility: "daemon", Stdout: "info", Stderr: "err"}},
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestLoadOfEverySpelling(t *testing.T) {
	dir := write(t, map[string]string{"t.toml": `
name = "x"
daemon.http = "localhost:0"
daemon.run_dir = "run"
[defaults]
restart = "never"
env = { A = "1", B = "1" }
[satellite.s]
plugin = "./own"
options = { n = 1, f = 1.0, list = [1, "a", { b = true }], home = "${USER}" }
to = { f = {}, g = {} }
needs = ["g", "f:booted"]
after = "g"
[satellite.f]
command = ["prog", "a b", "$$x", "${instance}"]
speaks = "json"
mode = "pipelined"
tty = true
cwd = "work/${instance}"
env = { B = "2", C = "c${instance}" }
env_file = ["a.env", "/b.env"]
instances = 3
autostart = false
restart = { success_codes = [0, 3], backoff = { jitter = 0 }, limit = 0 }
queue = { max = "1kB", max_messages = 5, full = "drop-oldest", ttl = "1m" }
work = { deadline = "0s", then = "drop", in_hand = 7 }
stop = { signal = "SIGINT", deadline = "1s", group = true }
log = { stdout = "ring", stderr = "null", ring = "1KiB" }
ready = { delay = "1s", deadline = "2s" }
[satellite.g]
plugin = "csv"
ready = { on = "spawned" }
to = "f"
`})
	topo := mustLoad(t, filepath.Join(dir, "t.toml"))
	if topo.Daemon.HTTP != "localhost:0" || topo.Daemon.RunDir != filepath.Join(dir, "run") {
		t.Errorf("daemon: %+v", topo.Daemon)
	}
	s, f, g := topo.Satellite("s"), topo.Satellite("f"), topo.Satellite("g")
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"plugin", s.Plugin, filepath.Join(dir, "own")},
		{"speaks", s.Speaks, SpeaksBus},
		{"hello", s.Ready.Kind, ReadyHello},
		{"plugin's stderr", s.Log.Stderr, LogCapture},
		{"options", s.Options, map[string]any{"n": int64(1), "f": 1.0, "list": []any{int64(1), "a", map[string]any{"b": true}}, "home": "ann"}},
		{"to", s.To, []Link{{To: "f"}, {To: "g"}}},
		{"needs", s.Needs, []Need{{"g", "ready"}, {"f", "booted"}}},
		{"after", s.After, []string{"g"}},
		{"default policy", s.Restart.Policy, RestartNever},
		{"default env", s.Env, map[string]string{"A": "1", "B": "1"}},
		{"command", f.Command, []string{"prog", "a b", "$x", "${instance}"}},
		{"cwd", f.Dir, filepath.Join(dir, "work/${instance}")},
		{"env", f.Env, map[string]string{"A": "1", "B": "2", "C": "c${instance}"}},
		{"env_file", f.EnvFile, []string{filepath.Join(dir, "a.env"), "/b.env"}},
		{"policy under backoff", f.Restart.Policy, RestartNever},
		{"backoff", f.Restart.Backoff, Backoff{Initial: 100 * time.Millisecond, Factor: 2, Max: 30 * time.Second, Reset: 10 * time.Second}},
		{"limit", f.Restart.Limit, 0},
		{"codes", f.Restart.SuccessCodes, []int{0, 3}},
		{"queue", f.Queue, Queue{Delivery: DeliveryTracked, MaxBytes: 1000, MaxMessages: 5, Full: FullDropOldest, TTL: time.Minute, Dedup: Dedup{Max: 1_000_000}, Spill: Spill{MaxBytes: 1 << 30, MaxMessages: 1_000_000}}},
		{"work", f.Work, Work{InHand: 7, Retries: 5, Backoff: 200 * time.Millisecond, Hops: 50, Crashes: 3, Then: ThenDrop,
			Budget: Budget{Share: 0.1, Rate: Rate{10, time.Second}}, Burst: 1}},
		{"stop", f.Stop, Stop{Signal: syscall.SIGINT, Deadline: time.Second, Group: true}},
		{"log", f.Log, Log{Stdout: LogRing, Stderr: LogNull, To: []LogSink{LogFile}, Format: LogText, MaxSize: 10 << 20, Keep: 3, Compress: LogPlain, Ring: 1024, Overload: LogDrop,
			Syslog: Syslog{Address: "/dev/log", Format: "rfc3164", Facility: "daemon", Stdout: "info", Stderr: "err"}}},
		{"ready", f.Ready, Ready{Kind: ReadyDelay, Delay: time.Second, Deadline: 2 * time.Second, Every: 200 * time.Millisecond}},
		{"mode", f.Mode, ModePipelined},
		{"ready of g", g.Ready.Kind, ReadySpawned},
		{"in hand", g.Work.InHand, 32},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
}

func TestOverlaysAndIncludes(t *testing.T) {
	dir := write(t, map[string]string{
		"base.toml": `
include = ["parts/common.toml", "parts/more.toml"]
[satellite.a]
command = "./base"
ready = { log = "up", deadline = "1s" }
stop = { deadline = "1s" }
to = ["x"]
speaks = "bus"
env = { A = "base", B = "base" }
`,
		"parts/common.toml": `
name = "common"
[satellite.x]
command = "./x"
speaks = "bus"
[satellite.a]
stop = { signal = "INT", deadline = "7s" }
`,
		"parts/more.toml": "[satellite.y]\ncommand = \"y\"\nspeaks = \"bus\"\n",
		"site.toml": `
name = "site"
[satellite.a]
plugin = "cpu"
ready = "hello"
to = "y"
env = { B = "site" }
[satellite.z]
command = "z"
`,
	})
	topo := mustLoad(t, filepath.Join(dir, "base.toml"), filepath.Join(dir, "site.toml"))
	var names []string
	for _, s := range topo.Satellites {
		names = append(names, s.Name)
	}
	a := topo.Satellite("a")
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"name", topo.Name, "site"},
		{"order", names, []string{"x", "a", "y", "z"}},
		{"files", topo.Files, []string{filepath.Join(dir, "base.toml"), filepath.Join(dir, "parts/common.toml"), filepath.Join(dir, "parts/more.toml"), filepath.Join(dir, "site.toml")}},
		{"paths are of their file", topo.Satellite("x").Command[0], filepath.Join(dir, "parts/x")},
		{"directory is of the file", topo.Satellite("x").Dir, filepath.Join(dir, "parts")},
		{"the plugin replaced the command", a.Plugin + strings.Join(a.Command, " "), "cpu"},
		{"hello replaced the log line", a.Ready, Ready{Kind: ReadyHello, Deadline: time.Second, Every: 200 * time.Millisecond}},
		{"key by key", a.Stop, Stop{Signal: syscall.SIGINT, Deadline: time.Second}},
		{"links are one value", a.To, []Link{{To: "y"}}},
		{"env", a.Env, map[string]string{"A": "base", "B": "site"}},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
}

// TestProblemsOfSeveralFiles wants them sorted by file, then line, each with the file as it was given.
func TestProblemsOfSeveralFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"a.toml": "include = \"b.toml\"\n[satellite.a]\ncommand = \"a\"\nnope = 1\nneeds = \"zz\"\n",
		"b.toml": "bad = 1\n",
		"c.toml": "[satellite.a]\nbad = 2\n",
	})
	t.Chdir(dir)
	_, err := Load([]string{"a.toml", "c.toml"}, testOptions())
	var got []string
	for line := range strings.Lines(err.Error()) {
		if strings.Contains(line, ".toml:") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`a.toml:4:1: unknown key "nope" in a satellite`,
		`a.toml:5:9: needs names "zz", and there is no such satellite`,
		`b.toml:1:1: unknown key "bad"`,
		`c.toml:2:1: unknown key "bad" in a satellite`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := write(t, map[string]string{
		"self.toml": "include = \"self.toml\"\n[satellite.a]\ncommand = \"a\"\n",
		"a.toml":    "include = \"sub/b.toml\"\n", "sub/b.toml": "include = \"../a.toml\"\n",
		"gone.toml":  "include = [\"nowhere.toml\"]\n",
		"empty.toml": "", "blank.toml": " \n\t\n",
		"nul.toml": "a = \"\x00\"", "latin.toml": "name = \"\xe4\"\n",
	})
	t.Chdir(dir)
	if err := syscall.Mkfifo("fifo.toml", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("self.toml", "link.toml"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, want string }{
		{"self.toml", `self.toml:1:11: includes come back to self.toml: self.toml -> self.toml`},
		{"link.toml", `link.toml:1:11: includes come back to self.toml: self.toml -> self.toml`},
		{"a.toml", `sub/b.toml:1:11: includes come back to a.toml: a.toml -> b.toml -> a.toml`},
		{"gone.toml", `gone.toml:1:12: cannot read nowhere.toml: no such file or directory`},
		{"none.toml", `none.toml: cannot be read: no such file or directory`},
		{"sub", `sub: cannot be read: is a directory`},
		{"fifo.toml", `fifo.toml: cannot be read: is not a regular file`},
		{"/dev/zero", `/dev/zero: cannot be read: is not a regular file`},
		{"empty.toml", `empty.toml: is empty`},
		{"blank.toml", `blank.toml: is empty`},
		{"nul.toml", `nul.toml: is not a text file: byte 6 is NUL`},
		{"latin.toml", `latin.toml:1:9: is not UTF-8 here`},
	} {
		_, err := Load([]string{c.file}, testOptions())
		if err == nil {
			t.Errorf("%s was loaded", c.file)
			continue
		}
		if got, _, _ := strings.Cut(err.Error(), "\n"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.file, got, c.want)
		}
	}
}

func TestIncludesAreBounded(t *testing.T) {
	files := map[string]string{}
	for i := range 20 {
		files["deep"+string(rune('a'+i))+".toml"] = "include = \"deep" + string(rune('a'+i+1)) + ".toml\"\n"
	}
	// Every file of a level includes both of the next: 2^n ways, but only 2n files are read.
	for i := range 7 {
		next := string(rune('a' + i + 1))
		for _, side := range []string{"l", "r"} {
			files["wide"+string(rune('a'+i))+side+".toml"] = "include = [\"wide" + next + "l.toml\", \"wide" + next + "r.toml\"]\n"
		}
	}
	files["widehl.toml"], files["widehr.toml"] = "[satellite.a]\ncommand = \"a\"\n", "name = \"wide\"\n"
	var many []string
	for i := range 10 {
		name := "large" + string(rune('0'+i)) + ".toml"
		many = append(many, `"`+name+`"`)
		files[name] = strings.Repeat("# nothing to see\n", 50_000)
	}
	files["large.toml"] = "include = [" + strings.Join(many, ", ") + "]\n"
	dir := write(t, files)
	_, err := Load([]string{filepath.Join(dir, "large.toml")}, testOptions())
	if err == nil || !strings.Contains(err.Error(), "64 files and 4MiB at most") {
		t.Errorf("large: %v", err)
	}
	_, err = Load([]string{filepath.Join(dir, "deepa.toml")}, testOptions())
	if err == nil || !strings.Contains(err.Error(), "includes go 8 levels deep") {
		t.Errorf("deep: %v", err)
	}
	if topo := mustLoad(t, filepath.Join(dir, "wideal.toml")); len(topo.Files) != 15 || topo.Name != "wide" {
		t.Errorf("wide: %d files, name %s", len(topo.Files), topo.Name)
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	_, err := loadText(t, strings.Repeat("[satellite.a]\nx = 1\n", 1)+manyKeys(5000))
	var p *Problems
	if !errors.As(err, &p) || len(p.List) != maxProblems || p.More == 0 {
		t.Fatalf("got %v", err)
	}
	if !strings.HasSuffix(p.Error(), "more") {
		t.Error("the number of the others is not said")
	}
}

// A file of Windows: the carriage return belongs to the end of the line, and is no part of what is shown.
func TestCarriageReturns(t *testing.T) {
	_, err := loadText(t, "[satellite.a]\r\ncommand = \"a | b\"\r\nneeds = \"a\"\r\n")
	if err == nil || !strings.Contains(err.Error(), "\n    command = \"a | b\"\n") {
		t.Errorf("got %v", err)
	}
	_, err = loadText(t, "[satellite.a]\r\ncommand = \"a b\"\r\n")
	if err != nil {
		t.Error(err)
	}
}
