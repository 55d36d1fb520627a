// Package mem is the built-in satellite that measures memory: each message that comes in is answered with one JSON
// object, see Sample.
package mem

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/probe"
)

// Doc is the one line for listings.
const Doc = "answers a tick with memory and swap in bytes (/proc/meminfo)"

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

// Sample is one measurement, in bytes.
type Sample struct {
	probe.Tick

	Total     uint64  `json:"total"`
	Free      uint64  `json:"free"`
	Available uint64  `json:"available"`
	Buffers   uint64  `json:"buffers"`
	Cached    uint64  `json:"cached"`
	Shared    uint64  `json:"shared"`
	Dirty     uint64  `json:"dirty"`
	SwapTotal uint64  `json:"swap_total"`
	SwapFree  uint64  `json:"swap_free"`
	Used      float64 `json:"used_percent"` // of total, what is not available
}

// New returns a measurement that reads /proc/meminfo by read.
func New(read func(string) ([]byte, error)) probe.Measure {
	return func(tick probe.Tick, _ time.Time) ([]any, error) {
		text, err := read("/proc/meminfo")
		if err != nil {
			return nil, fmt.Errorf("cannot measure memory: %w", err)
		}
		s, err := ParseMeminfo(text)
		if err != nil {
			return nil, err
		}
		s.Tick = tick
		return []any{s}, nil
	}
}

// ParseMeminfo reads /proc/meminfo. Kernels before 3.14 have no MemAvailable: free, buffers and cached stand for it.
func ParseMeminfo(text []byte) (Sample, error) {
	var s Sample
	available := false
	wanted := map[string]*uint64{
		"MemTotal": &s.Total, "MemFree": &s.Free, "MemAvailable": &s.Available, "Buffers": &s.Buffers, "Cached": &s.Cached,
		"Shmem": &s.Shared, "Dirty": &s.Dirty, "SwapTotal": &s.SwapTotal, "SwapFree": &s.SwapFree,
	}
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		to, ok := wanted[string(name)]
		if !ok {
			continue
		}
		v, err := kilobytes(rest)
		if err != nil {
			return s, fmt.Errorf("cannot read /proc/meminfo: %s: %w", name, err)
		}
		*to = v
		available = available || string(name) == "MemAvailable"
	}
	if s.Total == 0 {
		return s, fmt.Errorf("cannot read /proc/meminfo: no MemTotal")
	}
	if !available {
		s.Available = s.Free + s.Buffers + s.Cached
	}
	s.Available = min(s.Available, s.Total)
	s.Used = math.Round(float64(s.Total-s.Available)/float64(s.Total)*1e4) / 100
	return s, nil
}

// kilobytes reads "  24684084 kB" as bytes.
func kilobytes(text []byte) (uint64, error) {
	fields := bytes.Fields(text)
	if len(fields) == 0 {
		return 0, fmt.Errorf("no value")
	}
	v, err := strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil || v > math.MaxUint64>>10 {
		return 0, fmt.Errorf("%q is no number of kilobytes", fields[0])
	}
	return v << 10, nil
}
