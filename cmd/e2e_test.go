// Package cmd_test runs the real dsatd and dsatctl as a user does: every file of testdata/script is one story.
package cmd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dsat/dsat/web/control"
)

// patience is how long a story waits for what must come; it is a guard against hanging, not a promise.
const patience = 60 * time.Second

var (
	binaries string
	built    = flag.String("binaries", "", "a directory with the binaries, for machines where nothing can be built (make vm)")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

// buildAndRun builds the binaries the stories use, so that a test never runs yesterday's.
func buildAndRun(m *testing.M) int {
	if *built != "" {
		binaries = *built
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "dsat-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "./dsatd", "./dsatctl", "./dsat-ledger")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the binaries: %v\n%s", err, out)
		return 1
	}
	if err := os.Chmod(dir, 0o755); err != nil { // satellites that are other users' execute what is in it
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binaries = dir
	return m.Run()
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setup,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dsatd":      program("dsatd"),
			"dsatctl":    program("dsatctl"),
			"ledger":     program("dsat-ledger"),
			"eventually": eventually,
			"hit":        hit,
			"remember":   remember,
			"changed":    changed,
			"nothing":    nothing,
			"json":       jsonField,
			"take":       take,
			"storm":      storm,
			"count":      count,
			"next":       next,
			"settable":   settable,
		},
	})
}

// condition is what a story can ask of the machine: [root], [unshare] (pid namespaces may be made), [limits] (control groups with
// every controller that limits need).
func condition(name string) (bool, error) {
	switch name {
	case "limits":
		return limitable(), nil
	case "root":
		return os.Geteuid() == 0, nil
	case "unshare":
		return exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run() == nil, nil
	}
	return false, fmt.Errorf("nobody knows the condition %q", name)
}

// setup gives each story a run and a state directory of its own and sees to it that nothing outlives it.
func setup(env *testscript.Env) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	env.Setenv("PATH", binaries+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("REPO", root)
	env.Setenv("PYTHONPATH", filepath.Join(root, "satellites/python"))
	env.Setenv("DSAT_RUN_DIR", filepath.Join(env.WorkDir, "run"))
	env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
	env.Setenv("SELF", selfExecutable())
	env.Defer(func() { endAll(filepath.Join(env.WorkDir, "run")) })
	return nil
}

func selfExecutable() string {
	self, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return self
}

// endAll kills the story's daemon, if there is one, and then whatever it had started; its control groups go with it.
func endAll(runDir string) {
	defer removeGroups(runDir)
	if text, err := os.ReadFile(filepath.Join(runDir, "lock")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && belongsTo(pid, runDir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for _, pid := range children(runDir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// belongsTo says whether the process was started for this run directory, so that a reused pid is never hit.
func belongsTo(pid int, runDir string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && (bytes.Contains(env, []byte("DSAT_RUN_DIR="+runDir+"\x00")) || bytes.Contains(env, []byte("DSAT_RUN="+runDir+"\x00")))
}

// children are the live processes that carry the run directory in their environment.
func children(runDir string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(env, []byte("DSAT_RUN="+runDir+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// program runs a binary like testscript's exec, by its bare name.
func program(name string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := ts.Exec(name, args...)
		if err != nil && !neg {
			ts.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
		}
		if err == nil && neg {
			ts.Fatalf("%s %s: unexpected success", name, strings.Join(args, " "))
		}
	}
}

// eventually runs a command again and again until its output matches: eventually REGEXP COMMAND ARG...
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually REGEXP COMMAND ARG...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.Now().Add(patience)
	for {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Path = lookPath(ts, args[1])
		cmd.Err = nil
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = environ(ts)
		out, _ := cmd.CombinedOutput()
		if want.Match(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not come; last output of %s:\n%s", args[0], strings.Join(args[1:], " "), out)
		}
		time.Sleep(20 * time.Millisecond) // between two looks at the world; the loop is the synchronisation
	}
}

func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	ts.Fatalf("cannot find %s", name)
	return ""
}

func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "REPO", "PYTHONPATH", "DSAT_RUN_DIR", "XDG_STATE_HOME", "HOME", "TMPDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func status(ts *testscript.TestScript) control.Status {
	cmd := exec.Command(lookPath(ts, "dsatctl"), "status", "--json")
	cmd.Env = environ(ts)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			ts.Fatalf("dsatctl status: %v\n%s", err, exit.Stderr)
		}
		ts.Fatalf("dsatctl status: %v", err)
	}
	var st control.Status
	ts.Check(json.Unmarshal(out, &st))
	return st
}

// pidOf is the process of "name:wid", or of the daemon itself for "dsatd".
func pidOf(ts *testscript.TestScript, instance string) int {
	st := status(ts)
	if instance == "dsatd" {
		return st.PID
	}
	name, wid, _ := strings.Cut(instance, ":")
	for _, s := range st.Satellites {
		for _, i := range s.Instances {
			if s.Name == name && strconv.Itoa(i.WID) == wid {
				return i.PID
			}
		}
	}
	ts.Fatalf("there is no instance %s", instance)
	return 0
}

// building makes one binary at a time.
var building sync.Mutex

// next builds a dsatd of another version, once for all stories: next PATH VERSION
func next(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: next PATH VERSION")
	}
	building.Lock()
	defer building.Unlock()
	made := filepath.Join(binaries, "next-"+args[1])
	if _, err := os.Stat(made); err != nil {
		build := exec.Command("go", "build", "-o", made, "-ldflags", "-X github.com/dsat/dsat/web/control.release="+args[1], "./dsatd")
		if out, err := build.CombinedOutput(); err != nil {
			ts.Fatalf("cannot build the next dsatd: %v\n%s", err, out)
		}
	}
	ts.Check(os.Link(made, ts.MkAbs(args[0])))
}

