// Package builtin lists the satellites that dsatd brings along. dsatd re-executes itself for each of them: `dsatd plugin
// NAME` calls Main.
package builtin

import (
	"github.com/dsat/dsat/satellites/clock"
	"github.com/dsat/dsat/satellites/copy"
	"github.com/dsat/dsat/satellites/cpu"
	"github.com/dsat/dsat/satellites/csv"
	"github.com/dsat/dsat/satellites/generate"
	"github.com/dsat/dsat/satellites/mem"
	"github.com/dsat/dsat/satellites/net"
	"github.com/dsat/dsat/satellites/null"
	"github.com/dsat/dsat/satellites/proc"
)

// Satellite is one of them.
type Satellite struct {
	Name  string
	Doc   string                             // one line
	Check func(options map[string]any) error // the satellite's own options, as in the topology
	Main  func() error                       // runs it in this process; returns when dsatd said stop
}

// All returns the built-in satellites by name.
func All() []Satellite {
	return []Satellite{
		{"clock", clock.Doc, check(clock.Parse), clock.Main},
		{"copy", copy.Doc, check(copy.Parse), copy.Main},
		{"cpu", cpu.Doc, check(cpu.Parse), cpu.Main},
		{"csv", csv.Doc, check(csv.Parse), csv.Main},
		{"generate", generate.Doc, check(generate.Parse), generate.Main},
		{"mem", mem.Doc, check(mem.Parse), mem.Main},
		{"net", net.Doc, check(net.Parse), net.Main},
		{"null", null.Doc, check(null.Parse), null.Main},
		{"proc", proc.Doc, check(proc.Parse), proc.Main},
	}
}

// Names are those of All, for a topology to refer to.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}

// Find returns the satellite of that name.
func Find(name string) (Satellite, bool) {
	for _, s := range All() {
		if s.Name == name {
			return s, true
		}
	}
	return Satellite{}, false
}

func check[Options any](parse func(map[string]any) (Options, error)) func(map[string]any) error {
	return func(options map[string]any) error {
		_, err := parse(options)
		return err
	}
}
