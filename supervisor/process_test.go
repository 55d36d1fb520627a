package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

func list(s ...*topology.Satellite) []*topology.Satellite { return s }

func TestKilledIsReplaced(t *testing.T) {
	r := start(t, list(satelliteOf("cpu", "pause", "")))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	first := r.status(ref("cpu", 0))
	if first.State != Running || first.PID == 0 {
		t.Fatalf("not running after Boot: %+v", first)
	}
	kill9(t, first.PID)
	second := r.until(ref("cpu", 0), "replaced", func(s InstanceStatus) bool { return s.State == Running && s.Inc != first.Inc })
	if second.PID == first.PID || second.Restarts != 1 || second.LastExit != "killed by signal 9 (SIGKILL)" {
		t.Fatalf("replaced by %+v", second)
	}
	if second.Inc != topology.NewIncarnation(1, 2) {
		t.Fatalf("incarnation %s", second.Inc)
	}
}

func TestStopKillsTheDeaf(t *testing.T) {
	s := satelliteOf("deaf", "deaf", "")
	s.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "^deaf$", Deadline: 30 * time.Second}
	s.Stop.Deadline = 50 * time.Millisecond
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	res, err := r.Stop(context.Background(), []topology.Ref{ref("deaf", 0)})
	if err != nil || res[0].Err != nil || res[0].State != Stopped {
		t.Fatalf("%+v %v", res, err)
	}
	if st := r.status(ref("deaf", 0)); st.LastExit != "killed by signal 9 (SIGKILL)" || st.PID != 0 {
		t.Fatalf("%+v", st)
	}
}

// Stopped means gone: children that are deaf, that left the session twice over, and that hid their environment.
func TestNothingSurvivesAStop(t *testing.T) {
	s := satelliteOf("family", "family", "child,daemon,hidden")
	s.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "family complete", Deadline: 30 * time.Second}
	s.Stop.Deadline = 100 * time.Millisecond
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(descendants(os.Getpid())); n < 4 {
		t.Fatalf("the family has only %d members", n)
	}
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("family", 0)}); err != nil {
		t.Fatal(err)
	}
	if left := livingChildren(); len(left) > 0 {
		t.Fatalf("left behind: %+v", left)
	}
}

// Never two: what a dead leader left behind is gone before the next is spawned.
func TestLeftoversDieBeforeTheRespawn(t *testing.T) {
	s := satelliteOf("family", "family", "child,daemon")
	s.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "family complete", Deadline: 30 * time.Second}
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	first := r.status(ref("family", 0))
	before := descendants(os.Getpid())
	kill9(t, first.PID)
	r.until(ref("family", 0), "replaced", func(s InstanceStatus) bool { return s.State == Running && s.Inc != first.Inc })
	for _, k := range descendants(os.Getpid()) {
		if slices.Contains(before, k) {
			t.Errorf("process %d of the first life is still there", k.pid)
		}
	}
}

// A grandchild that holds stdout hides nothing.
func TestGrandchildHoldsStdout(t *testing.T) {
	s := satelliteOf("holder", "", "")
	s.Command = []string{"/bin/sh", "-c", "sleep 1000 & exit 4"}
	s.Restart.Policy = topology.RestartNever
	r := start(t, list(s))
	_ = r.Boot(context.Background()) // it was running for a moment, or not
	st := r.until(ref("holder", 0), "exited", func(s InstanceStatus) bool { return s.State == Exited })
	if st.Success || st.LastExit != "exit code 4" {
		t.Fatalf("%+v", st)
	}
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("holder", 0)}); err != nil {
		t.Fatal(err)
	}
	if left := livingChildren(); len(left) > 0 {
		t.Fatalf("left behind: %+v", left)
	}
}

