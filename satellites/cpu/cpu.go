// Package cpu is the built-in satellite that measures load and processor time: each message that comes in is answered
// with one JSON object, see Sample.
package cpu

import (
	"fmt"
	"os"

	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/probe"
)

// Doc is the one line for listings.
const Doc = "answers a tick with load averages and processor times in percent (/proc/loadavg, /proc/stat)"

// Options of the satellite: there are none.
type Options struct{}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	var o Options
	return o, satellites.DecodeOptions(options, &o)
}

// Main runs the satellite until dsatd says stop.
func Main() error {
	var o Options
	if err := satellites.Options(&o); err != nil {
		return err
	}
	return probe.Run(New(os.ReadFile))
}

// Sample is one measurement. Times are percent of all processors' time since this instance looked last; its first
// sample is since boot.
type Sample struct {
	probe.Tick

	Load1   float64 `json:"load1"`
	Load5   float64 `json:"load5"`
	Load15  float64 `json:"load15"`
	User    float64 `json:"user"` // with nice
	System  float64 `json:"system"`
	Idle    float64 `json:"idle"`
	IOWait  float64 `json:"iowait"`
	IRQ     float64 `json:"irq"` // hard and soft
	Steal   float64 `json:"steal"`
	NCPU    int     `json:"ncpu"`
	Running int     `json:"running"` // runnable threads
	Threads int     `json:"threads"`
}

// New returns a measurement that reads the files of /proc by read.
func New(read func(string) ([]byte, error)) probe.Measure {
	var last Times
	return func(tick probe.Tick, _ time.Time) ([]any, error) {
		text, err := read("/proc/loadavg")
		if err != nil {
			return nil, fmt.Errorf("cannot measure load: %w", err)
		}
		load, err := ParseLoad(text)
		if err != nil {
			return nil, err
		}
		if text, err = read("/proc/stat"); err != nil {
			return nil, fmt.Errorf("cannot measure processor times: %w", err)
		}
		times, err := ParseStat(text)
		if err != nil {
			return nil, err
		}
		s := times.Since(last)
		last = times
		s.Tick = tick
		s.Load1, s.Load5, s.Load15, s.Running, s.Threads = load.One, load.Five, load.Fifteen, load.Running, load.Threads
		return []any{s}, nil
	}
}
