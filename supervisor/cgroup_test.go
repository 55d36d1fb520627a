package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

func TestLocateCgroup(t *testing.T) {
	const mounts = `22 1 0:20 / /sys rw - sysfs sysfs rw
23 22 0:21 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
30 22 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	const container = `31 22 0:25 /docker/abc /sys/fs/cgroup ro shared:4 - cgroup2 cgroup rw`
	for _, c := range []struct{ mounts, path, own, top string }{
		{mounts, "/", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"},
		{mounts, "/system.slice/dsatd.service", "/sys/fs/cgroup/unified/system.slice/dsatd.service", "/sys/fs/cgroup/unified"},
		{container, "/docker/abc", "/sys/fs/cgroup", "/sys/fs/cgroup"},
		{container, "/docker/abc/x", "/sys/fs/cgroup/x", "/sys/fs/cgroup"},
		{container, "/elsewhere", "", ""},
		{"", "/", "", ""},
		{"torn line - cgroup2", "/", "", ""},
	} {
		if own, top, ok := locateCgroup(c.mounts, c.path); own != c.own || top != c.top || ok != (own != "") {
			t.Errorf("%q: %q %q %v, want %q %q", c.path, own, top, ok, c.own, c.top)
		}
	}
}

func TestLimitSettings(t *testing.T) {
	text := func(l topology.Limits) string {
		var out []string
		for _, s := range settings(l) {
			out = append(out, s.file+"="+s.value)
		}
		return strings.Join(out, " ")
	}
	if got, want := text(topology.Limits{Swap: true}), "cpu.max=max 100000 cpu.weight=100 memory.high=max memory.max=max memory.swap.max=max memory.oom.group=0 io.weight=100 pids.max=max"; got != want {
		t.Errorf("%s", got)
	}
	all := topology.Limits{Memory: 1 << 20, MemoryHigh: 1 << 19, CPU: 1.5, CPUWeight: 50, IOWeight: 200, PIDs: 10}
	if got, want := text(all), "cpu.max=150000 100000 cpu.weight=50 memory.high=524288 memory.max=1048576 memory.swap.max=0 memory.oom.group=1 io.weight=200 pids.max=10"; got != want {
		t.Errorf("%s", got)
	}
	if c := all.Controllers(); !slices.Equal(c, []string{"cpu", "memory", "io", "pids"}) {
		t.Errorf("%q", c)
	}
}

// A made-up hierarchy: what the kernel would be told, in which order, is what files hold.
func TestLimitsAreWritten(t *testing.T) {
	base := t.TempDir()
	for _, f := range []string{"cgroup.procs", "cgroup.subtree_control"} {
		if err := os.WriteFile(filepath.Join(base, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := openCgroups(base, "x", "/run/x", nil)
	if c.broken != nil {
		t.Fatal(c.broken)
	}
	at := func(name string) string { return filepath.Join(c.tree, name) }
	group := at("a.0")
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{at("cgroup.subtree_control"), filepath.Join(group, "pids.max")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.made[group] = true
	g, fd, err := c.enter(ref("a", 0), topology.Limits{PIDs: 7})
	if err != nil || g == nil {
		t.Fatal(g, err)
	}
	unix.Close(fd)
	for file, want := range map[string]string{
		filepath.Join(base, "cgroup.subtree_control"): "+pids", at("cgroup.subtree_control"): "+pids", filepath.Join(group, "pids.max"): "7",
	} {
		if text, err := os.ReadFile(file); err != nil || string(text) != want {
			t.Errorf("%s: %q %v, want %q", file, text, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(group, "memory.events"), []byte("low 0\noom 3\noom_kill 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := newHunger().verdict(g, 1); said != "by the kernel: it reached its memory limit" {
		t.Errorf("%q", said)
	}
	g.hunger.own = 3 // since its life began, only others' limits were reached
	if said := newHunger().verdict(g, 1); said != "by the kernel: out of memory" {
		t.Errorf("%q", said)
	}
}

// What the kernel counts is told of the limits that there are.
func TestStrains(t *testing.T) {
	s := satelliteOf("a", "", "")
	s.Limits = topology.Limits{Memory: 1 << 30, CPU: 0.5, PIDs: 7}
	x := ref("a", 0)
	sup := named(&topology.Topology{Satellites: []*topology.Satellite{s}})
	sup.cgroups = &cgroups{tree: t.TempDir()}
	if all := sup.Strains(x); len(all) != 0 {
		t.Errorf("without a group: %+v", all)
	}
	group := sup.cgroups.pathOf(x)
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"memory.events": "low 0\nhigh 9\nmax 4\noom 1\noom_kill 1\n", "pids.events": "max 12\n", "cpu.stat": "usage_usec 5\nnr_periods 20\nnr_throttled 6\n",
	} {
		if err := os.WriteFile(filepath.Join(group, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, want := sup.Strains(x), []Strain{{"memory", 4}, {"cpu", 6}, {"pids", 12}}; !slices.Equal(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	if all := sup.Strains(ref("nobody", 0)); len(all) != 0 {
		t.Errorf("of nobody: %+v", all)
	}
}

// Where there are no groups, what is not limited runs, and what is limited says why it does not.
func TestLimitsWithoutGroups(t *testing.T) {
	limited := satelliteOf("limited", "", "")
	limited.Command = []string{"/bin/sleep", "1000"}
	limited.Limits.Memory = 1 << 30
	limited.Restart.Limit = 1
	free := satelliteOf("free", "", "")
	free.Command = []string{"/bin/sleep", "1000"}
	r := start(t, list(limited, free), func(c *Config) { c.Topology.Daemon.Cgroup = "off" })
	err := r.Boot(context.Background())
	if err == nil || !strings.Contains(err.Error(), "cannot enforce its limits (memory): daemon.cgroup is off") {
		t.Errorf("%v", err)
	}
	if st := r.status(ref("free", 0)); st.State != Running {
		t.Errorf("%+v", st)
	}
	if err := LimitsAvailable("off", []string{"memory"}); err == nil || err.Error() != "daemon.cgroup is off" {
		t.Errorf("%v", err)
	}
	if err := LimitsAvailable("/nowhere", nil); err == nil {
		t.Error("a path that is none was taken")
	}
}

// A guard that refuses to spawn into groups costs the groups, not the satellites.
func TestGroupsThatBreak(t *testing.T) {
	s := satelliteOf("x", "", "")
	s.Command = []string{"/bin/sleep", "1000"}
	r := start(t, list(s))
	r.cgroups.fail(errors.New("no"))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if l := r.find(ref("x", 0)).life; l.cgroup != nil {
		t.Errorf("%+v", l.cgroup)
	}
}

// Linux kills whatever is spawned into a group that was killed once. A dsatd that was killed itself, after it had killed a group and
// before it took it away, left such a one: everything the next one spawned died at once, again and again.
func TestGroupThatWasKilledByAnEarlierDaemon(t *testing.T) {
	run := t.TempDir()
	earlier := openCgroups("auto", "killed", run, slog.New(slog.DiscardHandler))
	if earlier.broken != nil {
		t.Skip(earlier.broken)
	}
	x := ref("x", 0)
	g, fd, err := earlier.enter(x, topology.Limits{})
	if err != nil {
		t.Skip(err)
	}
	unix.Close(fd)
	if err := os.Mkdir(filepath.Join(g.path, "its-own"), 0o700); err != nil { // made by what ran in it
		t.Fatal(err)
	}
	g.kill()

	next := openCgroups("auto", "killed", run, slog.New(slog.DiscardHandler))
	defer next.end()
	if _, fd, err = next.enter(x, topology.Limits{}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}})
	if err != nil {
		t.Skip(err) // a guard around us does not spawn into groups
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil || ws.Signaled() {
		t.Errorf("what is spawned there: %v %v", ws, err)
	}
}
