package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dsat/dsat/web/control"
)

// manyHops is how many messages are in flight at once when memory is measured.
const manyHops = 1_000_000

const (
	manySize   = 64
	memoryGoal = 200 // MB
)

// memory measures what dsatd needs for a million tracked messages that have been accepted and not answered.
func memory(ctx context.Context, l *lab) (*report, error) {
	r := newReport("Memory", pluginName)
	r.notes = append(r.notes, fmt.Sprintf("%s. One source has emitted %d messages of %d B, all are accepted, and nobody handles them: each is a hop and a task of its own. Counted is what dsatd's "+
		"PSS has grown by, from before the first to after the last, collector's leftovers included; beyond the payload: without the %d B of each message itself. MB are 10^6 bytes.", machine(), manyHops, manySize, manySize))
	r.goal(memoryGoal, atMost, "1,000,000 in flight, beyond the payload, MB", pluginName)
	for range l.runs {
		grown, err := l.million(ctx)
		if err != nil {
			return nil, err
		}
		r.add("1,000,000 in flight, MB", pluginName, grown)
		r.add("1,000,000 in flight, beyond the payload, MB", pluginName, grown-float64(manyHops*manySize)/1e6)
	}
	return r, nil
}

// million is by how many MB dsatd grows.
func (l *lab) million(ctx context.Context) (grown float64, err error) {
	text, err := cast{carrier: "plugin", source: peerEnv{role: "fill", size: manySize}, worker: peerEnv{role: "sink"},
		workers: "autostart = false\nqueue = { max = \"16GiB\", max_messages = 10000000 }\n"}.topology()
	if err != nil {
		return 0, err
	}
	text += "[daemon]\nstop_deadline = \"200ms\"\n" // what waits is not waited for
	err = l.withDaemon(ctx, text, func(ctx context.Context, c *control.Client) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		daemon := []proc{{pid: st.PID}}
		before, err := pssMiB(daemon)
		if err != nil {
			return err
		}
		for admitted := uint64(0); admitted < manyHops; {
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return fmt.Errorf("%d of %d messages admitted: %w", admitted, manyHops, err)
			}
			queues, err := c.Queues(ctx)
			if err != nil {
				return err
			}
			for _, q := range queues {
				if q.Step == "worker" {
					admitted = q.Ledger.Admitted
				}
			}
		}
		after, err := pssMiB(daemon)
		grown = (after - before) * (1 << 20) / 1e6
		return err
	})
	return grown, err
}

// fillBegin is how long a source that fills a queue waits, so that dsatd is looked at before.
const fillBegin = time.Second

// fill emits so many messages, and nothing more until it is stopped.
func (env peerEnv) fill(e emitter) error {
	payload := make([]byte, env.size)
	p := newPacer()
	p.until(p.now() + int64(fillBegin))
	for range manyHops {
		if err := e.emit(payload); err != nil {
			return err
		}
	}
	if err := e.accepted(); err != nil {
		return err
	}
	for {
		if err := e.settle(); err != nil {
			return err
		}
		p.until(p.now() + int64(20*time.Millisecond))
	}
}