func TestFailsForEver(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*topology.Satellite)
		exit   string
	}{
		"exits at once":    {func(s *topology.Satellite) { s.Env["DSAT_ACT"], s.Env["DSAT_ARG"] = "exit", "3" }, "exit code 3"},
		"not there":        {func(s *topology.Satellite) { s.Command = []string{"/nowhere/x"} }, "cannot execute /nowhere/x: no such file or directory"},
		"not in PATH":      {func(s *topology.Satellite) { s.Command = []string{"no-such-program"} }, "cannot execute no-such-program: not found in PATH"},
		"not executable":   {func(s *topology.Satellite) { s.Command = []string{"/proc/self/status"} }, "cannot execute /proc/self/status: permission denied"},
		"no directory":     {func(s *topology.Satellite) { s.Dir = "/nowhere" }, "cannot enter the directory /nowhere: no such file or directory"},
		"no env file":      {func(s *topology.Satellite) { s.EnvFile = []string{"/nowhere.env"} }, "cannot read the env file /nowhere.env: no such file or directory"},
		"plugin not there": {func(s *topology.Satellite) { s.Plugin = "/nowhere/plugin" }, "cannot execute /nowhere/plugin: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			s := satelliteOf("bad", "pause", "")
			c.change(s)
			r := start(t, list(s))
			_ = r.Boot(context.Background()) // one that exits at once was running for a moment
			st := r.until(ref("bad", 0), "fatal", func(s InstanceStatus) bool { return s.State == Fatal })
			if !strings.HasPrefix(st.Why, "gave up after 5 starts") || !strings.HasPrefix(st.LastExit, c.exit) || st.Restarts != 4 {
				t.Fatalf("%+v", st)
			}
			if why := r.Ready(); len(why) != 1 || !strings.HasPrefix(why[0], "bad:0 is fatal: gave up") {
				t.Fatalf("Ready: %q", why)
			}
		})
	}
}

