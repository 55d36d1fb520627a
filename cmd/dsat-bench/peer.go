package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/dsat/dsat/satellites"
)

// A peer is this binary again, as a satellite under test. The environment says what it is, because a plugin has no words
// of its own on its command line.
const (
	envRole    = "DSAT_BENCH_ROLE"    // source, pingpong, sink or victim
	envCarrier = "DSAT_BENCH_CARRIER" // plugin or zeromq
	envSize    = "DSAT_BENCH_SIZE"    // bytes of a payload, at least 8
	envRate    = "DSAT_BENCH_RATE"    // messages a second of an open-loop source; 0 is as fast as it goes
	envOut     = "DSAT_BENCH_OUT"     // where a peer writes what it saw
)

// stopwatchWarmUp is how many messages a peer sees before it keeps times.
const stopwatchWarmUp = 200

// emitter is the sending side of a carrier.
type emitter interface {
	// emit hands a message over; it waits while the window is used up.
	emit(payload []byte) error
	// accepted waits until all that was emitted is accepted.
	accepted() error
	// pause lets what is pending go and waits.
	pause(d time.Duration) error
}

// handler is the receiving side: payload, and how many attempts there were before.
type handler func(payload []byte, before int) error

func runPeer(role string) int {
	var err error
	switch role {
	case "source":
		err = asSource(loadSource)
	case "pingpong":
		err = asSource(pingPong)
	case "sink":
		err = asWorker(stopwatch())
	case "victim":
		err = asWorker(victim)
	default:
		err = fmt.Errorf("cannot be %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		return 1
	}
	return 0
}

func asSource(f func(ctx context.Context, e emitter) error) error {
	if os.Getenv(envCarrier) == "zeromq" {
		return zeromqSource(f)
	}
	return satellites.RunSource(func(ctx context.Context, e *satellites.Emitter) error { return f(ctx, pluginEmitter{ctx, e}) })
}

func asWorker(h handler) error {
	if os.Getenv(envCarrier) == "zeromq" {
		return zeromqWorker(h)
	}
	return satellites.Run(func(_ context.Context, m *satellites.Message, _ *satellites.Output) error {
		return h(m.Payload, m.Attempt-1)
	})
}

type pluginEmitter struct {
	ctx context.Context
	e   *satellites.Emitter
}

func (p pluginEmitter) emit(payload []byte) error   { return p.e.Emit(payload) }
func (p pluginEmitter) accepted() error             { return p.e.Flush(p.ctx) }
func (p pluginEmitter) pause(d time.Duration) error { time.Sleep(d); return p.ctx.Err() }

func number(name string) int {
	n, _ := strconv.Atoi(os.Getenv(name)) // the bench wrote it; without it, 0
	return n
}

// loadSource is an open loop: message k is due at start + k/rate whatever happened before, and carries that time, so that
// waiting counts as latency (no coordinated omission).
func loadSource(ctx context.Context, e emitter) error {
	payload := make([]byte, max(number(envSize), 8))
	rate := number(envRate)
	start := monotonic()
	for k := int64(0); ctx.Err() == nil; k++ {
		due := start
		if rate > 0 {
			due = start + k*int64(time.Second)/int64(rate)
			if err := waitUntil(e, due); err != nil {
				return nil
			}
		}
		binary.LittleEndian.PutUint64(payload, uint64(due))
		if err := e.emit(payload); err != nil {
			return nil // stopped while it waited for room
		}
	}
	return nil
}

func waitUntil(e emitter, due int64) error {
	for {
		left := due - monotonic()
		if left <= 0 {
			return nil
		}
		if err := e.pause(time.Duration(left)); err != nil {
			return err
		}
	}
}

// pingPong emits one message at a time and keeps the time to its acceptance.
func pingPong(ctx context.Context, e emitter) error {
	payload := make([]byte, max(number(envSize), 8))
	times := newTimes()
	for ctx.Err() == nil {
		begin := monotonic()
		binary.LittleEndian.PutUint64(payload, uint64(begin))
		if e.emit(payload) != nil || e.accepted() != nil {
			break
		}
		times.add(monotonic() - begin)
		if e.pause(200*time.Microsecond) != nil {
			break
		}
	}
	return times.write()
}

// stopwatch keeps the time from when a message was due to when it was handled.
func stopwatch() handler {
	times := newTimes()
	every := 0
	return func(payload []byte, _ int) error {
		due := int64(binary.LittleEndian.Uint64(payload))
		if os.Getenv(envOut) == "" {
			return nil
		}
		times.add(monotonic() - due)
		if every++; every%1000 == 0 {
			return times.write()
		}
		return nil
	}
}

// victim says that it has begun a message and then hangs until it is killed; a message that was begun before is done.
func victim(payload []byte, before int) error {
	word := "begun"
	if before > 0 {
		word = "done"
	}
	line := fmt.Sprintf("%s %d %d %d\n", word, os.Getpid(), binary.LittleEndian.Uint64(payload), monotonic())
	f, err := os.OpenFile(os.Getenv(envOut), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if err = errors.Join(err, f.Close()); err != nil || before > 0 {
		return err
	}
	return syscall.Kill(os.Getpid(), syscall.SIGSTOP) // kill -9 works on what is stopped
}

// times is a histogram of durations from 1 us to 1 min, three digits.
type times struct {
	h    *hdrhistogram.Histogram
	seen int
}

func newTimes() *times { return &times{h: hdrhistogram.New(100, int64(time.Minute), 3)} }

func (t *times) add(ns int64) {
	if t.seen++; t.seen > stopwatchWarmUp {
		// Out of range is longer than a minute: then the figure is broken anyway, and the bench sees too few values.
		_ = t.h.RecordValue(ns)
	}
}

// write leaves "count p50 p99 p999" in microseconds in the file the bench reads.
func (t *times) write() error {
	path := os.Getenv(envOut)
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d", t.h.TotalCount())
	for _, q := range []float64{50, 99, 99.9} {
		fmt.Fprintf(&b, " %.1f", float64(t.h.ValueAtQuantile(q))/1000)
	}
	tmp := path + ".new"
	return errors.Join(os.WriteFile(tmp, b.Bytes(), 0o600), os.Rename(tmp, path))
}
