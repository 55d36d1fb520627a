package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestStatusIsCounted(t *testing.T) {
	for _, m := range managers() {
		status, want := map[string]string{
			dsatName: "t  ready  pid 1  up 2s\n\nNAME      WANT  STATE    INSTANCES    PID\nidle      up    running        5/6      -\n" +
				"  idle:0        running                      26702\n",
			dsatNoGroups:      "idle up running x/6\n",
			"runit":           "run: /a: (pid 12) 5s\ndown: /b: 1s, normally up\nrun: /c: (pid 13) 2s; run: log\nwarning: /d: unable to open\n",
			"s6":              "up (pid 29355) 1 seconds, ready 1 seconds\nup (pid 3) 0 seconds\ndown (signal SIGKILL) 0 seconds, want up\n",
			"supervisord":     "idle:0   RUNNING   pid 12, uptime 0:00:01\nidle:1   STARTING\nidle:10  BACKOFF   Exited too quickly\n\n",
			"process-compose": `[{"name":"idle-0","status":"Running"},{"name":"idle-1","status":"Restarting"},{"name":"idle-2","status":"Running"}]`,
		}[m.name], map[string]int{dsatName: 5, "runit": 2, "s6": 2, "supervisord": 1, "process-compose": 2}[m.name]
		if m.up == nil {
			continue
		}
		if got := m.up(status); got != want {
			t.Errorf("%s: %d are up in %q, want %d", m.name, got, status, want)
		}
		for _, nothing := range []string{"", "\n", "idle\n", "error: cannot connect\n", "{", "idle up running"} {
			if got := m.up(nothing); got != 0 {
				t.Errorf("%s: %d are up in %q", m.name, got, nothing)
			}
		}
	}
}

func TestEveryManagerPrepares(t *testing.T) {
	for _, m := range managers() {
		starts := map[string]func(stage) (command, error){"start": m.start}
		if m.plain != nil {
			starts["plain"] = m.plain
		}
		for name, start := range starts {
			s := stage{lab: &lab{dir: t.TempDir(), bin: "/bin"}, kit: kit{root: "/kit"}, dir: t.TempDir(), n: 3, child: []string{"/x/child", "/x/stamps"}}
			c, err := start(s)
			if err != nil || len(c.argv) == 0 {
				t.Fatalf("%s, %s: %v, %v", m.name, name, c.argv, err)
			}
			if m.note == "" || m.name != floorName && m.status(s).argv == nil {
				t.Errorf("%s cannot be told of, or asked", m.name)
			}
			switch m.name {
			case dsatName, dsatNoGroups:
				text, err := os.ReadFile(filepath.Join(s.dir, "bench.toml"))
				if err != nil {
					t.Fatal(err)
				}
				checkTopology(t, m.name+" "+name, string(text))
			case "runit", "s6":
				runs, err := filepath.Glob(filepath.Join(s.dir, "services/*/run"))
				if err != nil || len(runs) != 3 {
					t.Errorf("%s: %v, %v", m.name, runs, err)
				}
			}
		}
	}
}

