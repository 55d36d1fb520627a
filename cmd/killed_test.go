package cmd_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/web/control"
)

// The step at which dsatd is killed is the n-th line it says (with -v every change of every state is one), its n-th write to the
// record of processes (before and after every fork, after every end), or a moment after it was asked for something. After each kill
// the next dsatd must bring all up, with nobody beside it.

// guarded is a program that holds a lock from its first moment to its last, and says so when somebody else of its instance has it.
const guarded = `["sh", "-c", "exec 9>>lock.$$DSAT_INSTANCE; flock -n 9 || echo $$DSAT_INSTANCE >>two; %s"]`

func sleeper(name, seconds, more string) string {
	return fmt.Sprintf("[satellite.%s]\ncommand = %s\n%s\n", name, fmt.Sprintf(guarded, "exec sleep "+seconds), more)
}

const flow = `
[satellite.source]
plugin = "generate"
options = { rate = 200, ledger = "told" }
to = ["worker", "filter"]
[satellite.worker]
plugin = "copy"
to = "sink"
[satellite.filter]
command = "cat"
speaks = "lines"
to = "sink"
[satellite.sink]
plugin = "null"
options = { ledger = "got" }
`

// before and after are what an apply makes of each other: one stays, one changes, one comes, one goes, one has a family.
var (
	family = fmt.Sprintf("[satellite.family]\ncommand = %s\n", fmt.Sprintf(guarded, "sleep 1002 & setsid sleep 1003 & exec sleep 1001"))
	before = "name = \"t\"\n" + sleeper("stays", "1000", `instances = 2`) + sleeper("changes", "1000", `needs = ["stays"]`) + sleeper("goes", "1000", "") + family + flow
	after  = "name = \"t\"\n" + sleeper("stays", "1000", `instances = 2`) + sleeper("changes", "2000", `needs = ["stays"]`) + sleeper("comes", "1000", "") + family + flow
)

// lab is a place where a dsatd is killed and started again.
type lab struct {
	t    *testing.T
	dir  string
	run  string
	file string

	cmd   *exec.Cmd
	proc  atomic.Pointer[os.Process] // of it
	fuse  atomic.Int64               // steps until it is killed; none below 1
	lines bool                       // a step is a line; else a write to the record
	up    chan struct{}              // closed when it says that all is up
	ended chan struct{}              // closed when it was waited for
	words *strings.Builder
	rests []string // satellites that may have been stopped by hand
}

func newLab(t *testing.T, lines bool) *lab {
	t.Helper()
	for _, tool := range []string{"flock", "setsid"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	l := &lab{t: t, dir: t.TempDir(), lines: lines}
	l.run, l.file = filepath.Join(l.dir, "run"), filepath.Join(l.dir, "t.toml")
	t.Cleanup(func() {
		if l.cmd != nil {
			_ = l.cmd.Process.Kill() // it may have ended
			<-l.ended
		}
		endAll(l.run)
	})
	l.write(before)
	if err := os.Mkdir(l.run, 0o700); err != nil {
		t.Fatal(err)
	}
	l.watch()
	return l
}

// watch takes writes to the record for steps.
func (l *lab) watch() {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, l.run, unix.IN_MODIFY); err != nil {
		l.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			for at := 0; at < n; {
				size := int(binary.NativeEndian.Uint32(buf[at+12:]))
				name := string(buf[at+unix.SizeofInotifyEvent : at+unix.SizeofInotifyEvent+size])
				if at += unix.SizeofInotifyEvent + size; strings.HasPrefix(name, "record") && !l.lines {
					l.step()
				}
			}
		}
	})
	l.t.Cleanup(func() {
		f.Close()
		reader.Wait()
	})
}

// step burns the fuse.
func (l *lab) step() {
	if l.fuse.Add(-1) == 0 {
		_ = l.proc.Load().Kill() // it may have ended by itself
	}
}

func (l *lab) write(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) environ() []string {
	return append(os.Environ(), "DSAT_RUN_DIR="+l.run, "XDG_STATE_HOME="+filepath.Join(l.dir, "state"))
}

