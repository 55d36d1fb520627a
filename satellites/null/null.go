// Package null is the built-in satellite that discards: the far end of a load, which can take its time over every message and
// can keep a ledger of what it received.
package null

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/ledger"
)

// Doc is the one line for listings.
const Doc = "discards what it gets, for load; option \"work\" is the time it takes, \"ledger\" notes what was received"

// Options of the satellite.
type Options struct {
	Work        satellites.Duration `json:"work"`        // spent on each message; default none
	Spin        bool                `json:"spin"`        // spends it computing instead of asleep
	Concurrency int                 `json:"concurrency"` // messages at the same time (default 1; with a ledger always 1)
	Ledger      string              `json:"ledger"`      // file, relative to the topology's; payloads must be generate's
}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	o := Options{Concurrency: 1}
	if err := satellites.DecodeOptions(options, &o); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Work < 0:
		return fmt.Errorf("cannot work for %v: option \"work\" is 0s or more", time.Duration(o.Work))
	case o.Concurrency < 1:
		return fmt.Errorf("cannot handle %d at a time: option \"concurrency\" is 1 or more", o.Concurrency)
	}
	return nil
}

// Main runs the satellite until dsatd says stop.
func Main() error {
	o := Options{Concurrency: 1}
	if err := satellites.Options(&o); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	opts := []satellites.Option{satellites.Concurrency(o.Concurrency)}
	if o.Ledger == "" {
		return satellites.Run(Handler(o, nil), opts...)
	}
	id, err := satellites.Self()
	if err != nil {
		return err
	}
	path := o.Ledger
	if !filepath.IsAbs(path) {
		path = filepath.Join(id.Dir, path)
	}
	w, err := ledger.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	return satellites.Run(Handler(o, w), append(opts, satellites.BeforeAck(w.Flush))...)
}

// Handler discards; w may be nil. What it notes is to be flushed before the acknowledgement.
func Handler(o Options, w *ledger.Writer) satellites.Handler {
	return func(ctx context.Context, m *satellites.Message, _ *satellites.Output) error {
		if o.Work > 0 {
			if err := work(ctx, time.Duration(o.Work), o.Spin); err != nil {
				return err
			}
		}
		if w == nil {
			return nil
		}
		producer, seq, err := ledger.ParsePayload(m.Payload)
		if err != nil {
			return satellites.Permanent(err)
		}
		w.Add(producer, seq)
		return nil
	}
}

func work(ctx context.Context, d time.Duration, spin bool) error {
	if spin {
		for end := time.Now().Add(d); time.Now().Before(end); {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
