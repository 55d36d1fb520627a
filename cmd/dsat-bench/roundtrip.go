package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed c/roundtrip.c
var roundTripC []byte

const (
	roundTripName = "libzmq C ROUTER/DEALER ipc"
	hopRow        = "hop at 1,000/s, p50 us"
)

// roundTrip is what libzmq needs for 64 B there and back, 1,000 times a second, as a hop at that rate is a DATA and its DONE.
func (l *lab) roundTrip(ctx context.Context, r *report) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(l.dir, "roundtrip"), "ipc://"+filepath.Join(l.dir, "roundtrip.sock"), "64", "1500")
	cmd.WaitDelay = grace
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("roundtrip: %w", err)
	}
	var p50, p99 float64
	if _, err := fmt.Sscan(string(out), &p50, &p99); err != nil {
		return fmt.Errorf("cannot read %q of roundtrip: %w", out, err)
	}
	r.add(hopRow, roundTripName, p50)
	r.add("there and back at 1,000/s, p99 us", roundTripName, p99)
	return nil
}

// calls times a satellite that calls another, one CALL at a time: from it to the end of its task.
func (l *lab) calls(ctx context.Context, r *report, c contender) error {
	out := filepath.Join(l.dir, "times")
	caller := cast{carrier: c.carrier, source: peerEnv{role: "caller", size: 64, out: out}, worker: peerEnv{role: "sink"}, workers: handful, calls: true}
	return l.latency(ctx, r, c.name, "CALL to its answer", caller, out)
}

// call calls the worker, one message after the other, and keeps the time to the answer.
func (env peerEnv) call(e emitter) error {
	payload := make([]byte, env.size)
	p, times := newPacer(), newTimes()
	for {
		begin := p.now()
		err := e.call(payload)
		end := p.now()
		if err == nil {
			times.add(end, end-begin)
			err = e.settle()
		}
		if err != nil {
			return errors.Join(err, times.write(env.out))
		}
		p.until(end + int64(200*time.Microsecond))
	}
}
