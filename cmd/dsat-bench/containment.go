package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dsat/dsat/web/control"
)

// neighbour is a step that behaves badly, with a source of its own. It shares nothing with the queue that is measured but the daemon and
// the machine.
type neighbour struct {
	name   string
	worker peerEnv
	rate   int    // of its source; 0: as fast as it goes
	table  string // more of its table
}

const (
	aloneName = "alone"
	// steady is what the measured queue is offered: well below what it could take, so that the processor is no bottleneck.
	steady = 20_000
	// noise is what the others are offered, but for the one that is flooded.
	noise = 2_000
)

func neighbours() []neighbour {
	return []neighbour{
		{name: aloneName},
		{"beside one that always fails", peerEnv{role: "failing"}, noise, "work = { then = \"drop\" }\n"},
		{"beside one that hangs", peerEnv{role: "hanging"}, noise, "work = { deadline = \"1s\" }\n" + atOnce},
		{"beside one that is slow", peerEnv{role: "slow"}, noise, ""},
		{"beside one that always dies", peerEnv{role: "dying"}, noise, "restart = { limit = 0 }\n"},
		{"beside one that is flooded", peerEnv{role: "sink"}, 0, "queue = { full = \"drop-newest\", max_messages = 1000 }\n"},
	}
}

// containment measures what is left of the rate of a queue while another step behaves badly.
func containment(ctx context.Context, l *lab) (*report, error) {
	r := newReport("Containment", aloneName)
	r.note("%s. Tracked messages of 64 B, plugins. Beside the measured source and worker there are another source and another worker, with their own queue: what is promised is that a queue "+
		"which shares no blocking source with a bad step keeps 90 %% of its rate. Offered %d/s it has processor to spare. As fast as it goes it has not: there a neighbour takes what it computes itself, "+
		"which is little where it fails, hangs or is slow, and half the machine where it is flooded with another %s messages as fast as they go. The others are offered %d/s.", machine(), steady, "64 B", noise)
	for range l.runs {
		for _, load := range []struct {
			row  string
			rate int
		}{{fmt.Sprintf("offered %d/s, messages/s", steady), steady}, {"as fast as it goes, messages/s", 0}} {
			for _, n := range neighbours() {
				rate, err := l.beside(ctx, n, load.rate)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", n.name, err)
				}
				r.add(load.row, n.name, rate)
			}
		}
	}
	return r, nil
}

// beside is the rate of a source and its worker beside a neighbour.
func (l *lab) beside(ctx context.Context, n neighbour, offered int) (rate float64, err error) {
	text, err := cast{carrier: "plugin", source: peerEnv{role: "source", size: 64, rate: offered}, worker: peerEnv{role: "sink"}, workers: handful}.topology()
	if err != nil {
		return 0, err
	}
	text += "[daemon]\nstop_deadline = \"200ms\"\n" // what a bad step holds is not waited for
	if n.worker.role != "" {
		self, err := os.Executable()
		if err != nil {
			return 0, err
		}
		text += fmt.Sprintf("[satellite.noise]\nplugin = %q\nenv = %s\nto = \"bad\"\n", self, peerEnv{role: "source", size: 64, rate: n.rate}.table("plugin"))
		text += fmt.Sprintf("[satellite.bad]\nplugin = %q\nenv = %s\n%s", self, n.worker.table("plugin"), n.table)
	}
	err = l.withDaemon(ctx, text, func(ctx context.Context, c *control.Client) error {
		if err := sleep(ctx, warmUp); err != nil {
			return err
		}
		before, at, err := doneOf(ctx, c, "worker")
		if err != nil {
			return err
		}
		if err := sleep(ctx, measure); err != nil {
			return err
		}
		after, end, err := doneOf(ctx, c, "worker")
		rate = float64(after-before) / (float64(end-at) / 1e9)
		return err
	})
	return rate, err
}

// doneOf is how many hops of a step were done, and when.
func doneOf(ctx context.Context, c *control.Client, step string) (done uint64, at int64, err error) {
	queues, err := c.Queues(ctx)
	at = monotonic()
	for _, q := range queues {
		if q.Step == step {
			done = q.Ledger.Done
		}
	}
	return done, at, err
}

// failing, hanging, slow and dying are ways to behave badly.
func failing([]byte, int) error { return errors.New("it always fails") }

func hanging([]byte, int) error {
	time.Sleep(time.Hour)
	return nil
}

func slow([]byte, int) error {
	time.Sleep(100 * time.Millisecond)
	return nil
}

func dying([]byte, int) error {
	os.Exit(3)
	return nil
}