// start starts a dsatd that is killed at its n-th step; 0: it is not.
func (l *lab) start(n int) {
	l.t.Helper()
	l.cmd = exec.Command(filepath.Join(binaries, "dsatd"), "start", "-v", l.file)
	l.cmd.Env, l.cmd.Dir = l.environ(), l.dir
	says, err := l.cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	l.fuse.Store(int64(n))
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.proc.Store(l.cmd.Process)
	l.up, l.ended, l.words = make(chan struct{}), make(chan struct{}), &strings.Builder{}
	go func(cmd *exec.Cmd, up, ended chan struct{}, words *strings.Builder) {
		defer close(ended)
		tell := sync.OnceFunc(func() { close(up) })
		for in := bufio.NewScanner(says); in.Scan(); {
			fmt.Fprintln(words, in.Text())
			if l.lines {
				l.step()
			}
			if strings.Contains(in.Text(), "everything is up") {
				tell()
			}
		}
		_ = cmd.Wait() // killed, or ended as asked: the test knows which
	}(l.cmd, l.up, l.ended, l.words)
}

// whole waits until all is up.
func (l *lab) whole() {
	l.t.Helper()
	select {
	case <-l.up:
	case <-l.ended:
		l.t.Fatalf("dsatd ended:\n%s", l.words)
	case <-time.After(patience):
		_ = l.cmd.Process.Kill()
		<-l.ended
		l.t.Fatalf("not all is up:\n%s", l.words)
	}
}

// ask runs dsatctl and returns what came out, and whether it ended well.
func (l *lab) ask(args ...string) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "dsatctl"), args...)
	cmd.Env = l.environ()
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// check waits until every process of the lab is one that dsatd has. One that was told to end by the dsatd before may still do so, and is
// started again.
func (l *lab) check(when string) {
	l.t.Helper()
	for end := time.Now().Add(patience); ; {
		wrong := l.wrong()
		if wrong == "" {
			return
		}
		if two, err := os.ReadFile(filepath.Join(l.dir, "two")); err == nil || time.Now().After(end) {
			_ = l.cmd.Process.Kill()
			<-l.ended
			l.t.Fatalf("%s: %s; two at once of: %s; dsatd said:\n%s", when, wrong, two, l.words)
		}
		time.Sleep(5 * time.Millisecond) // between two looks at the world
	}
}

// wrong is what is not as it should be; "": nothing.
func (l *lab) wrong() string {
	out, ok := l.ask("status", "--json")
	var st control.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil || !ok {
		return "no status: " + out
	}
	has := map[string]uint64{} // the incarnation of each instance
	for _, s := range st.Satellites {
		for _, i := range s.Instances {
			who := fmt.Sprintf("%s:%d", s.Name, i.WID)
			has[who] = i.Incarnation
			if i.State == "stopped" && i.PID == 0 && slices.Contains(l.rests, s.Name) {
				continue // was stopped by hand, and the next dsatd keeps to that
			}
			if i.State != "running" || !lives(i.PID) {
				return fmt.Sprintf("%s is %s with pid %d: %s", who, i.State, i.PID, i.Why)
			}
		}
	}
	for _, pid := range children(l.run) {
		env := environOf(pid)
		// Without any it has ended since, or is in the midst of an exec.
		if who, inc := env["DSAT_INSTANCE"], env["DSAT_INCARNATION"]; who != "" && inc != strconv.FormatUint(has[who], 10) {
			return fmt.Sprintf("process %d is incarnation %s of %s, and dsatd has %d", pid, inc, who, has[who])
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "two")); err == nil {
		return "there were two of one instance"
	}
	if st.Ledger == nil || !st.Ledger.Balanced {
		return fmt.Sprintf("the ledger is not balanced: %+v", st.Ledger)
	}
	return ""
}

