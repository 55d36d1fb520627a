package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed c/child.c
var childC []byte

//go:embed c/floor.c
var floorC []byte

const (
	floorName = "C posix_spawn loop"
	dsatName  = "dsatd"

	// limit is a guard against hanging, not a figure.
	limit = 2 * time.Minute
)

// manager is a supervisor under test: how it is started with n children that run argv.
type manager struct {
	name  string
	start func(l *lab, n int, argv []string) (*exec.Cmd, error)
	// status is a command that asks it about all children; nil when it has none.
	status func(l *lab) *exec.Cmd
}

// supervise measures launch, respawn, mass kill, stop, memory, threads, idle wake-ups and status beside a loop in C.
func supervise(l *lab) (*report, error) {
	for name, source := range map[string][]byte{"child": childC, "floor": floorC} {
		if err := compile(l, name, source); err != nil {
			return nil, err
		}
	}
	r := newReport("Supervision", floorName)
	r.notes = append(r.notes, machine()+". The child is a static program whose first act is a stamp of CLOCK_MONOTONIC. "+
		"launch: from before the manager's exec to the last child's stamp; respawn: from before kill(2) to the next stamp; "+
		"mass kill: all killed at once, to the last of as many new stamps; stop: TERM to the manager, to the manager's end. dsatd captures output (one joined pipe a child), the loop does not.")
	managers := []manager{
		{name: floorName, start: startFloor},
		{name: dsatName, start: startDsatd, status: func(l *lab) *exec.Cmd { return l.ctl("status") }},
	}
	for _, n := range []int{100, 1000} {
		for range l.runs {
			for _, m := range managers {
				if err := superviseOnce(l, r, m, n); err != nil {
					return nil, fmt.Errorf("%s with %d children: %w", m.name, n, err)
				}
			}
		}
	}
	return r, nil
}

func compile(l *lab, name string, source []byte) error {
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path+".c", source, 0o600); err != nil {
		return err
	}
	out, err := exec.Command("gcc", "-O2", "-static", "-o", path, path+".c").CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot build %s.c: %w\n%s", name, err, out)
	}
	return nil
}

func startFloor(l *lab, n int, argv []string) (*exec.Cmd, error) {
	cmd := exec.Command(filepath.Join(l.dir, "floor"), append([]string{strconv.Itoa(n)}, argv...)...)
	return cmd, cmd.Start()
}

func startDsatd(l *lab, n int, argv []string) (*exec.Cmd, error) {
	text := fmt.Sprintf("dsat = 1\n[satellite.idle]\ncommand = [%q, %q]\ninstances = %d\nrestart = { limit = 0 }\n", argv[0], argv[1], n)
	return l.dsatd(text)
}

// dsatd starts the daemon with a topology in the foreground, quiet.
func (l *lab) dsatd(text string) (*exec.Cmd, error) {
	file := filepath.Join(l.dir, "bench.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(l.bin, "dsatd"), "start", "--run-dir", l.runDir(), "--state-dir", filepath.Join(l.dir, "state"), file)
	log, err := os.OpenFile(filepath.Join(l.dir, "dsatd.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stderr = log
	return cmd, cmd.Start()
}

func (l *lab) runDir() string { return filepath.Join(l.dir, "run") }

func (l *lab) ctl(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(l.bin, "dsatctl"), append([]string{"--run-dir", l.runDir()}, args...)...)
}

func superviseOnce(l *lab, r *report, m manager, n int) (err error) {
	stamps, err := newStamps(l)
	if err != nil {
		return err
	}
	row := func(what string) string { return fmt.Sprintf("%s, %d children", what, n) }
	begin := monotonic()
	cmd, err := m.start(l, n, []string{filepath.Join(l.dir, "child"), stamps.path})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endManager(cmd)) }()
	all, err := stamps.wait(n)
	if err != nil {
		return err
	}
	r.add(row("launch, ms"), m.name, ms(all[n-1].at-begin))
	if err := settle(cmd.Process.Pid); err != nil {
		return err
	}
	if err := r.idle(row, m.name, cmd.Process.Pid); err != nil {
		return err
	}
	if m.status != nil {
		if err := r.status(row, m, l); err != nil {
			return err
		}
	}
	if err := r.respawn(row, m.name, stamps, all, n); err != nil {
		return err
	}
	begin = monotonic()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	r.add(row("stop, ms"), m.name, ms(monotonic()-begin))
	return nil
}