func TestForbiddenCode(t *testing.T) {
	s := satelliteOf("wrong", "exit", "2")
	s.Restart.ForbidCodes = []int{2}
	r := start(t, list(s))
	_ = r.Boot(context.Background()) // it was running for a moment, or not
	st := r.until(ref("wrong", 0), "fatal", func(s InstanceStatus) bool { return s.State == Fatal })
	if st.Why != "exit code 2 forbids a restart" || st.Restarts != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestNeverReady(t *testing.T) {
	s := satelliteOf("late", "pause", "")
	s.Ready = topology.Ready{Kind: topology.ReadyTCP, TCP: "127.0.0.1:1", Every: 5 * time.Millisecond, Deadline: 60 * time.Millisecond}
	s.Restart.Limit = 2
	r := start(t, list(s))
	err := r.Boot(context.Background())
	want := "not ready within 60ms: 127.0.0.1:1 does not accept: connection refused"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("Boot: %v", err)
	}
	if st := r.status(ref("late", 0)); st.State != Fatal || st.LastExit != want {
		t.Fatalf("%+v", st)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestReadyKinds(t *testing.T) {
	addr := freePort(t)
	served := satelliteOf("served", "serve", addr)
	served.Ready = topology.Ready{Kind: topology.ReadyTCP, TCP: addr, Every: 5 * time.Millisecond, Deadline: 30 * time.Second}
	web := satelliteOf("web", "pause", "")
	web.Ready = topology.Ready{Kind: topology.ReadyGet, Get: "http://" + addr, Every: 5 * time.Millisecond, Deadline: 100 * time.Millisecond}
	web.Restart.Policy = topology.RestartNever
	web.After = []string{"served"}
	said := satelliteOf("said", "say", "up and running")
	said.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "up and", Deadline: 30 * time.Second}
	slow := satelliteOf("slow", "pause", "")
	slow.Ready = topology.Ready{Kind: topology.ReadyDelay, Delay: 20 * time.Millisecond, Deadline: 30 * time.Second}
	r := start(t, list(served, web, said, slow))
	err := r.Boot(context.Background())
	if err == nil || !strings.Contains(err.Error(), "answered 404 Not Found") {
		t.Fatalf("Boot: %v", err)
	}
	for _, name := range []string{"served", "said", "slow"} {
		if st := r.status(ref(name, 0)); st.State != Running {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

func TestOutput(t *testing.T) {
	t.Run("of the dead is whole", func(t *testing.T) {
		s := satelliteOf("spill", "spill", "")
		s.Restart.Policy = topology.RestartNever
		s.Log.Ring = 1 << 20
		bus := &fakeBus{}
		state := t.TempDir()
		r := start(t, list(s), withBus(bus), withState(state))
		_ = r.Boot(context.Background()) // it was running for a moment, or not
		r.until(ref("spill", 0), "exited", func(s InstanceStatus) bool { return s.State == Exited })
		lines := r.Logs([]topology.Ref{ref("spill", 0)}, 10000)
		if len(lines) != 5000 || lines[4999].Text != "row 4999" {
			t.Fatalf("%d lines", len(lines))
		}
		if last := bus.gone[0].last; len(last) != evidence || last[evidence-1] != "row 4999" {
			t.Fatalf("evidence: %q", last)
		}
		path := filepath.Join(state, "log", "spill.0.log")
		r.Close()
		text, err := os.ReadFile(path)
		if err != nil || strings.Count(string(text), " out row ") != 5000 {
			t.Fatalf("file: %d lines, %v", strings.Count(string(text), "\n"), err)
		}
	})
	t.Run("flood holds up nobody", func(t *testing.T) {
		r := start(t, list(satelliteOf("flood", "flood", ""), satelliteOf("said", "say", "hello")))
		if err := r.Boot(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.line(ref("said", 0), "hello")
		ctx, cancel := context.WithCancel(context.Background())
		slow := r.Follow(ctx, logs.Query{Refs: []topology.Ref{ref("flood", 0)}, Newest: 10})
		r.line(ref("flood", 0), "line 1")
		if err := r.Alive(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := r.Stop(context.Background(), []topology.Ref{ref("flood", 0)}); err != nil {
			t.Error(err)
		}
		cancel()
		for range slow {
		}
	})
	t.Run("closed is no exit", func(t *testing.T) {
		r := start(t, list(satelliteOf("mute", "mute", "")))
		if err := r.Boot(context.Background()); err != nil {
			t.Fatal(err)
		}
		pid := r.status(ref("mute", 0)).PID
		kill9(t, pid)
		r.until(ref("mute", 0), "replaced", func(s InstanceStatus) bool { return s.State == Running && s.PID != pid })
	})
	t.Run("log disk cannot be written", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r := start(t, list(satelliteOf("said", "say", "hello")), withState(dir))
		if err := r.Boot(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.line(ref("said", 0), "hello")
	})
}

func TestEnvironment(t *testing.T) {
	t.Setenv("DSAT_TEST_SECRET", "x")
	s := satelliteOf("env", "env", "")
	s.Instances = 2
	s.Env["MINE"] = "number ${instance}"
	s.Options = map[string]any{"every": "1s"}
	dir := t.TempDir()
	file := filepath.Join(dir, "e")
	if err := os.WriteFile(file, []byte("# comment\nexport A = 1\nB=\"two words\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.EnvFile, s.Dir = []string{file}, dir
	leak, err := syscall.Open(file, syscall.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.line(ref("env", 1), "end")
	var got []string
	for _, l := range r.Logs([]topology.Ref{ref("env", 1)}, 1000) {
		got = append(got, l.Text)
		if strings.HasPrefix(l.Text, "fd ") && strings.Contains(l.Text, file) {
			t.Errorf("a descriptor leaks: %s", l.Text)
		}
	}
	for _, want := range []string{
		"MINE=number 1", "A=1", "B=two words", "DSAT_RUN=" + r.runDir, "DSAT_NAME=env", "DSAT_WID=1", "DSAT_INSTANCE=env:1",
		fmt.Sprintf("DSAT_INCARNATION=%d", uint64(topology.NewIncarnation(1, 1))), `DSAT_OPTIONS={"every":"1s"}`, "cwd " + dir, "DSAT_TOPOLOGY=test",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("missing %q in %q", want, got)
		}
	}
	if slices.Contains(got, "DSAT_TEST_SECRET=x") {
		t.Error("the daemon's environment leaks")
	}
}

func TestOrderOfBootAndStop(t *testing.T) {
	a, b, c := satelliteOf("a", "pause", ""), satelliteOf("b", "say", "ready"), satelliteOf("c", "pause", "")
	a.Needs = []topology.Need{{Name: "b"}}
	b.Needs = []topology.Need{{Name: "c"}}
	b.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "ready", Deadline: 30 * time.Second}
	c.Ready = topology.Ready{Kind: topology.ReadyDelay, Delay: 10 * time.Millisecond}
	var mu sync.Mutex
	var seen []string
	r := start(t, list(a, b, c), func(c *Config) {
		c.Event = func(e Event) {
			if e.To == Running || e.To == Stopped {
				mu.Lock()
				seen = append(seen, e.Ref.Name+" "+e.To.String())
				mu.Unlock()
			}
		}
	})
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"c running", "b running", "a running", "a stopped", "b stopped", "c stopped"}
	if !slices.Equal(seen, want) {
		t.Fatalf("order %q, want %q", seen, want)
	}
}

func TestBootTellsWhoWaits(t *testing.T) {
	a, b := satelliteOf("a", "pause", ""), satelliteOf("b", "", "")
	mended := filepath.Join(t.TempDir(), "mended")
	b.Command = []string{"/bin/sh", "-c", "[ -e " + mended + " ] && echo ready && exec sleep 1000; exit 1"}
	a.Needs = []topology.Need{{Name: "b"}}
	b.Restart.Limit = 1
	b.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "ready", Deadline: 30 * time.Second}
	r := start(t, list(a, b))
	err := r.Boot(context.Background())
	if err == nil || !strings.Contains(err.Error(), "a:0: waits for b to be ready, which has failed") {
		t.Fatalf("Boot: %v", err)
	}
	// No state without a way out: b is mended, and a comes by itself.
	if err := os.WriteFile(mended, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if res, err := r.Start(context.Background(), []topology.Ref{ref("b", 0)}); err != nil || res[0].Err != nil {
		t.Fatalf("%+v %v", res, err)
	}
	r.until(ref("a", 0), "running", func(s InstanceStatus) bool { return s.State == Running })
}

func TestScaleAndRoll(t *testing.T) {
	s := satelliteOf("cpu", "pause", "")
	s.Instances = 2
	r := start(t, list(s))
	ctx := context.Background()
	if err := r.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if res, err := r.Scale(ctx, "cpu", 4); err != nil || len(res) != 2 || res[1].Ref != ref("cpu", 3) || res[1].State != Running {
		t.Fatalf("%+v %v", res, err)
	}
	refs, err := r.Select("cpu:*")
	if err != nil || len(refs) != 4 {
		t.Fatalf("%v %v", refs, err)
	}
	before := r.Snapshot()[0].Instances
	res, err := r.Restart(ctx, refs)
	if err != nil {
		t.Fatal(err)
	}
	for n, x := range res {
		if x.Err != nil || x.State != Running || x.PID == before[n].PID {
			t.Errorf("%+v", x)
		}
	}
	if res, err := r.Scale(ctx, "cpu", 1); err != nil || len(res) != 3 || res[0].State != Stopped {
		t.Fatalf("%+v %v", res, err)
	}
	if _, err := r.Scale(ctx, "cpu", 2); err != nil {
		t.Fatal(err)
	}
	st := r.Snapshot()[0]
	if len(st.Instances) != 2 || st.Instances[1].Inc.Spawn() != 3 || st.Instances[1].Restarts != 0 {
		t.Fatalf("an incarnation must never come twice: %+v", st)
	}
	var missing *NotFound
	if _, err := r.Scale(ctx, "cpi", 2); !errors.As(err, &missing) || missing.Suggest[0] != "cpu" {
		t.Fatalf("%v", err)
	}
	if res, err := r.Signal([]topology.Ref{ref("cpu", 0)}, syscall.SIGKILL); err != nil || res[0].Err != nil {
		t.Fatalf("%+v %v", res, err)
	}
	r.until(ref("cpu", 0), "restarted", func(s InstanceStatus) bool { return s.Restarts == 1 && s.State == Running })
}

// fakeBus keeps what it is told.
type fakeBus struct {
	mu    sync.Mutex
	calls []string
	gone  []death
	lines chan string
	in    chan *os.File
	out   chan *os.File
	drain func(context.Context) error
}

type death struct {
	cause string
	last  []string
}

func (b *fakeBus) note(format string, args ...any) {
	b.mu.Lock()
	b.calls = append(b.calls, fmt.Sprintf(format, args...))
	b.mu.Unlock()
}

func (b *fakeBus) Admit(r topology.Ref, inc topology.Incarnation, _, _ int) ([]string, error) {
	b.note("admit %s %s", r, inc)
	return []string{"DSAT_BUS=ipc://x"}, nil
}

func (b *fakeBus) Spawned(r topology.Ref, inc topology.Incarnation, pid int, in, out *os.File) {
	b.note("spawned %s %s", r, inc)
	if b.in != nil {
		b.in <- in
		b.out <- out
	}
}

func (b *fakeBus) Handshake(r topology.Ref, inc topology.Incarnation, line string) {
	b.note("handshake %s %s", r, inc)
	if b.lines != nil {
		b.lines <- line
	}
}

func (b *fakeBus) Gone(r topology.Ref, inc topology.Incarnation, cause string, last []string) {
	b.note("gone %s %s", r, inc)
	b.mu.Lock()
	b.gone = append(b.gone, death{cause, last})
	b.mu.Unlock()
}

func (b *fakeBus) Ping(context.Context, topology.Ref, topology.Incarnation) error { return nil }

func (b *fakeBus) Progress(topology.Ref) (int, time.Duration, time.Duration) { return 0, 0, 0 }

func (b *fakeBus) Drain(ctx context.Context, r topology.Ref, inc topology.Incarnation) error {
	b.note("drain %s %s", r, inc)
	if b.drain != nil {
		return b.drain(ctx)
	}
	return nil
}

func TestPlugin(t *testing.T) {
	s := satelliteOf("plug", "say", "1|1|unix|/x|grpc")
	s.Plugin, s.Command, s.Speaks = "plug", nil, topology.SpeaksBus
	s.Ready = topology.Ready{Kind: topology.ReadyHello, Deadline: 30 * time.Second}
	bus := &fakeBus{lines: make(chan string, 1)}
	r := start(t, list(s), withBus(bus))
	booted := make(chan error, 1)
	go func() { booted <- r.Boot(context.Background()) }()
	if line := <-bus.lines; line != "1|1|unix|/x|grpc" {
		t.Fatalf("handshake %q", line)
	}
	r.Hello(ref("plug", 0), topology.NewIncarnation(1, 7)) // of somebody else
	r.Hello(ref("plug", 0), topology.NewIncarnation(1, 1))
	if err := <-booted; err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.status(ref("plug", 0)).PID)); err != nil || string(text) != "dsat:plug:0\x00plugin\x00plug\x00" {
		t.Errorf("cmdline %q %v", text, err)
	}
	r.Fault(ref("plug", 0), topology.NewIncarnation(1, 1), "sent garbage")
	<-bus.lines
	r.Hello(ref("plug", 0), topology.NewIncarnation(1, 2))
	st := r.until(ref("plug", 0), "replaced", func(s InstanceStatus) bool { return s.State == Running && s.Restarts == 1 })
	if st.LastExit != "sent garbage" {
		t.Errorf("%+v", st)
	}
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("plug", 0)}); err != nil {
		t.Error(err)
	}
	want := []string{
		"admit plug:0 1.1", "spawned plug:0 1.1", "handshake plug:0 1.1", "gone plug:0 1.1",
		"admit plug:0 1.2", "spawned plug:0 1.2", "handshake plug:0 1.2", "drain plug:0 1.2", "gone plug:0 1.2",
	}
	if !slices.Equal(bus.calls, want) {
		t.Errorf("the bus was told %q", bus.calls)
	}
}

// A drain that never ends is ended by the deadline, and a kill does not wait for it.
func TestEndlessDrain(t *testing.T) {
	s := satelliteOf("worker", "pause", "")
	s.Speaks = topology.SpeaksBus
	s.Stop.Deadline = 30 * time.Millisecond
	patient := satelliteOf("patient", "pause", "")
	patient.Speaks, patient.Stop.Deadline = topology.SpeaksBus, time.Hour
	bus := &fakeBus{drain: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	r := start(t, list(s, patient), withBus(bus))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if res, err := r.Stop(context.Background(), []topology.Ref{ref("worker", 0)}); err != nil || res[0].State != Stopped {
		t.Fatalf("%+v %v", res, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if res, err := r.Stop(ctx, []topology.Ref{ref("patient", 0)}); err == nil || res[0].Err == nil {
		t.Fatalf("%+v %v", res, err)
	}
	r.KillAll()
	if st := r.status(ref("patient", 0)); st.State != Stopped {
		t.Fatalf("%+v", st)
	}
}

func TestFilter(t *testing.T) {
	for _, tty := range []bool{false, true} {
		t.Run(fmt.Sprintf("tty=%v", tty), func(t *testing.T) {
			s := satelliteOf("cat", "cat", "")
			s.Speaks, s.TTY, s.Restart.Policy = topology.SpeaksLines, tty, topology.RestartOnFailure
			bus := &fakeBus{in: make(chan *os.File, 1), out: make(chan *os.File, 1)}
			r := start(t, list(s), withBus(bus))
			if err := r.Boot(context.Background()); err != nil {
				t.Fatal(err)
			}
			in, out := <-bus.in, <-bus.out
			defer out.Close()
			if _, err := in.WriteString("one\n"); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, err := out.Read(buf)
			if err != nil || string(buf[:n]) != "got one\n" {
				t.Fatalf("%q %v", buf[:n], err)
			}
			in.Close() // the end of its input, on which a filter ends well
			if st := r.until(ref("cat", 0), "exited", func(s InstanceStatus) bool { return s.State == Exited }); !st.Success || st.Want != Down {
				t.Fatalf("%+v", st)
			}
		})
	}
}

func TestThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("starts 1,000 processes")
	}
	s := satelliteOf("many", "", "")
	s.Command = []string{"sleep", "10000"}
	s.Instances = 1000
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, i := range r.Snapshot()[0].Instances {
		kill9(t, i.PID)
	}
	for wid := range 1000 {
		r.until(ref("many", wid), "back", func(s InstanceStatus) bool { return s.State == Running && s.Restarts == 1 })
	}
	if err := r.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
}
