package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// What follows measures as dsat-bench's own peers do (cmd/dsat-bench/times.go and peer.go): the same warm-up, the same pace, the
// same file of quantiles. It cannot be imported from there, for that is a program of another module.

const (
	warmUp = 700 * time.Millisecond
	tick   = 100 * time.Microsecond // a fast publisher sleeps at least so long
)

// clock is CLOCK_MONOTONIC, which all processes share.
type clock struct {
	start time.Time
	at    int64
}

func newClock() clock {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it cannot fail on Linux
	return clock{at: t.Nano(), start: time.Now()}
}

func (c clock) now() int64 { return c.at + int64(time.Since(c.start)) }

// pacer sleeps as exactly as the kernel can.
type pacer struct{ clock }

func newPacer() pacer {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return pacer{newClock()}
}

func (p pacer) until(due int64) {
	ts := unix.NsecToTimespec(due)
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
}

// times is a histogram of durations up to a minute. What is older than the warm-up counts.
type times struct {
	mu    sync.Mutex // some libraries call from several goroutines
	h     *hdrhistogram.Histogram
	begin int64
}

func newTimes() *times { return &times{h: hdrhistogram.New(100, int64(time.Minute), 3)} }

func (t *times) add(now, ns int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == 0 {
		t.begin = now + int64(warmUp)
	}
	if now >= t.begin {
		_ = t.h.RecordValue(ns) // longer than a minute: the bench sees too few values
	}
}

// write leaves count, p50, p99, p99.9 and maximum in microseconds.
func (t *times) write(path string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	us := func(ns int64) float64 { return float64(ns) / 1000 }
	text := fmt.Sprintf("%d %.1f %.1f %.1f %.1f\n", t.h.TotalCount(), us(t.h.ValueAtQuantile(50)), us(t.h.ValueAtQuantile(99)),
		us(t.h.ValueAtQuantile(99.9)), us(t.h.Max()))
	return os.WriteFile(path, []byte(text), 0o600)
}
