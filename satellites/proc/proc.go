// Package proc is the built-in satellite that measures processes: each message that comes in is answered with one JSON
// object, see Sample.
package proc

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/probe"
)

// Doc is the one line for listings.
const Doc = "answers a tick with processes by state and the top consumers of processor and memory (/proc/PID/stat)"

// Options of the satellite.
type Options struct {
	N int `json:"n"` // top consumers told, 0 to 100; default 3
}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	o := defaults()
	if err := satellites.DecodeOptions(options, &o); err != nil {
		return o, err
	}
	return o, o.check()
}

func defaults() Options { return Options{N: 3} }

func (o Options) check() error {
	if o.N < 0 || o.N > 100 {
		return fmt.Errorf("cannot tell the top %d: option \"n\" is 0 to 100", o.N)
	}
	return nil
}

// Main runs the satellite until dsatd says stop.
func Main() error {
	o := defaults()
	if err := satellites.Options(&o); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	return probe.Run(New(o, "/proc"))
}

// Sample is one measurement.
type Sample struct {
	probe.Tick

	Total    int        `json:"total"`
	Running  int        `json:"running"`
	Sleeping int        `json:"sleeping"`
	Disk     int        `json:"disk"` // uninterruptible
	Stopped  int        `json:"stopped"`
	Zombie   int        `json:"zombie"`
	Idle     int        `json:"idle"` // idle kernel threads
	Threads  int        `json:"threads"`
	TopCPU   []Consumer `json:"top_cpu"`
	TopRSS   []Consumer `json:"top_rss"`
}

// Consumer is one process.
type Consumer struct {
	PID  int     `json:"pid"`
	Comm string  `json:"comm"`
	CPU  float64 `json:"cpu"` // percent of one processor since this instance looked last; 0 in its first sample
	RSS  uint64  `json:"rss"` // resident memory in bytes
}

// userHZ is the unit of times in /proc/PID/stat: fixed at 100 in the kernel's interface to programs.
const userHZ = 100

// New returns a measurement that reads the tree at root ("/proc").
func New(o Options, root string) probe.Measure {
	last := map[key]uint64{}
	var before time.Time
	return func(tick probe.Tick, now time.Time) ([]any, error) {
		stats, err := readAll(root)
		if err != nil {
			return nil, err
		}
		seen := make(map[key]uint64, len(stats))
		consumers := make([]Consumer, 0, len(stats))
		s := Sample{Tick: tick, Total: len(stats)}
		for _, st := range stats {
			s.count(st)
			k := key{st.PID, st.Start}
			seen[k] = st.Ticks
			c := Consumer{PID: st.PID, Comm: st.Comm, RSS: st.RSS * uint64(os.Getpagesize())}
			if old, ok := last[k]; ok && now.After(before) && st.Ticks > old {
				c.CPU = math.Round(float64(st.Ticks-old)/userHZ/now.Sub(before).Seconds()*1e4) / 100
			}
			consumers = append(consumers, c)
		}
		last, before = seen, now
		s.TopCPU = top(consumers, o.N, func(a, b Consumer) int { return cmp.Compare(b.CPU, a.CPU) })
		s.TopRSS = top(consumers, o.N, func(a, b Consumer) int { return cmp.Compare(b.RSS, a.RSS) })
		return []any{s}, nil
	}
}

// key tells a process from a later one with the same pid.
type key struct {
	pid   int
	start uint64
}

func (s *Sample) count(st Stat) {
	s.Threads += st.Threads
	switch st.State {
	case 'R':
		s.Running++
	case 'S':
		s.Sleeping++
	case 'D':
		s.Disk++
	case 'T', 't':
		s.Stopped++
	case 'Z', 'X':
		s.Zombie++
	case 'I':
		s.Idle++
	}
}

// top is the first n by order; equal ones by pid, so that the answer is the same for the same world.
func top(all []Consumer, n int, order func(a, b Consumer) int) []Consumer {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b Consumer) int { return cmp.Or(order(a, b), cmp.Compare(a.PID, b.PID)) })
	return sorted[:min(n, len(sorted))]
}

// readAll reads the stat of every process under root. One that ends meanwhile is left out.
func readAll(root string) ([]Stat, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	stats := make([]Stat, 0, len(entries))
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, e.Name(), "stat"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot measure processes: %w", err)
		}
		st, err := ParseStat(text)
		if err != nil {
			return nil, err
		}
		stats = append(stats, st)
	}
	return stats, nil
}