func TestManagersAreNamed(t *testing.T) {
	found, err := managersNamed([]string{"s6", dsatName})
	if err != nil || len(found) != 3 || found[0].name != floorName || found[1].name != "s6" || found[2].name != dsatName {
		t.Errorf("%v, %v", found, err)
	}
	for _, bad := range []string{"", "systemd", floorName} {
		if _, err := managersNamed([]string{bad}); err == nil || !strings.Contains(err.Error(), "there are dsatd, runit") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := managersNamed(usualPeers); err != nil {
		t.Error(err)
	}
}

func TestChildrenAreNumbers(t *testing.T) {
	var l lab
	if err := l.numbers("1,1000"); err != nil || !slices.Equal(l.children, []int{1, 1000}) {
		t.Errorf("%v, %v", l.children, err)
	}
	for _, bad := range []string{"", "0", "1001", "10,", "x", "-1"} {
		if err := l.numbers(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestDependsAreThoseThatAreRun(t *testing.T) {
	text := "s6\n  PreDepends: init-system-helpers\n  Depends: libc6\n |Depends: libalternative\n  Depends: lsb-base\n    sysvinit-utils\n" +
		"  Depends: python3-pkg-resources\n  Depends: <python3:any>\n    python3\n  Breaks: <libs6-2.7>\n  Recommends: execline\n  Suggests: libdoc\n"
	if got, want := parseDepends(text), []string{"libc6", "python3-pkg-resources"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for path, want := range map[string]string{"/a_b/s6_2.11.3.2-1_amd64.deb": "2.11.3.2-1", "x_1%3a2-3_all.deb": "1:2-3", "odd": ""} {
		if got := debVersion(path); got != want {
			t.Errorf("%s is version %q, want %q", path, got, want)
		}
	}
}

func TestAFolderIsKeptWhole(t *testing.T) {
	f := &fetch{ctx: t.Context(), cache: filepath.Join(t.TempDir(), "cache")}
	if _, err := f.keep("s6", func(dir string) (string, error) {
		return "", errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), errors.New("no network"))
	}); err == nil || err.Error() != "no network" {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(f.cache); err != nil || len(left) != 0 {
		t.Errorf("of a failure is left: %v, %v", left, err)
	}
	filled := 0
	fill := func(dir string) (string, error) {
		filled++
		return "1.2", os.WriteFile(filepath.Join(dir, "program"), nil, 0o600)
	}
	if err := os.MkdirAll(filepath.Join(f.cache, "s6", "torn"), 0o700); err != nil { // somebody was killed here
		t.Fatal(err)
	}
	for range 2 {
		k, err := f.keep("s6", fill)
		if err != nil || k.version != "1.2" || filled != 1 {
			t.Fatalf("%+v, %v, filled %d times", k, err, filled)
		}
		if _, err := os.Stat(filepath.Join(k.root, "program")); err != nil {
			t.Error(err)
		}
	}
}

func TestAFailureTellsItsLastWords(t *testing.T) {
	f := &fetch{ctx: t.Context()}
	_, err := f.output(t.TempDir(), command{argv: []string{"/bin/sh", "-c", "echo first >&2; echo last >&2; exit 3"}})
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: last") {
		t.Errorf("%v", err)
	}
	if _, err := f.output(t.TempDir(), command{argv: []string{"/no/such/program"}}); err == nil {
		t.Error("what is not there was run")
	}
}

// A peer that cannot be had is told, and is no error; an interrupt is one.
func TestASkippedPeerIsTold(t *testing.T) {
	c := &contest{lab: &lab{}, report: newReport("x", floorName)}
	m := manager{name: "gone", peer: true, get: func(*fetch) (kit, error) { return kit{}, errors.New("no such package") }}
	if err := c.admit(t.Context(), m); err != nil || len(c.here) != 0 || !slices.Equal(c.report.notes, []string{"skipped: gone: no such package"}) {
		t.Errorf("%v, %v, %q", err, c.here, c.report.notes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.admit(ctx, m); err == nil {
		t.Error("goes on after an interrupt")
	}
}

func TestS6LooksForItsPartInPath(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "usr/bin/s6-svscan")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, fine := range map[string]bool{"a\x00/usr/bin/s6-supervise\x00b": true, "a": false, "/usr/bin/s6-supervise\x00/usr/bin/s6-supervise\x00": false} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		err := supervisePath(nil, root)
		now, _ := os.ReadFile(path)
		if fine != (err == nil) || len(now) != len(text) || fine && !bytes.Contains(now, []byte("\x00s6-supervise\x00")) {
			t.Errorf("%q became %q, %v", text, now, err)
		}
	}
}

func TestProcIsRead(t *testing.T) {
	tail := " S 7 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9"
	for _, name := range []string{"(sleep)", "(a) R 1 (b)", "()", "(x y\n)"} {
		p, err := parseProc(42, []byte("42 "+name+tail))
		if err != nil || p != (proc{pid: 42, parent: 7, start: 4711}) {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
	}
	if p, err := parseProc(1, []byte("1 (x)"+strings.Replace(tail, "S", "Z", 1))); err != nil || !p.zombie {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "1 (x) S 7", "1 (x)" + strings.Replace(tail, "7", "?", 1), "1 (x)" + strings.Replace(tail, "4711", "?", 1)} {
		if p, err := parseProc(1, []byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
	if d, err := parseSchedstat("1500 40315 1\n"); err != nil || d != 1500 {
		t.Errorf("%v, %v", d, err)
	}
	if d, err := parseSchedstat("x"); err == nil {
		t.Errorf("garbage is %v", d)
	}
}

// What the lab started is found by its environment, wherever it went, and ended.
func TestLeftoversAreFoundAndEnded(t *testing.T) {
	l := &lab{dir: t.TempDir()}
	if err := l.sweepMarked(t.Context()); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	cmd := exec.Command("/bin/sh", "-c", "echo; read x")
	cmd.Env = []string{l.mark()}
	in, err := cmd.StdinPipe() // held open: it reads for ever
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is what it is to be
		t.Fatal(err)
	}
	own, children, err := family(os.Getpid(), "/no/child")
	if err != nil || len(children) != 0 || !slices.ContainsFunc(own, func(p proc) bool { return p.pid == cmd.Process.Pid }) {
		t.Errorf("the family is %v and %v, %v", own, children, err)
	}
	u, err := usageOf(own)
	if err != nil || u.threads < 2 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := l.sweepMarked(t.Context()); err == nil || err.Error() != "1 processes outlived their manager" {
		t.Errorf("%v", err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("%v", err)
	}
	_ = in.Close()
}
