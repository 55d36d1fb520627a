package main

import (
	"bytes"
	"context"
	_ "embed"
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
)

//go:embed c/child.c
var childC []byte

//go:embed c/floor.c
var floorC []byte

const (
	floorName = "C posix_spawn loop"
	dsatName  = "dsatd"
)

// manager is a supervisor under test: how it is started with n children that run argv.
type manager struct {
	name  string
	start func(ctx context.Context, l *lab, n int, argv []string) (*process, error)
	asked bool // it can be asked for the status of all children
}

// supervise measures launch, respawn, mass kill, stop, memory, threads, idle wake-ups and status beside a loop in C.
func supervise(ctx context.Context, l *lab) (*report, error) {
	for name, source := range map[string][]byte{"child": childC, "floor": floorC} {
		if err := compile(ctx, l, name, source, "-static"); err != nil {
			return nil, err
		}
	}
	r := newReport("Supervision", floorName)
	r.notes = append(r.notes, machine()+". The child is a static program whose first act is a stamp of CLOCK_MONOTONIC. "+
		"launch: from before the manager's exec to the last child's stamp; respawn: from before kill(2) to the next stamp, of 20 kills one after the other; "+
		"mass kill: all killed at once, to the last of as many new stamps; stop: TERM to the manager, to the manager's end. dsatd captures output (one joined pipe a child), the loop does not. "+
		"Back-off is 1 ms, so that who was killed twice comes back at once.")
	managers := []manager{{floorName, startFloor, false}, {dsatName, startDsatd, true}}
	for _, n := range []int{100, 1000} {
		for range l.runs {
			for _, m := range managers {
				if err := superviseOnce(ctx, l, r, m, n); err != nil {
					return nil, fmt.Errorf("%s with %d children: %w", m.name, n, err)
				}
			}
		}
	}
	return r, nil
}

func startFloor(ctx context.Context, l *lab, n int, argv []string) (*process, error) {
	return l.begin(ctx, filepath.Join(l.dir, "floor"), append([]string{strconv.Itoa(n)}, argv...)...)
}

func startDsatd(ctx context.Context, l *lab, n int, argv []string) (*process, error) {
	return l.dsatd(ctx, idleTopology(n, argv))
}

func idleTopology(n int, argv []string) string {
	return fmt.Sprintf("dsat = 1\n[satellite.idle]\ncommand = [%q, %q]\ninstances = %d\n%s", argv[0], argv[1], n, atOnce)
}

// superviseOnce takes one manager through all that is measured of it.
func superviseOnce(ctx context.Context, l *lab, r *report, m manager, n int) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	stamps, err := newStamps(l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stamps.sweep()) }()
	begin := monotonic()
	p, err := m.start(ctx, l, n, []string{stamps.child, stamps.path})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = p.end() // nothing is to be left of a run that failed half way
		}
	}()
	t := trial{report: r, manager: m, process: p, stamps: stamps, n: n}
	if t.all, err = stamps.wait(ctx, n); err != nil {
		return err
	}
	t.add("launch, ms", ms(t.all[n-1].at-begin))
	for _, step := range []func(context.Context, *lab) error{t.settle, t.idle, t.status, t.respawn, t.massKill, t.settle} {
		if err := step(ctx, l); err != nil {
			return err
		}
	}
	begin = monotonic()
	if err := p.end(); err != nil {
		return err
	}
	t.add("stop, ms", ms(monotonic()-begin))
	return nil
}

// trial is one manager with its children.
type trial struct {
	report  *report
	manager manager
	process *process
	stamps  *stamps
	n       int
	all     []stamp // those of the living are among them
}

func (t *trial) add(what string, value float64) {
	t.report.add(fmt.Sprintf("%s, %d children", what, t.n), t.manager.name, value)
}

// settle waits until the manager has stopped working: no context switch between two looks.
func (t *trial) settle(ctx context.Context, _ *lab) error {
	last := -1
	for range 30 {
		now, err := switches(t.process.pid())
		if err != nil || now == last {
			return err
		}
		last = now
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil // it never rests: that is what idle is to show
}

func (t *trial) idle(ctx context.Context, _ *lab) error {
	pid := t.process.pid()
	before, err := switches(pid)
	if err != nil {
		return err
	}
	const span = 2 * time.Second
	if err := sleep(ctx, span); err != nil { // the measurement itself: what happens while nothing happens
		return err
	}
	after, err := switches(pid)
	if err != nil {
		return err
	}
	t.add("idle wake-ups, 1/s", float64(after-before)/span.Seconds())
	pss, err := pssMiB(pid)
	if err != nil {
		return err
	}
	t.add("memory (PSS), MiB", pss)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	t.add("threads", float64(len(tasks)))
	return err
}

func (t *trial) status(ctx context.Context, l *lab) error {
	if !t.manager.asked {
		return nil
	}
	var took []float64
	for range 5 {
		cmd := exec.CommandContext(ctx, filepath.Join(l.bin, "dsatctl"), "--run-dir", l.runDir(), "status")
		begin := monotonic()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("dsatctl status: %w: %s", err, out)
		}
		took = append(took, ms(monotonic()-begin))
	}
	t.add("status as a whole process, ms", median(took))
	return nil
}

// respawn kills twenty of the children, one after the other.
func (t *trial) respawn(ctx context.Context, _ *lab) error {
	const victims = 20
	count := t.n
	var took []float64
	for i := range victims {
		victim := i * t.n / victims
		begin := monotonic()
		if err := syscall.Kill(t.all[victim].pid, syscall.SIGKILL); err != nil {
			return err
		}
		count++
		now, err := t.stamps.wait(ctx, count)
		if err != nil {
			return err
		}
		took = append(took, ms(now[count-1].at-begin))
		t.all[victim] = now[count-1]
	}
	t.add("respawn after kill -9, ms", median(took))
	return nil
}

// massKill kills all children at once.
func (t *trial) massKill(ctx context.Context, _ *lab) error {
	raw, err := os.ReadFile(t.stamps.path)
	if err != nil {
		return err
	}
	count := len(parseStamps(raw)) + t.n
	begin := monotonic()
	for _, s := range t.all[:t.n] {
		if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	now, err := t.stamps.wait(ctx, count)
	if err != nil {
		return err
	}
	t.add("all killed at once, to all back, ms", ms(now[count-1].at-begin))
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
