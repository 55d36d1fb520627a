package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dsat/dsat/topology"
)

// LimitsAvailable tells why controllers ("memory", "cpu", "pids", "io") cannot be had on this machine; nil: they can. where is
// daemon.cgroup of the topology.
func LimitsAvailable(where string, controllers []string) error {
	base, err := delegated(where)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("cannot read the controllers of %s: %w", base, cause(err))
	}
	for _, name := range controllers {
		if !slices.Contains(strings.Fields(string(text)), name) {
			return fmt.Errorf("the control group %s has no controller %s (it has: %s); perhaps version 1 holds it", base, name, orNone(text))
		}
	}
	return nil
}

// refuse is the error of limits that nobody can enforce; nil without any.
func refuse(l topology.Limits, why error) error {
	if c := l.Controllers(); len(c) > 0 {
		return fmt.Errorf("cannot enforce its limits (%s): %w", strings.Join(c, ", "), why)
	}
	return nil
}

func orNone(text []byte) string {
	if t := strings.TrimSpace(string(text)); t != "" {
		return t
	}
	return "none"
}

// setting is one line for the kernel.
type setting struct {
	controller, file, value string
	optional                bool // a kernel without the file is content without it
}

// settings are all of them, also those that say "no limit".
func settings(l topology.Limits) []setting {
	number := func(n int64, none string) string {
		if n == 0 {
			return none
		}
		return strconv.FormatInt(n, 10)
	}
	const period = 100_000 // microseconds
	cpu := "max"
	if l.CPU > 0 {
		cpu = strconv.FormatInt(max(int64(l.CPU*period), 1000), 10) // the kernel takes no less than a millisecond
	}
	swap, together := "max", "0"
	if l.Memory > 0 {
		together = "1" // half a satellite is no satellite
		if !l.Swap {
			swap = "0"
		}
	}
	return []setting{
		{"cpu", "cpu.max", cpu + " " + strconv.Itoa(period), false},
		{"cpu", "cpu.weight", number(int64(l.CPUWeight), "100"), false},
		{"memory", "memory.high", number(l.MemoryHigh, "max"), false},
		{"memory", "memory.max", number(l.Memory, "max"), false},
		{"memory", "memory.swap.max", swap, true},
		{"memory", "memory.oom.group", together, true},
		{"io", "io.weight", number(int64(l.IOWeight), "100"), false},
		{"pids", "pids.max", number(int64(l.PIDs), "max"), false},
	}
}

// limit sets what the topology limits. What it does not mention is as the kernel has it, also when it was limited before.
func (g *cgroup) limit(l topology.Limits, enabled map[string]bool) error {
	if len(enabled) == 0 {
		return nil
	}
	for _, s := range settings(l) {
		if !enabled[s.controller] {
			continue
		}
		err := write(g.path, s.file, s.value)
		if s.optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot set %s of %s to %s: %w", s.file, g.path, s.value, err)
		}
	}
	return nil
}

// hungered is what a group has suffered from want of memory.
type hungered struct {
	own   uint64 // times that its own limit, or one below it, was reached and nothing could be freed
	kills uint64 // its processes the kernel has killed, whosever limit it was
}

// hungered is zero where the kernel cannot tell.
func (g *cgroup) hungered() hungered {
	text, err := readSmall(filepath.Join(g.path, "memory.events"))
	if err != nil {
		return hungered{}
	}
	return hungered{own: counterIn(text, "oom"), kills: counterIn(text, "oom_kill")}
}

// counterIn reads "name 5" lines, as in memory.events and /proc/vmstat.
func counterIn(text []byte, name string) uint64 {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64) // 0 for what is no number
			return n
		}
	}
	return 0
}
