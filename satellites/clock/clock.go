// Package clock is the built-in satellite that ticks: at every multiple of a period of wall-clock time it emits
// {"seq": 12, "time": "2026-11-23T17:00:12Z", "missed": 0}.
//
// It does not drift: each tick is computed from the clock, never from the tick before. A tick that could not be told in
// time (the machine slept, the queue below was full) is counted in "missed" and skipped; ticks never come in a bunch.
package clock

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dsat/dsat/satellites"
)

// Doc is the one line for listings.
const Doc = `ticks at multiples of a period: emits {"seq","time","missed"}`

// Options of the satellite.
type Options struct {
	Every satellites.Duration `json:"every"` // period, >= 1ms; default 1s
}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	o := defaults()
	if err := satellites.DecodeOptions(options, &o); err != nil {
		return o, err
	}
	return o, o.check()
}

func defaults() Options { return Options{Every: satellites.Duration(time.Second)} }

func (o Options) check() error {
	if time.Duration(o.Every) < time.Millisecond {
		return fmt.Errorf("cannot tick every %v: option \"every\" must be at least 1ms", time.Duration(o.Every))
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
	return satellites.RunSource(func(ctx context.Context, e *satellites.Emitter) error {
		return Run(ctx, time.Duration(o.Every), e.Emit)
	}, satellites.Codec("json"))
}

// Tick is one tick. Seq counts periods since the first tick, missed ones too.
type Tick struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Missed uint64    `json:"missed"` // ticks skipped since the start
}

// Run ticks until ctx ends or emit fails; the end of ctx is no error.
func Run(ctx context.Context, every time.Duration, emit func([]byte) error) error {
	var last Tick
	timer := time.NewTimer(Wait(last, time.Now(), every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		last = Next(last, time.Now(), every)
		text, err := json.Marshal(last)
		if err != nil {
			return fmt.Errorf("cannot write a tick: %w", err)
		}
		if err := emit(text); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		timer.Reset(Wait(last, time.Now(), every))
	}
}

// Wait is how long it is from now to the tick after last: more than 0, at most 2 periods. It is computed anew for each
// tick, so that a clock that was set costs one odd tick and no more.
func Wait(last Tick, now time.Time, every time.Duration) time.Duration {
	if wait := last.Time.Add(every).Sub(now); !last.Time.IsZero() && wait > 0 && wait <= 2*every {
		return wait
	}
	return every - time.Duration(now.UnixNano()%int64(every))
}

// Next is the tick that is due at now, given the last one that was told (zero: none yet). Time is the multiple of every
// at or before now. A timer may fire a little early: within 1/8 of the period it stands for the multiple ahead.
func Next(last Tick, now time.Time, every time.Duration) Tick {
	at := now.UnixNano()
	due := at - at%int64(every)
	if int64(every)-(at-due) < int64(every)/8 {
		due += int64(every)
	}
	t := Tick{Seq: last.Seq + 1, Time: time.Unix(0, due).UTC(), Missed: last.Missed}
	if last.Time.IsZero() {
		return t
	}
	if skipped := (due-last.Time.UnixNano())/int64(every) - 1; skipped > 0 {
		t.Missed += uint64(skipped)
		t.Seq += uint64(skipped)
	}
	return t
}
