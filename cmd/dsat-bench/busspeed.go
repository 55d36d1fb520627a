package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

//go:embed c/pushpull.c
var pushPullC []byte

const (
	rawName    = "libzmq C PUSH/PULL ipc"
	pluginName = "dsat tracked, plugin"
	zeromqName = "dsat tracked, ZeroMQ"

	warmUp  = 700 * time.Millisecond // connections, caches and heaps, before anything is measured
	measure = 1500 * time.Millisecond
)

// contender is one carrier of the bus.
type contender struct{ name, carrier string }

func carriers() []contender {
	return []contender{{pluginName, "plugin"}, {zeromqName, "zeromq"}}
}

// busSpeed measures tracked messages a second and latencies on both carriers beside bare libzmq in the same run.
func busSpeed(ctx context.Context, l *lab) (*report, error) {
	if err := compile(ctx, l, "pushpull", pushPullC, "-lzmq"); err != nil {
		return nil, err
	}
	if err := compile(ctx, l, "roundtrip", roundTripC, "-lzmq"); err != nil {
		return nil, err
	}
	r := newReport("Bus", rawName)
	r.goal(500_000, atLeast, "64 B, messages/s", pluginName)
	r.goal(500_000, atLeast, "64 B, messages/s", zeromqName)
	r.goal(150, atMost, hopRow, pluginName)
	r.goalOver(1.2, atMost, hopRow, zeromqName, figure{hopRow, roundTripName})
	r.notes = append(r.notes, machine()+". tracked: source -> orchester -> worker -> acknowledged (DONE received), at least once, each in a process of its own; "+
		rawName+": one message a frame, nothing acknowledged. Rates are what the source is let emit: what is acknowledged in "+measure.String()+".",
		"Latencies are of 64 B messages. EMIT to ACCEPTED: one at a time. Due to handled: an open loop at that rate, counted from the moment a message was due "+
			"(so a source or a queue that is late counts; the source wakes every "+tick.String()+" at most), half load being half of the rate measured just before. Hop: DATA sent to DONE received, by the daemon's own histogram, "+
			"read between its bounds; beside it a DEALER in C that asks a ROUTER at the same rate. CALL to its answer: one at a time, from a satellite to another and back.")
	for range l.runs {
		half := map[string]int{}
		for _, size := range []int{64, 256, 1024} {
			row := fmt.Sprintf("%d B, messages/s", size)
			rate, err := l.pushPull(ctx, size)
			if err != nil {
				return nil, err
			}
			r.add(row, rawName, rate)
			for _, c := range carriers() {
				rate, err := l.tracked(ctx, cast{carrier: c.carrier, source: peerEnv{role: "source", size: size}, worker: peerEnv{role: "sink"}, workers: handful}, measure)
				if err != nil {
					return nil, fmt.Errorf("%s at %d B: %w", c.name, size, err)
				}
				r.add(row, c.name, rate)
				if size == 64 {
					half[c.name] = int(rate / 2)
				}
			}
		}
		if err := l.roundTrip(ctx, r); err != nil {
			return nil, err
		}
		for _, c := range carriers() {
			if err := errors.Join(l.latencies(ctx, r, c, half[c.name]), l.calls(ctx, r, c)); err != nil {
				return nil, fmt.Errorf("latency of %s: %w", c.name, err)
			}
		}
	}
	return r, nil
}

// compile builds a C program into the lab.
func compile(ctx context.Context, l *lab, name string, source []byte, flags ...string) error {
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path+".c", source, 0o600); err != nil {
		return err
	}
	args := append([]string{"-O2", "-o", path, path + ".c"}, flags...)
	if out, err := exec.CommandContext(ctx, "gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s.c: %w\n%s", name, err, out)
	}
	return nil
}

func (l *lab) pushPull(ctx context.Context, size int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(l.dir, "pushpull"), "ipc://"+filepath.Join(l.dir, "pushpull.sock"), strconv.Itoa(size), "3000000").Output()
	if err != nil {
		return 0, fmt.Errorf("pushpull: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// cast says which peers a topology has: a source, unless its role is empty, and workers, all of them this binary.
type cast struct {
	carrier        string
	source, worker peerEnv
	workers        string // more of the worker's table
	shape          shape  // how many of each; zero is one of each
	calls          bool   // the source calls, and emits nothing
}

// topology is the cast as a file.
func (c cast) topology() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	runs := fmt.Sprintf("plugin = %q", self)
	if c.carrier == "zeromq" {
		runs = fmt.Sprintf("command = [%q]\nspeaks = \"bus\"", self)
	}
	text := "dsat = 1\n"
	if c.source.role != "" {
		verb := "to"
		if c.calls {
			verb = "calls"
		}
		text += fmt.Sprintf("[satellite.source]\n%s\nenv = %s\n%s = \"worker\"\ninstances = %d\n", runs, c.source.table(c.carrier), verb, max(c.shape.publishers, 1))
	}
	return text + fmt.Sprintf("[satellite.worker]\n%s\nenv = %s\ninstances = %d\n%s", runs, c.worker.table(c.carrier), max(c.shape.consumers, 1), c.workers), nil
}

// handful is the worker's table where much is to be in hand.
const handful = "work = { in_hand = 4096 }\n"

// tracked is the rate at which messages are acknowledged within a time.
func (l *lab) tracked(ctx context.Context, c cast, within time.Duration) (rate float64, err error) {
	text, err := c.topology()
	if err != nil {
		return 0, err
	}
	err = l.withDaemon(ctx, text, func(ctx context.Context, c *control.Client) error {
		if err := sleep(ctx, warmUp); err != nil {
			return err
		}
		before, at, err := doneAt(ctx, c)
		if err != nil {
			return err
		}
		if err := sleep(ctx, within); err != nil {
			return err
		}
		after, end, err := doneAt(ctx, c)
		rate = float64(after-before) / (float64(end-at) / 1e9)
		if err == nil && after == before {
			err = fmt.Errorf("nothing was acknowledged within %v", within)
		}
		return err
	})
	return rate, err
}

// doneAt is how many hops were done, and when.
func doneAt(ctx context.Context, c *control.Client) (done uint64, at int64, err error) {
	queues, err := c.Queues(ctx)
	at = monotonic()
	for _, q := range queues {
		done += q.Ledger.Done
	}
	return done, at, err
}
