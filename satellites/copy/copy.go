// Package copy is the built-in satellite that passes on what it gets, unchanged: a step in the middle of a load.
package copy

import (
	"context"

	"github.com/dsat/dsat/satellites"
)

// Doc is the one line for listings.
const Doc = "emits what it gets, unchanged"

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
	return satellites.Run(Handle)
}

// Handle emits the payload.
func Handle(_ context.Context, m *satellites.Message, out *satellites.Output) error {
	out.Emit(m.Payload)
	return nil
}
