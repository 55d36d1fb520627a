package supervisor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// grouped skips a test where nobody is spawned into groups, or they do not have the controllers it needs (`make vm` has all).
func grouped(t *testing.T, controllers ...string) {
	t.Helper()
	if err := LimitsAvailable("auto", controllers); err != nil {
		t.Skip(err)
	}
}

// shell is a satellite that runs a script; $g is the directory of its control group.
func shell(t *testing.T, name, script string) *topology.Satellite {
	t.Helper()
	_, top, err := ownCgroup()
	if err != nil {
		t.Skip(err)
	}
	s := satelliteOf(name, "", "")
	s.Command = []string{"/bin/sh", "-c", "g=" + top + "$(sed -n s/^0:://p /proc/self/cgroup)\n" + script}
	return s
}

func stopNow(t *testing.T, r *rig, refs ...topology.Ref) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	results, err := r.Stop(ctx, refs)
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range results {
		if res.Err != nil || res.State != Stopped {
			t.Errorf("%+v", res)
		}
	}
}

// A process in a group below its own, which hides its environment in a session of its own, was seen by nobody, and a stop waited for it
// for good: the group had somebody in it, and none of its own processes.
func TestStopReachesGroupsBelow(t *testing.T) {
	grouped(t)
	s := shell(t, "nest", `mkdir "$g/below" "$g/below/deep" || exit 1
trap '' TERM
setsid env -i sh -c 'echo $$ >'"$g"'/below/deep/cgroup.procs && echo nested; exec sleep 1000' &
wait; exec sleep 1000`)
	s.Stop.Deadline = 20 * time.Millisecond
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	x := ref("nest", 0)
	r.line(x, "nested")
	g := r.find(x).life.cgroup
	if g == nil {
		t.Skip("not spawned into a group: ", r.cgroups.broken)
	}
	if n := len(g.members()); n < 2 {
		t.Fatalf("%d processes in the group", n)
	}
	stopNow(t, r, x)
	if g.populated() {
		t.Errorf("somebody lives in %s", g.path)
	}
	if _, err := r.Start(context.Background(), []topology.Ref{x}); err != nil {
		t.Fatal(err)
	}
	stopNow(t, r, x)
}

// Somebody has frozen its group: it hears no signal but the last one, and is gone all the same.
func TestStopOfAFrozenGroup(t *testing.T) {
	grouped(t)
	s := shell(t, "ice", "sleep 1001 & echo up; exec sleep 1000")
	s.Stop.Deadline = 50 * time.Millisecond
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	x := ref("ice", 0)
	r.line(x, "up")
	g := r.find(x).life.cgroup
	if g == nil {
		t.Skip("not spawned into a group: ", r.cgroups.broken)
	}
	if err := write(g.path, "cgroup.freeze", "1"); err != nil {
		t.Skip(err)
	}
	stopNow(t, r, x)
	if g.populated() {
		t.Errorf("somebody lives in %s", g.path)
	}
	if _, err := r.Start(context.Background(), []topology.Ref{x}); err != nil { // what it left frozen does not hold its next life
		t.Fatal(err)
	}
	stopNow(t, r, x)
}

// The group above reached its limit, not its own: that was told as its own.
func TestHungerOfTheGroupAbove(t *testing.T) {
	grouped(t, "memory")
	s := shell(t, "innocent", "exec dd if=/dev/zero of=/dev/null bs=200M count=1")
	s.Limits.Memory = 1 << 30
	s.Autostart, s.Restart.Limit = false, 1
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.cgroups.enable([]string{"memory"}); err != nil {
		t.Fatal(err)
	}
	if err := write(r.cgroups.tree, "memory.max", "33554432"); err != nil {
		t.Fatal(err)
	}
	x := ref("innocent", 0)
	_, _ = r.Start(context.Background(), []topology.Ref{x})
	st := r.until(x, "killed", func(st InstanceStatus) bool { return st.LastExit != "" })
	if !strings.HasSuffix(st.LastExit, "by the kernel: out of memory") {
		t.Errorf("%q", st.LastExit)
	}
}

// A dsatd that was killed leaves its groups. The next one of its run directory takes them away, under whatever name of the topology it
// made them, but none that somebody lives in.
func TestGroupsOfADeadDaemon(t *testing.T) {
	grouped(t)
	run, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	before := openCgroups("auto", "before", run, quiet)
	stranger := openCgroups("auto", "stranger", t.TempDir(), quiet)
	for _, c := range []*cgroups{before, stranger} {
		if c.broken != nil {
			t.Skip(c.broken)
		}
		for _, path := range []string{c.pathOf(ref("gone", 0)), filepath.Join(c.pathOf(ref("gone", 0)), "its-own")} {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		defer c.end()
	}
	s := satelliteOf("x", "pause", "")
	r := start(t, list(s), withRun(run))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(before.tree); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", before.tree, err)
	}
	if _, err := os.Stat(stranger.tree); err != nil {
		t.Errorf("another run's: %v", err)
	}
	if st := r.status(ref("x", 0)); st.State != Running {
		t.Errorf("%+v", st)
	}
	keep := r.cgroups.pathOf(ref("x", 0))
	r.cgroups.made = map[string]bool{}
	r.cgroups.tidy(nil)
	if _, err := os.Stat(keep); err != nil {
		t.Errorf("one with a process: %v", err)
	}
}

// A group that gives only cpu or pids away may keep its processes, says the kernel, and becomes a root of threads by it: nothing could
// be spawned below it any more. So dsatd steps aside before it gives anything away.
func TestLimitsBelowAGroupWithProcesses(t *testing.T) {
	grouped(t, "cpu", "pids")
	_, top, err := ownCgroup()
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"cpu", "pids"} {
		if err := write(top, "cgroup.subtree_control", "+"+name); err != nil {
			t.Skip(err) // only in the topmost group of all; `make vm` has it
		}
	}
	base, err := os.MkdirTemp(top, "busy")
	if err != nil {
		t.Skip(err)
	}
	defer os.Remove(base)
	spawn := func(dir string) int {
		fd, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer fd.Close()
		pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(fd.Fd())}})
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	end := func(pid int) {
		kill9(t, pid)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	daemon := spawn(base)
	run := t.TempDir()
	c := openCgroups(base, "busy", run, slog.New(slog.DiscardHandler))
	g, fd, err := c.enter(ref("x", 0), topology.Limits{CPU: 0.5, PIDs: 10})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	limited := spawn(g.path)
	for file, want := range map[string]string{"cpu.max": "50000 100000\n", "pids.max": "10\n"} {
		if text, err := os.ReadFile(filepath.Join(g.path, file)); err != nil || string(text) != want {
			t.Errorf("%s: %q %v", file, text, err)
		}
	}
	if aside := procs(filepath.Join(base, leaf)); len(aside) != 1 || aside[0] != daemon {
		t.Errorf("aside are %v, want %d", aside, daemon)
	}
	end(limited)
	end(daemon)

	// The next one was put into the group that has given them away; the kernel lets it where nobody lives below.
	daemon = spawn(base)
	next := openCgroups(base, "busy", run, slog.New(slog.DiscardHandler))
	if next.broken != nil {
		t.Fatal(next.broken)
	}
	g, fd, err = next.enter(ref("y", 0), topology.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	end(spawn(g.path))
	end(daemon)
	next.end()
	if err := os.Remove(filepath.Join(base, leaf)); err != nil {
		t.Error(err)
	}
}