// endManager sees to it that nothing is left after a run that failed half way.
func endManager(cmd *exec.Cmd) error {
	if cmd.ProcessState != nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	return cmd.Wait()
}

func (r *report) idle(row func(string) string, name string, pid int) error {
	before, err := switches(pid)
	if err != nil {
		return err
	}
	const span = 2 * time.Second
	time.Sleep(span) // the measurement itself: what happens while nothing happens
	after, err := switches(pid)
	if err != nil {
		return err
	}
	r.add(row("idle wake-ups, 1/s"), name, float64(after-before)/span.Seconds())
	pss, err := pssMiB(pid)
	if err != nil {
		return err
	}
	r.add(row("memory (PSS), MiB"), name, pss)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	r.add(row("threads"), name, float64(len(tasks)))
	return err
}

func (r *report) status(row func(string) string, m manager, l *lab) error {
	for range 5 {
		begin := monotonic()
		if out, err := m.status(l).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		r.add(row("status as a whole process, ms"), m.name, ms(monotonic()-begin))
	}
	return nil
}

func (r *report) respawn(row func(string) string, name string, stamps *stamps, all []stamp, n int) error {
	count := len(all)
	for i := range 20 {
		begin := monotonic()
		if err := syscall.Kill(all[i*n/20].pid, syscall.SIGKILL); err != nil {
			return err
		}
		count++
		now, err := stamps.wait(count)
		if err != nil {
			return err
		}
		r.add(row("respawn after kill -9, ms"), name, ms(now[count-1].at-begin))
		all[i*n/20] = now[count-1]
	}
	begin := monotonic()
	for i := range n {
		if err := syscall.Kill(all[i].pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	now, err := stamps.wait(count + n)
	if err != nil {
		return err
	}
	r.add(row("all killed at once, to all back, ms"), name, ms(now[count+n-1].at-begin))
	return nil
}

// stamp is one child's first act.
type stamp struct {
	at  int64 // CLOCK_MONOTONIC, ns
	pid int
}

// stamps is the file the children append to.
type stamps struct{ path string }

func newStamps(l *lab) (*stamps, error) {
	s := &stamps{path: filepath.Join(l.dir, "stamps")}
	return s, os.WriteFile(s.path, nil, 0o600)
}

// wait polls until there are n stamps; the stamps carry the times, so the polling costs no precision.
func (s *stamps) wait(n int) ([]stamp, error) {
	deadline := time.Now().Add(limit)
	for {
		info, err := os.Stat(s.path)
		if err != nil {
			return nil, err
		}
		if info.Size() >= int64(n)*16 {
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d children stamped", info.Size()/16, n)
		}
		time.Sleep(200 * time.Microsecond)
	}
	raw, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	all := make([]stamp, len(raw)/16)
	for i := range all {
		all[i] = stamp{at: int64(binary.LittleEndian.Uint64(raw[i*16:])), pid: int(binary.LittleEndian.Uint64(raw[i*16+8:]))}
	}
	return all, nil
}

func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano()
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// settle waits until the manager has stopped working after a launch: no context switch between two looks.
func settle(pid int) error {
	deadline := time.Now().Add(10 * time.Second)
	last := -1
	for time.Now().Before(deadline) {
		now, err := switches(pid)
		if err != nil {
			return err
		}
		if now == last {
			return nil
		}
		last = now
		time.Sleep(300 * time.Millisecond)
	}
	return nil
}

// switches counts the voluntary context switches of all threads: each is a wake-up.
func switches(pid int) (int, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, task := range tasks {
		n, err := field(filepath.Join(dir, task.Name(), "status"), "voluntary_ctxt_switches:")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func pssMiB(pid int) (float64, error) {
	kib, err := field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	return float64(kib) / 1024, err
}

// field reads the number after a label of a /proc file.
func field(path, label string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if rest, ok := strings.CutPrefix(string(line), label); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("cannot find %s in %s", label, path)
}
