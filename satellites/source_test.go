package satellites

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/bus/wire"
)

// emits n numbers and ends.
func counting(n int) Source {
	return func(_ context.Context, e *Emitter) error {
		for i := 1; i <= n; i++ {
			if err := e.Emit([]byte(strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return nil
	}
}

// endless emits until it is stopped.
func endless(_ context.Context, e *Emitter) error {
	for {
		if err := e.Emit([]byte("x")); err != nil {
			return err
		}
	}
}

// emit reads the next EMIT, which must have that number.
func (d *daemon) emit(n uint64) wire.Record {
	d.t.Helper()
	rec := d.want(wire.Emit)
	if rec.N != n {
		d.t.Fatalf("EMIT %d, want %d", rec.N, n)
	}
	return rec
}

func TestSourceKeepsToItsWindowAndEndsByItself(t *testing.T) {
	n := sourceNode(t, counting(6), Codec("text"))
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome) // a window of 4
	for i := range uint64(4) {
		if rec := d.emit(i + 1); string(rec.Body) != strconv.Itoa(int(rec.N)) || rec.Codec != wire.Text || rec.Port != wire.AllLinks {
			t.Errorf("EMIT %+v %q", rec.Header, rec.Body)
		}
	}
	d.send(record(wire.Ping, 1, 0))
	d.want(wire.Pong) // and no fifth EMIT before it
	d.send(record(wire.Accepted, 1, 0))
	d.emit(5)
	d.send(record(wire.Credit, 2, 1<<20), record(wire.Accepted, 3, 0)) // two are open: the window is full
	d.send(record(wire.Ping, 2, 0))
	d.want(wire.Pong)
	d.send(record(wire.Accepted, 4, 0))
	d.emit(6)
	d.send(record(wire.Accepted, 6, 0))
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
	if err := w.within(t); err != nil {
		t.Error(err)
	}
	if !d.hello.Source {
		t.Error("HELLO does not say that it is a source")
	}
}

func TestWindowCountsBytes(t *testing.T) {
	n := sourceNode(t, func(_ context.Context, e *Emitter) error {
		for _, size := range []int{50, 40, 20, 500} {
			if err := e.Emit(make([]byte, size)); err != nil {
				return err
			}
		}
		return nil
	})
	welcome := defaultWelcome
	welcome.EmitBytes = 100
	d := dial(t, n).welcome(welcome)
	d.emit(1)
	d.emit(2)
	d.send(record(wire.Ping, 1, 0))
	d.want(wire.Pong)
	d.send(record(wire.Accepted, 1, 0))
	d.emit(3)
	d.send(record(wire.Accepted, 2, 0), record(wire.Ping, 2, 0))
	d.want(wire.Pong) // 500 bytes go alone only
	d.send(record(wire.Accepted, 3, 0))
	if rec := d.emit(4); len(rec.Body) != 500 {
		t.Errorf("%d bytes", len(rec.Body))
	}
	d.send(record(wire.Accepted, 4, 0))
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
}

// What a lost daemon did not confirm is told to the next, under its epoch, once, in order.
func TestUnacceptedEmitsAreRepeated(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		window := rapid.IntRange(1, 3000).Draw(rt, "window")
		size := rapid.SampledFrom([]int{1, 100, 40 << 10}).Draw(rt, "size")
		payload := []byte(strings.Repeat("x", size))
		n := sourceNode(t, func(_ context.Context, e *Emitter) error {
			for {
				if err := e.Emit(payload); err != nil {
					return err
				}
			}
		})
		welcome := defaultWelcome
		welcome.EmitMessages, welcome.EmitBytes = window, 1<<20
		open := uint64(window)
		if most := uint64(1<<20) / uint64(size); most < open {
			open = most
		}
		accepted := uint64(0)
		for epoch := range uint32(3) {
			d := dial(t, n)
			d.epoch = epoch + 1
			welcome.Accepted = accepted
			d.welcome(welcome)
			for i := accepted + 1; i <= accepted+open; i++ {
				d.emit(i)
			}
			accepted += rapid.Uint64Range(0, open).Draw(rt, "accepted")
			if rapid.Bool().Draw(rt, "told") && accepted > welcome.Accepted {
				d.send(record(wire.Accepted, accepted, 0))
			}
			if epoch == 2 {
				d.send(record(wire.Drain, 0, 0), record(wire.Accepted, accepted+open, 0))
				for rec := d.read(); rec.Kind != wire.Bye; rec = d.read() {
					d.send(record(wire.Accepted, accepted+2*open, 0))
				}
				d.send(record(wire.Bye, 0, 0))
			}
			d.hangUp()
			<-d.served
		}
	})
}

func TestDrainStopsASourceThatWaitsForRoom(t *testing.T) {
	n := sourceNode(t, endless)
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome)
	for i := range uint64(4) {
		d.emit(i + 1)
	}
	d.send(record(wire.Drain, 0, 0))
	d.send(record(wire.Accepted, 4, 0))
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
	<-d.served
	w.term <- syscall.SIGTERM
	if err := w.within(t); err != nil {
		t.Error(err)
	}
}

func TestSignalEndsTheContextOfASource(t *testing.T) {
	n := sourceNode(t, func(ctx context.Context, e *Emitter) error {
		if err := e.Emit([]byte("one")); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome)
	d.emit(1)
	w.term <- syscall.SIGTERM
	d.send(record(wire.Accepted, 1, 0))
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
	if err := w.within(t); err != nil {
		t.Error(err)
	}
}

func TestErrorOfASourceIsThatOfTheProcess(t *testing.T) {
	cause := errors.New("no sensor")
	n := sourceNode(t, func(context.Context, *Emitter) error { return cause })
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome)
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
	if err := w.within(t); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

func TestEmitToAnUnknownLinkAndTooLarge(t *testing.T) {
	errs := make(chan error, 2)
	n := sourceNode(t, func(_ context.Context, e *Emitter) error {
		errs <- e.EmitTo("cvs", nil)
		errs <- e.Emit(make([]byte, 1<<20+1))
		return e.EmitTo("alarm", []byte("x"))
	})
	d := dial(t, n).welcome(defaultWelcome)
	if rec := d.emit(1); rec.Port != 1 {
		t.Errorf("port %d, want 1", rec.Port)
	}
	if err := <-errs; err == nil || !strings.Contains(err.Error(), "csv, alarm") {
		t.Errorf("unknown link: %v", err)
	}
	if err := <-errs; err == nil {
		t.Error("a payload that is too large was taken")
	}
	d.send(record(wire.Accepted, 1, 0))
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
}

func TestDataForASourceIsAnError(t *testing.T) {
	n := sourceNode(t, func(ctx context.Context, _ *Emitter) error { <-ctx.Done(); return nil })
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, "x"))
	if err := w.within(t); err == nil || !strings.Contains(err.Error(), "source") {
		t.Errorf("got %v", err)
	}
	n.source.end()
}

// The process outlives its daemon for a while, and no longer.
func TestAloneForTooLong(t *testing.T) {
	tests := map[string]struct {
		state state
		term  bool
		want  string // "": no error
	}{
		"never connected":       {state{}, false, "dsatd was away"},
		"drained, then nothing": {state{drained: true, parted: true}, false, ""},
		"signal while alone":    {state{}, true, ""},
		"signal after the end":  {state{drained: true, parted: true}, true, ""},
		"source finished":       {state{parted: true, finished: true}, false, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(Identity{Name: "cpu"}, settings{})
				n.state = tt.state
				w := wait(t, n)
				if tt.term {
					w.term <- syscall.SIGTERM
				}
				err := <-w.err
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		})
	}
}
