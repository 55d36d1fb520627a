// Package net is the built-in satellite that measures network interfaces: each message that comes in is answered with
// one JSON object for every interface, see Sample.
package net

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/probe"
)

// Doc is the one line for listings.
const Doc = "answers a tick with one message per network interface: bytes, packets, errors, drops, rates (/proc/net/dev)"

// Options of the satellite.
type Options struct {
	Interfaces []string `json:"interfaces"` // names or globs ("eth*"); default: all
}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	var o Options
	if err := satellites.DecodeOptions(options, &o); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o Options) check() error {
	for _, glob := range o.Interfaces {
		if _, err := path.Match(glob, ""); err != nil {
			return fmt.Errorf("cannot read %q in option \"interfaces\" as a name or glob", glob)
		}
	}
	return nil
}

// Main runs the satellite until dsatd says stop.
func Main() error {
	var o Options
	if err := satellites.Options(&o); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	return probe.Run(New(o, os.ReadFile))
}

// Sample is one measurement of one interface. Rates are per second since this instance looked last, 0 in its first
// sample and for an interface that is new.
type Sample struct {
	probe.Tick

	Interface string  `json:"interface"`
	RxBytes   uint64  `json:"rx_bytes"`
	RxPackets uint64  `json:"rx_packets"`
	RxErrors  uint64  `json:"rx_errors"`
	RxDrops   uint64  `json:"rx_drops"`
	TxBytes   uint64  `json:"tx_bytes"`
	TxPackets uint64  `json:"tx_packets"`
	TxErrors  uint64  `json:"tx_errors"`
	TxDrops   uint64  `json:"tx_drops"`
	RxRate    float64 `json:"rx_bytes_per_second"`
	TxRate    float64 `json:"tx_bytes_per_second"`
}

// New returns a measurement that reads /proc/net/dev by read.
func New(o Options, read func(string) ([]byte, error)) probe.Measure {
	var last map[string]Counters
	var before time.Time
	return func(tick probe.Tick, now time.Time) ([]any, error) {
		text, err := read("/proc/net/dev")
		if err != nil {
			return nil, fmt.Errorf("cannot measure network interfaces: %w", err)
		}
		all, err := ParseDev(text)
		if err != nil {
			return nil, err
		}
		var values []any
		for name, c := range all {
			if !o.wants(name) {
				continue
			}
			s := c.sample(name, tick)
			if old, ok := last[name]; ok {
				s.RxRate = rate(c.Rx.Bytes, old.Rx.Bytes, now.Sub(before))
				s.TxRate = rate(c.Tx.Bytes, old.Tx.Bytes, now.Sub(before))
			}
			values = append(values, s)
		}
		slices.SortFunc(values, func(a, b any) int { return cmp.Compare(a.(Sample).Interface, b.(Sample).Interface) })
		last, before = all, now
		return values, nil
	}
}

func (o Options) wants(name string) bool {
	return len(o.Interfaces) == 0 || slices.ContainsFunc(o.Interfaces, func(glob string) bool {
		ok, err := path.Match(glob, name)
		return ok && err == nil
	})
}

func (c Counters) sample(name string, tick probe.Tick) Sample {
	return Sample{
		Tick: tick, Interface: name,
		RxBytes: c.Rx.Bytes, RxPackets: c.Rx.Packets, RxErrors: c.Rx.Errors, RxDrops: c.Rx.Drops,
		TxBytes: c.Tx.Bytes, TxPackets: c.Tx.Packets, TxErrors: c.Tx.Errors, TxDrops: c.Tx.Drops,
	}
}
