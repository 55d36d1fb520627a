package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// clock is CLOCK_MONOTONIC, which all processes share, read as Go reads it: without a system call.
type clock struct {
	start time.Time
	at    int64 // CLOCK_MONOTONIC at start, ns
}

func newClock() clock { return clock{at: monotonic(), start: time.Now()} }

func (c clock) now() int64 { return c.at + int64(time.Since(c.start)) }

// monotonic is CLOCK_MONOTONIC in ns.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return t.Nano()
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// times is a histogram of durations up to a minute, three digits. What is older than the warm-up counts.
type times struct {
	h     *hdrhistogram.Histogram
	begin int64 // first moment that counts; 0: nothing came yet
}

func newTimes() *times { return &times{h: hdrhistogram.New(100, int64(time.Minute), 3)} }

// add keeps a duration that ended now.
func (t *times) add(now, ns int64) {
	if t.begin == 0 {
		t.begin = now + int64(warmUp)
	}
	if now >= t.begin {
		// Out of range is longer than a minute: then the figure is broken anyway, and the bench sees too few values.
		_ = t.h.RecordValue(ns)
	}
}

// quantiles is what a histogram says, in microseconds.
type quantiles struct {
	count               int64
	p50, p99, p999, max float64
}

// write leaves the quantiles in the file the bench reads.
func (t *times) write(path string) error {
	us := func(ns int64) float64 { return float64(ns) / 1000 }
	text := fmt.Sprintf("%d %.1f %.1f %.1f %.1f\n", t.h.TotalCount(), us(t.h.ValueAtQuantile(50)), us(t.h.ValueAtQuantile(99)),
		us(t.h.ValueAtQuantile(99.9)), us(t.h.Max()))
	return os.WriteFile(path, []byte(text), 0o600)
}

func readTimes(path string) (quantiles, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return quantiles{}, err
	}
	return parseTimes(string(raw))
}

func parseTimes(text string) (q quantiles, err error) {
	if _, err := fmt.Sscan(text, &q.count, &q.p50, &q.p99, &q.p999, &q.max); err != nil {
		return q, fmt.Errorf("cannot read %q as times: %w", text, err)
	}
	if q.count == 0 {
		return q, errors.New("nothing was timed")
	}
	return q, nil
}
