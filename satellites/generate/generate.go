// Package generate is the built-in satellite for load: it emits numbered payloads at a steady rate (see package ledger
// for their form), and can keep a ledger of what was accepted.
package generate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/ledger"
)

// Doc is the one line for listings.
const Doc = "emits numbered payloads at a rate, for load; with option \"ledger\" it notes what was accepted"

// Options of the satellite.
type Options struct {
	Rate   float64 `json:"rate"`   // messages per second; 0: as fast as they are taken (default 1000)
	Size   int     `json:"size"`   // bytes of a payload, at least (default 64)
	Count  uint64  `json:"count"`  // ends after so many; 0: never
	Burst  int     `json:"burst"`  // emits so many at once, then waits for its turn (default 1: evenly)
	Ledger string  `json:"ledger"` // file, relative to the topology's
}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	o := defaults()
	if err := satellites.DecodeOptions(options, &o); err != nil {
		return o, err
	}
	return o, o.check()
}

func defaults() Options { return Options{Rate: 1000, Size: 64, Burst: 1} }

const largest = 16 << 20

func (o Options) check() error {
	switch {
	case o.Rate < 0 || o.Rate > 1e9:
		return fmt.Errorf("cannot emit %v a second: option \"rate\" is 0 to 1e9", o.Rate)
	case o.Size < 0 || o.Size > largest:
		return fmt.Errorf("cannot emit %d bytes: option \"size\" is 0 to %d", o.Size, largest)
	case o.Burst < 1:
		return fmt.Errorf("cannot emit %d at once: option \"burst\" is 1 or more", o.Burst)
	}
	return nil
}

// Main runs the satellite until its count is reached or dsatd says stop.
func Main() error {
	o := defaults()
	if err := satellites.Options(&o); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	id, err := satellites.Self()
	if err != nil {
		return err
	}
	if o.Ledger != "" && !filepath.IsAbs(o.Ledger) {
		o.Ledger = filepath.Join(id.Dir, o.Ledger)
	}
	producer := fmt.Sprintf("%s/%d", id, id.Incarnation)
	return satellites.RunSource(func(ctx context.Context, e *satellites.Emitter) error {
		return run(ctx, o, producer, e)
	}, satellites.Codec("text"))
}

// run emits, and keeps the ledger beside it: the numbers of the payloads are those of the emitter.
func run(ctx context.Context, o Options, producer string, e *satellites.Emitter) error {
	if o.Ledger == "" {
		return Emit(ctx, o, producer, e.Emit)
	}
	w, err := ledger.Open(o.Ledger)
	if err != nil {
		return err
	}
	noting, end := context.WithCancel(context.Background())
	noted := make(chan error, 1)
	go func() { noted <- note(noting, w, producer, e) }()
	err = Emit(ctx, o, producer, e.Emit)
	// What was emitted is accepted in the end, after ErrStopped too; if it is not, the process is killed here.
	if flushed := e.Flush(context.Background()); err == nil {
		err = flushed
	}
	end()
	return errors.Join(err, <-noted, w.Close())
}

// note writes each range that was accepted, until ctx ends: then what is accepted by then.
func note(ctx context.Context, w *ledger.Writer, producer string, e *satellites.Emitter) error {
	for at := uint64(0); ; {
		now, err := e.WaitAccepted(ctx, at)
		if now > at {
			w.AddRange([]byte(producer), at+1, now)
			if err := w.Flush(); err != nil {
				return err
			}
			at = now
			continue
		}
		if err != nil {
			return nil //nolint:nilerr // the end of ctx is the end, not a fault
		}
	}
}

// Emit emits payloads of that producer until the count is reached, ctx ends or emit fails.
func Emit(ctx context.Context, o Options, producer string, emit func([]byte) error) error {
	p := pace{rate: o.Rate, burst: uint64(o.Burst), start: time.Now()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var payload []byte
	for seq := uint64(0); o.Count == 0 || seq < o.Count; {
		due := p.due(time.Now())
		if o.Count > 0 {
			due = min(due, o.Count)
		}
		for ; seq < due; seq++ {
			payload = ledger.AppendPayload(payload[:0], producer, seq+1, o.Size)
			if err := emit(payload); err != nil {
				return err
			}
		}
		timer.Reset(p.wait(seq, time.Now()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

// pace says how many messages are due when. It is an open loop: a stall is caught up, as the rate is a promise.
type pace struct {
	rate  float64
	burst uint64
	start time.Time
}

// due is how many are due at now since the start.
func (p *pace) due(now time.Time) uint64 {
	if p.rate == 0 {
		return math.MaxUint64
	}
	n := uint64(now.Sub(p.start).Seconds()*p.rate) + 1
	return (n + p.burst - 1) / p.burst * p.burst
}

// shortest is the shortest nap: the machine's timers are not finer, and what is due meanwhile goes together.
const shortest = time.Millisecond

// wait is how long it is from now until the message after the first n is due.
func (p *pace) wait(n uint64, now time.Time) time.Duration {
	if p.rate == 0 {
		return 0
	}
	at := p.start.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	return max(at.Sub(now), shortest)
}