// hit signals a process from outside: hit SIGNAL INSTANCE|dsatd
func hit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hit SIGNAL INSTANCE|dsatd")
	}
	sig := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "STOP": syscall.SIGSTOP,
		"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "QUIT": syscall.SIGQUIT}[args[0]]
	pid := pidOf(ts, args[1])
	if pid == 0 || sig == 0 {
		ts.Fatalf("cannot send %s to pid %d of %s", args[0], pid, args[1])
	}
	ts.Check(syscall.Kill(pid, sig))
}

// storm kills instances at random, with about 30 ms between two kills: storm DURATION SATELLITE...
func storm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: storm DURATION SATELLITE...")
	}
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	kills := 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		var pids []int
		for _, s := range status(ts).Satellites {
			if !slices.Contains(args[1:], s.Name) {
				continue
			}
			for _, i := range s.Instances {
				if i.PID != 0 {
					pids = append(pids, i.PID)
				}
			}
		}
		if len(pids) > 0 {
			// The process may have ended meanwhile: then there is one kill less.
			if syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL) == nil {
				kills++
			}
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // the weather, not a synchronisation
	}
	ts.Logf("%d processes were killed", kills)
}

// remember keeps an instance's pid in a variable: remember VARIABLE INSTANCE
func remember(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: remember VARIABLE INSTANCE|dsatd")
	}
	ts.Setenv(args[0], strconv.Itoa(pidOf(ts, args[1])))
}

// changed waits until an instance runs under another pid than the one remembered; negated, asserts that it is the same.
func changed(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] changed VARIABLE INSTANCE")
	}
	old := ts.Getenv(args[0])
	if neg {
		if now := strconv.Itoa(pidOf(ts, args[1])); now != old {
			ts.Fatalf("%s had pid %s and has %s", args[1], old, now)
		}
		return
	}
	deadline := time.Now().Add(patience)
	for {
		if now := strconv.Itoa(pidOf(ts, args[1])); now != old && now != "0" {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s still has pid %s", args[1], old)
		}
		time.Sleep(5 * time.Millisecond) // between two looks at the world
	}
}

// nothing asserts that no process of the story's daemon is alive: nothing alive
func nothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "alive" {
		ts.Fatalf("usage: nothing alive")
	}
	if pids := children(ts.Getenv("DSAT_RUN_DIR")); len(pids) > 0 {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pids[0]))
		ts.Fatalf("still alive: %v, the first is %q", pids, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
	}
}

// count asserts how many processes there are of a satellite of the story, whoever started them: count NUMBER SATELLITE
func count(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: count NUMBER SATELLITE")
	}
	n := 0
	for _, pid := range children(ts.Getenv("DSAT_RUN_DIR")) {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if bytes.Contains(env, []byte("\x00DSAT_NAME="+args[1]+"\x00")) {
			n++
		}
	}
	if strconv.Itoa(n) != args[0] {
		ts.Fatalf("%s has %d processes, want %s", args[1], n, args[0])
	}
}
