// Package probe is what the measuring satellites share: for every tick that comes in, measure and answer with JSON.
//
// Every measurement is a JSON object that begins with "seq" and "time": those of the tick it answers, so that the rows
// of several probes can be laid side by side.
package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dsat/dsat/satellites"
)

// Tick is what a clock emits: the number of the tick and the time it stands for.
type Tick struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// ParseTick reads a tick. Anything may drive a probe, so a payload that is no tick stands for "now".
func ParseTick(payload []byte, now time.Time) Tick {
	var t Tick
	if json.Unmarshal(payload, &t) != nil || t.Time.IsZero() {
		return Tick{Time: now}
	}
	return t
}

// Measure looks at the world once. Each value it returns becomes one message; tick is to be embedded in it.
type Measure func(tick Tick, now time.Time) ([]any, error)

// Run answers every message with the measurements of m, until dsatd says stop.
func Run(m Measure) error { return satellites.Run(Handler(m), satellites.Codec("json")) }

// Handler is the handler that Run runs.
func Handler(m Measure) satellites.Handler {
	return func(_ context.Context, msg *satellites.Message, out *satellites.Output) error {
		now := time.Now()
		values, err := m(ParseTick(msg.Payload, now), now)
		if err != nil {
			return err
		}
		for _, v := range values {
			text, err := json.Marshal(v)
			if err != nil {
				return satellites.Permanent(fmt.Errorf("cannot write a measurement as JSON: %w", err))
			}
			out.Emit(text)
		}
		return nil
	}
}