// lives tells whether the number is of a process that has not ended.
func lives(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid <= 1 {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func environOf(pid int) map[string]string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	env := map[string]string{}
	for kv := range strings.SplitSeq(string(text), "\x00") {
		key, value, _ := strings.Cut(kv, "=")
		env[key] = value
	}
	return env
}

// down ends the daemon; nothing is left.
func (l *lab) down() {
	l.t.Helper()
	if out, ok := l.ask("down"); !ok {
		l.t.Fatalf("down: %s", out)
	}
	<-l.ended
	if left := children(l.run); len(left) > 0 {
		l.t.Fatalf("alive after down: %v; dsatd said:\n%s", left, l.words)
	}
	if out, err := exec.Command(filepath.Join(binaries, "dsat-ledger"), filepath.Join(l.dir, "told"), filepath.Join(l.dir, "got")).CombinedOutput(); !strings.Contains(string(out), "invented 0") {
		l.t.Fatalf("the ledger: %v\n%s", err, out)
	}
}

// again starts the next dsatd after a kill.
func (l *lab) again(when string) {
	l.t.Helper()
	<-l.ended
	l.start(0)
	l.whole()
	l.check(when)
}

// steps runs a scenario with the kill at each step from the first on, until one survives it: by lines, and by writes to the record.
func steps(t *testing.T, f func(l *lab, n int) (survived bool)) {
	for _, kind := range []string{"line", "record"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t, kind == "line")
			stride := 1
			if testing.Short() {
				stride = 5
			}
			for n := 1 + rand.IntN(stride); ; n += stride {
				if f(l, n) {
					t.Logf("it survived %d", n)
					return
				}
			}
		})
	}
}

func TestKilledInAStart(t *testing.T) {
	steps(t, func(l *lab, n int) bool {
		l.start(n)
		survived := false
		select {
		case <-l.up:
			survived = l.fuse.Swap(0) > 0
			_ = l.cmd.Process.Kill()
		case <-l.ended:
		}
		l.again(fmt.Sprintf("killed at step %d of a start", n))
		if n%2 == 0 { // else the next one is a start that takes back
			l.down()
		} else {
			_ = l.cmd.Process.Kill()
			<-l.ended
		}
		return survived
	})
}

func TestKilledInAStop(t *testing.T) {
	for name, words := range map[string][]string{"all": {"down"}, "some": {"stop", "stays", "family", "worker", "filter"}, "restart": {"restart", "*"}} {
		t.Run(name, func(t *testing.T) {
			steps(t, func(l *lab, n int) bool {
				if l.cmd == nil {
					l.start(0)
					l.whole()
				}
				l.fuse.Store(int64(n))
				l.ask(words...)
				if l.fuse.Swap(0) > 0 {
					return true
				}
				when := fmt.Sprintf("killed at step %d of %s", n, words)
				if words[0] == "stop" {
					l.rests = words[1:]
				}
				l.again(when)
				if l.rests = nil; words[0] == "stop" {
					l.ask(append([]string{"start"}, words[1:]...)...)
					l.check(when + ", and all were started again")
				}
				return false
			})
		})
	}
}

func TestKilledInAnApply(t *testing.T) {
	texts, present := [2]string{before, after}, 0
	steps(t, func(l *lab, n int) bool {
		if l.cmd == nil {
			present = 0
			l.start(0)
			l.whole()
		}
		l.write(texts[1-present])
		l.fuse.Store(int64(n))
		l.ask("apply")
		if l.fuse.Swap(0) > 0 {
			l.check("after an apply")
			return true
		}
		<-l.ended
		if n%3 == 0 {
			l.write(texts[present]) // they think better of it
		} else {
			present = 1 - present
		}
		l.again(fmt.Sprintf("killed at step %d of an apply", n))
		if out, ok := l.ask("plan"); !ok {
			t.Fatalf("killed at step %d of an apply: the next dsatd does not run what the file says:\n%s", n, out)
		}
		return false
	})
}

// An upgrade says little, so its moments are taken by the clock.
func TestKilledInAnUpgrade(t *testing.T) {
	l := newLab(t, true)
	l.start(0)
	l.whole()
	stride := 4 * time.Millisecond
	if testing.Short() {
		stride = 20 * time.Millisecond
	}
	for after := time.Duration(0); ; after += stride {
		pid := l.cmd.Process.Pid
		bomb := time.AfterFunc(after, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		out, ok := l.ask("upgrade")
		if bomb.Stop() {
			if !ok {
				t.Fatalf("upgrade: %s", out)
			}
			l.check("after an upgrade")
			t.Logf("it survived %v", after)
			return
		}
		l.again(fmt.Sprintf("killed %v after the beginning of an upgrade", after))
	}
}
