package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/satellites"
)

// A peer is this binary again, as a satellite under test. The environment says what it is, because a plugin has no words
// of its own on its command line.
const (
	envRole    = "BENCH_ROLE"    // source, pingpong, caller, fill, sink, victim, or one of those of containment.go
	envCarrier = "BENCH_CARRIER" // plugin or zeromq
	envSize    = "BENCH_SIZE"    // bytes of a payload, at least 8
	envRate    = "BENCH_RATE"    // messages a second of an open-loop source; 0 is as fast as it goes
	envOut     = "BENCH_OUT"     // where a peer writes what it saw; empty: it does not look
)

// peerEnv is that environment.
type peerEnv struct {
	role       string
	size, rate int
	out        string
}

// table is the environment as a value of a topology.
func (e peerEnv) table(carrier string) string {
	var pairs []string
	for _, p := range [][2]string{{envRole, e.role}, {envCarrier, carrier}, {envSize, strconv.Itoa(e.size)}, {envRate, strconv.Itoa(e.rate)}, {envOut, e.out}} {
		pairs = append(pairs, fmt.Sprintf("%s = %q", p[0], p[1]))
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

// ownEnv is what this process was told.
func ownEnv(role string) peerEnv {
	number := func(name string) int {
		n, _ := strconv.Atoi(os.Getenv(name)) // the bench wrote it
		return n
	}
	return peerEnv{role: role, size: max(number(envSize), 8), rate: number(envRate), out: os.Getenv(envOut)}
}

// emitter is the sending side of a carrier.
type emitter interface {
	// emit hands a message over; it waits while the window is used up.
	emit(payload []byte) error
	// accepted waits until all that was emitted is accepted.
	accepted() error
	// call calls the worker and waits for the end of its task.
	call(payload []byte) error
	// settle lets what is pending go, before a pause.
	settle() error
}

// handler is the receiving side: payload, and how many attempts there were before.
type handler func(payload []byte, before int) error

func runPeer(role string) int {
	env := ownEnv(role)
	var err error
	switch role {
	case "source":
		err = asSource(env.loadSource)
	case "pingpong":
		err = asSource(env.pingPong)
	case "caller":
		err = asSource(env.call)
	case "fill":
		err = asSource(env.fill)
	case "sink":
		err = env.sink()
	case "victim":
		err = asWorker(env.victim)
	case "failing":
		err = asWorker(failing)
	case "hanging":
		err = asWorker(hanging)
	case "slow":
		err = asWorker(slow)
	case "dying":
		err = asWorker(dying)
	default:
		err = fmt.Errorf("cannot be %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		return 1
	}
	return 0
}

// asSource runs f until its emitter says that nothing new is wanted.
func asSource(f func(emitter) error) error {
	if os.Getenv(envCarrier) == "zeromq" {
		return zeromqSource(f)
	}
	return satellites.RunSource(func(ctx context.Context, e *satellites.Emitter) error { return f(pluginEmitter{ctx, e}) })
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

func (p pluginEmitter) emit(payload []byte) error { return p.e.Emit(payload) }
func (p pluginEmitter) accepted() error           { return p.e.Flush(p.ctx) }
func (p pluginEmitter) call(payload []byte) error {
	_, err := p.e.Call(p.ctx, "worker", payload)
	return err
}
func (p pluginEmitter) settle() error { return p.ctx.Err() }

// tick is how long a fast source sleeps at least: one that woke for every single message of 100,000 a second would keep a
// core busy with waking, and every process behind it. What is late by that counts as latency.
const tick = 100 * time.Microsecond

// loadSource is an open loop: message k is due at start + k/rate whatever happened before, and carries that time, so that
// waiting counts as latency (no coordinated omission).
func (env peerEnv) loadSource(e emitter) error {
	payload := make([]byte, env.size)
	if env.rate == 0 {
		for {
			if err := e.emit(payload); err != nil {
				return err
			}
		}
	}
	p := newPacer()
	start := p.now()
	for k := int64(0); ; k++ {
		due := start + k*int64(time.Second)/int64(env.rate)
		for now := p.now(); now < due; now = p.now() {
			if err := e.settle(); err != nil {
				return err
			}
			p.until(max(due, now+int64(tick)))
		}
		binary.LittleEndian.PutUint64(payload, uint64(due))
		if err := e.emit(payload); err != nil {
			return err
		}
	}
}

// pacer sleeps as exactly as the kernel can: Go's own timers may be a millisecond late in a process that is idle.
type pacer struct{ clock }

func newPacer() pacer {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // 1 ns in place of 50 us; without it the source is late, and says so
	return pacer{newClock()}
}

// until sleeps up to a moment of the clock, or shorter.
func (p pacer) until(due int64) {
	ts := unix.NsecToTimespec(due)
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) // a signal ends it early
}

// pingPong emits one message at a time and keeps the time to its acceptance.
func (env peerEnv) pingPong(e emitter) error {
	payload := make([]byte, env.size)
	p, times := newPacer(), newTimes()
	for {
		begin := p.now()
		err := errors.Join(e.emit(payload), e.accepted())
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

// sink handles messages by doing nothing, or keeps the time from when each was due to when it was handled.
func (env peerEnv) sink() error {
	if wid := os.Getenv("DSAT_WID"); env.out == "" || wid != "" && wid != "0" { // one of several holds the watch
		return asWorker(func([]byte, int) error { return nil })
	}
	clock, times := newClock(), newTimes()
	err := asWorker(func(payload []byte, _ int) error {
		now := clock.now()
		times.add(now, now-int64(binary.LittleEndian.Uint64(payload)))
		return nil
	})
	return errors.Join(err, times.write(env.out))
}

// victim says that it has begun a message and then hangs until it is killed; a message that was begun before is done.
func (env peerEnv) victim(payload []byte, before int) error {
	mark := victimMark{word: "begun", pid: os.Getpid(), message: binary.LittleEndian.Uint64(payload), at: monotonic()}
	if before > 0 {
		mark.word = "done"
	}
	f, err := os.OpenFile(env.out, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(mark.String())
	if err = errors.Join(err, f.Close()); err != nil || before > 0 {
		return err
	}
	time.Sleep(time.Hour)
	return errors.New("was not killed")
}
