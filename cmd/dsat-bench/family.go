package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proc is a process; its start tells it from another one with its pid.
type proc struct {
	pid, parent int
	start       uint64
	zombie      bool
}

// parseProc reads /proc/PID/stat. The name in it may contain anything.
func parseProc(pid int, text []byte) (proc, error) {
	p := proc{pid: pid}
	f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(f) < 20 {
		return p, fmt.Errorf("/proc/%d/stat has %d fields behind the name", pid, len(f))
	}
	var err error
	if p.parent, err = strconv.Atoi(string(f[1])); err != nil {
		return p, err
	}
	p.zombie = f[0][0] == 'Z' || f[0][0] == 'X'
	p.start, err = strconv.ParseUint(string(f[19]), 10, 64)
	return p, err
}

func readProc(pid int) (proc, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return proc{}, err
	}
	return parseProc(pid, text)
}

// gone says that a file of /proc was not read because its process ended.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// pids lists all processes.
func pids() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all, nil
}

// family is a process with all that descend from it; those that run child are apart.
func family(root int, child string) (own, children []proc, err error) {
	all, err := pids()
	if err != nil {
		return nil, nil, err
	}
	byParent := make(map[int][]proc)
	for _, pid := range all {
		p, err := readProc(pid)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if pid == root {
			own = append(own, p)
		}
		byParent[p.parent] = append(byParent[p.parent], p)
	}
	if len(own) == 0 {
		return nil, nil, fmt.Errorf("process %d has ended by itself", root)
	}
	for next := byParent[root]; len(next) > 0; {
		p := next[0]
		next = append(next[1:], byParent[p.pid]...)
		switch exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid)); {
		case p.zombie || gone(err):
		case exe == child:
			children = append(children, p)
		default:
			own = append(own, p)
		}
	}
	return own, children, nil
}

// wait waits until the process has ended; a zombie has.
func (p proc) wait(ctx context.Context) error {
	for {
		now, err := readProc(p.pid)
		if gone(err) || err == nil && (now.zombie || now.start != p.start) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return fmt.Errorf("process %d goes on: %w", p.pid, err)
		}
	}
}

// usage is what processes have used so far.
type usage struct {
	switches int           // voluntary: each is a wake-up
	cpu      time.Duration // of threads that live
	threads  int
}

func usageOf(all []proc) (usage, error) {
	var u usage
	for _, p := range all {
		dir := fmt.Sprintf("/proc/%d/task", p.pid)
		tasks, err := os.ReadDir(dir)
		if err != nil && !gone(err) {
			return u, err
		}
		for _, task := range tasks {
			if err := u.addThread(filepath.Join(dir, task.Name())); err != nil && !gone(err) {
				return u, err
			}
		}
	}
	return u, nil
}

func (u *usage) addThread(dir string) error {
	n, err := field(filepath.Join(dir, "status"), "voluntary_ctxt_switches:")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "schedstat"))
	if err != nil {
		return err
	}
	cpu, err := parseSchedstat(string(text))
	if err != nil {
		return err
	}
	u.switches += n
	u.cpu += cpu
	u.threads++
	return nil
}

// parseSchedstat reads the first number: nanoseconds on a processor.
func parseSchedstat(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(text, " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(ns), err
}

func pssMiB(all []proc) (float64, error) {
	total := 0
	for _, p := range all {
		kib, err := field(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid), "Pss:")
		if err != nil && !gone(err) {
			return 0, err
		}
		total += kib
	}
	return float64(total) / 1024, nil
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

// sweepMarked kills what is left of all that the lab started, known by its environment, and says that there was something
// unless the run has failed anyway. Managers that lose a child start another one, so it looks until nothing is found.
func (l *lab) sweepMarked(ctx context.Context) error {
	left := 0
	for range 20 {
		found, err := marked(l.mark())
		if err != nil {
			return err
		}
		if len(found) == 0 {
			break
		}
		left = max(left, len(found))
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
		}
		time.Sleep(20 * time.Millisecond) // until they are gone; not ended by ctx, which may be why we are here
	}
	if left > 0 && ctx.Err() == nil {
		return fmt.Errorf("%d processes outlived their manager", left)
	}
	return nil
}

// marked finds the living with a line in their environment; the bench itself has it not.
func marked(mark string) ([]int, error) {
	all, err := pids()
	if err != nil {
		return nil, err
	}
	var found []int
	for _, pid := range all {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue // gone, or somebody else's, which is not ours then
		}
		for line := range bytes.SplitSeq(env, []byte{0}) {
			if string(line) == mark {
				found = append(found, pid)
				break
			}
		}
	}
	return found, nil
}
