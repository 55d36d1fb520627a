package cpu

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Load is /proc/loadavg.
type Load struct {
	One, Five, Fifteen float64
	Running, Threads   int
}

// ParseLoad reads "0.00 0.24 0.19 1/89 13106".
func ParseLoad(text []byte) (Load, error) {
	var l Load
	f := strings.Fields(string(text))
	if len(f) < 4 {
		return l, fmt.Errorf("cannot read /proc/loadavg: %d fields, want 5", len(f))
	}
	for i, to := range []*float64{&l.One, &l.Five, &l.Fifteen} {
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return l, fmt.Errorf("cannot read /proc/loadavg: %q is no load", f[i])
		}
		*to = v
	}
	running, threads, _ := strings.Cut(f[3], "/")
	var err1, err2 error
	l.Running, err1 = strconv.Atoi(running)
	l.Threads, err2 = strconv.Atoi(threads)
	if err1 != nil || err2 != nil {
		return l, fmt.Errorf("cannot read /proc/loadavg: %q is no pair of counts", f[3])
	}
	return l, nil
}

// The columns of the line "cpu" of /proc/stat that are summed up; guest times are within user and nice already.
const (
	user = iota
	nice
	system
	idle
	iowait
	irq
	softirq
	steal
	columns
)

// Times is processor time since boot, all processors together, in clock ticks.
type Times struct {
	Ticks [columns]uint64
	NCPU  int
}

// ParseStat reads /proc/stat. Old kernels have fewer columns: those missing are 0.
func ParseStat(text []byte) (Times, error) {
	var t Times
	found := false
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(" "))
		if !bytes.HasPrefix(name, []byte("cpu")) {
			continue
		}
		if len(name) > len("cpu") {
			t.NCPU++
			continue
		}
		found = true
		for i, field := range bytes.Fields(rest) {
			if i == columns {
				break
			}
			v, err := strconv.ParseUint(string(field), 10, 64)
			if err != nil {
				return t, fmt.Errorf("cannot read /proc/stat: %q is no number of ticks", field)
			}
			t.Ticks[i] = v
		}
	}
	if !found {
		return t, fmt.Errorf("cannot read /proc/stat: no line \"cpu\"")
	}
	return t, nil
}

// Since is the share of each kind of time in percent of all time that passed since before. A counter that went back
// (iowait does, on some kernels) counts as standing still. Without any time passed, all is idle.
func (t Times) Since(before Times) Sample {
	var d [columns]float64
	var all float64
	for i := range d {
		if t.Ticks[i] > before.Ticks[i] {
			d[i] = float64(t.Ticks[i] - before.Ticks[i])
			all += d[i]
		}
	}
	if all == 0 {
		return Sample{Idle: 100, NCPU: t.NCPU}
	}
	percent := func(v float64) float64 { return math.Round(v/all*1e4) / 100 }
	return Sample{
		User:   percent(d[user] + d[nice]),
		System: percent(d[system]),
		Idle:   percent(d[idle]),
		IOWait: percent(d[iowait]),
		IRQ:    percent(d[irq] + d[softirq]),
		Steal:  percent(d[steal]),
		NCPU:   t.NCPU,
	}
}
