package satellites

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/dsat/dsat/bus/wire"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

func TestHandlerGetsTheMessageAsDelivered(t *testing.T) {
	got := make(chan Message, 1)
	n := workerNode(t, func(_ context.Context, m *Message, _ *Output) error {
		c := *m
		c.Payload = []byte(string(m.Payload))
		got <- c
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(7, `{"a":1}`))
	d.answers(7)
	want := Message{
		Payload: []byte(`{"a":1}`), Codec: "json", ID: 207, Task: 107, From: "cpu", Attempt: 2, Hops: 3, Time: time.Unix(0, 1e18),
	}
	if diff := cmp.Diff(want, <-got); diff != "" {
		t.Error(diff)
	}
	wantHello := wire.HelloBody{Step: "cpu", WID: 1, Incarnation: 1<<32 | 1, Token: "t", PID: syscall.Getpid(), Concurrency: 1, SDK: "go-1", Topics: true}
	if diff := cmp.Diff(wantHello, d.hello); diff != "" {
		t.Error(diff)
	}
}

func TestOutputsTravelWithTheirDone(t *testing.T) {
	n := workerNode(t, func(_ context.Context, m *Message, out *Output) error {
		out.Emit([]byte("all"))
		out.EmitTo("alarm", []byte(""))
		out.EmitTo("csv", m.Payload)
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(7, "x"))
	rec := d.want(wire.Done)
	var got []wire.Output
	for o, outs := (wire.Output{}), rec.Outputs(); outs.Next(&o); {
		got = append(got, o)
	}
	want := []wire.Output{
		{Port: wire.AllLinks, Codec: wire.JSON, Payload: []byte("all")}, {Port: 1, Codec: wire.JSON, Payload: []byte("")},
		{Port: 0, Codec: wire.JSON, Payload: []byte("x")},
	}
	if diff := cmp.Diff(want, got); diff != "" || rec.N != 7 {
		t.Error(rec.N, diff)
	}
}

func TestOutputsLargerThanAFrameAreStaged(t *testing.T) {
	large := strings.Repeat("x", 40<<10)
	n := workerNode(t, func(_ context.Context, _ *Message, out *Output) error {
		out.Emit([]byte(large))
		out.Emit([]byte(large))
		return nil
	}, Codec("text"))
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(7, "x"))
	for range 2 {
		if rec := d.want(wire.Out); string(rec.Body) != large || rec.N != 7 || rec.Codec != wire.Text || rec.Port != wire.AllLinks {
			t.Fatalf("OUT %+v", rec.Header)
		}
	}
	if rec := d.want(wire.Done); rec.N != 7 || len(rec.Body) != 0 {
		t.Fatalf("DONE %+v", rec.Header)
	}
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		handle  Handler
		retry   bool
		reasons []string
	}{
		"error":     {func(context.Context, *Message, *Output) error { return errors.New("no luck") }, true, []string{"no luck"}},
		"permanent": {func(context.Context, *Message, *Output) error { return Permanent(errors.New("poison")) }, false, []string{"poison"}},
		"wrapped": {func(context.Context, *Message, *Output) error {
			return fmt.Errorf("outer: %w", Permanent(errors.New("poison")))
		}, false, []string{"outer: poison"}},
		"panic": {func(context.Context, *Message, *Output) error { panic("ouch") }, true, []string{"ouch", "worker_test.go"}},
		"output of a failure": {func(_ context.Context, _ *Message, out *Output) error {
			out.Emit([]byte("x"))
			return errors.New("after all")
		}, true, []string{"after all"}},
		"no such link": {func(_ context.Context, _ *Message, out *Output) error {
			out.EmitTo("cvs", nil)
			return nil
		}, false, []string{`"cvs"`, "csv, alarm"}},
		"too large": {func(_ context.Context, _ *Message, out *Output) error {
			out.Emit(make([]byte, 1<<20+1))
			return nil
		}, false, []string{"1048576"}},
		"long reason": {func(context.Context, *Message, *Output) error { return errors.New(strings.Repeat("ü", longestReason)) }, true, []string{"ü"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := dial(t, workerNode(t, tt.handle)).welcome(defaultWelcome)
			d.send(data(7, "x"))
			rec := d.want(wire.Fail)
			if rec.N != 7 || rec.Flags != map[bool]uint8{true: wire.FlagRetry}[tt.retry] || len(rec.Body) > longestReason {
				t.Errorf("FAIL %+v", rec.Header)
			}
			for _, r := range tt.reasons {
				if !strings.Contains(string(rec.Body), r) {
					t.Errorf("reason %q lacks %q", rec.Body, r)
				}
			}
			d.send(data(8, "x")) // the process goes on
			d.want(wire.Fail)
		})
	}
}

// Whatever the frames and the outcomes, every hop is answered once, as its handler said, and ranges cover nothing else.
func TestEveryHopIsAnsweredOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		handlers := rapid.IntRange(1, 4).Draw(rt, "concurrency")
		n := workerNode(t, func(_ context.Context, m *Message, out *Output) error {
			switch string(m.Payload) {
			case "fail":
				return errors.New("fail")
			case "out":
				out.Emit(m.Payload)
			}
			return nil
		}, Concurrency(handlers))
		d := dial(t, n).welcome(defaultWelcome)
		var hops []uint64
		outcome := map[uint64]string{}
		next := uint64(1)
		for range rapid.IntRange(1, 5).Draw(rt, "frames") {
			var frame []wire.Record
			for range rapid.IntRange(1, 20).Draw(rt, "records") {
				next += uint64(rapid.IntRange(1, 3).Draw(rt, "gap"))
				outcome[next] = rapid.SampledFrom([]string{"done", "done", "done", "fail", "out"}).Draw(rt, "outcome")
				hops = append(hops, next)
				frame = append(frame, data(next, outcome[next]))
			}
			d.send(frame...)
		}
		for n, kind := range d.answers(hops...) {
			if (kind == wire.Fail) != (outcome[n] == "fail") {
				rt.Errorf("hop %d (%s) was answered by %v", n, outcome[n], kind)
			}
		}
		n.worker.stop()
	})
}

// A frame of quick work is acknowledged in a few ranges, not hop by hop.
func TestAcknowledgementsAreJoined(t *testing.T) {
	hold, n := make(chan struct{}), 0
	node := workerNode(t, func(context.Context, *Message, *Output) error {
		if n++; n == 1 {
			<-hold
		}
		return nil
	}, BeforeAck(func() error { return nil }))
	d := dial(t, node).welcome(defaultWelcome)
	d.send(data(3, ""), data(5, ""), data(6, ""), data(9, ""))
	close(hold)
	if rec := d.want(wire.Done); rec.N != 3 || rec.M != 9 {
		t.Errorf("DONE %d to %d, want 3 to 9", rec.N, rec.M)
	}
}

func TestConcurrencyIsKeptOverSessions(t *testing.T) {
	const c = 3
	var now, most atomic.Int32
	release := make(chan struct{})
	n := workerNode(t, func(context.Context, *Message, *Output) error {
		if v := now.Add(1); v > most.Load() {
			most.Store(v)
		}
		<-release
		now.Add(-1)
		return nil
	}, Concurrency(c))
	first := dial(t, n).welcome(defaultWelcome)
	first.send(data(1, ""), data(2, ""), data(3, ""), data(4, ""))
	first.hangUp()
	<-first.served
	second := dial(t, n)
	second.epoch = 2
	second.welcome(defaultWelcome)
	second.send(data(11, ""), data(12, ""), data(13, ""), data(14, ""))
	close(release)
	second.answers(11, 12, 13, 14)
	if most.Load() > c {
		t.Errorf("%d handlers at once, want at most %d", most.Load(), c)
	}
}

// The reader never waits for a handler: control is obeyed while one hangs.
func TestCancelEndsTheContextOfARunningHop(t *testing.T) {
	begun := make(chan struct{})
	n := workerNode(t, func(ctx context.Context, m *Message, _ *Output) error {
		if string(m.Payload) == "hang" {
			close(begun)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, "hang"), data(2, "panic if handled"), data(3, ""))
	<-begun
	d.send(record(wire.Ping, 5, 0))
	if rec := d.want(wire.Pong); rec.N != 5 {
		t.Errorf("PONG %d, want 5", rec.N)
	}
	d.send(record(wire.Cancel, 2, 0), record(wire.Cancel, 1, 0))
	got := d.answers(1, 3)
	if got[1] != wire.Fail || got[3] != wire.Done {
		t.Errorf("answers %v", got)
	}
}

func TestCancelledBeforeItBeginsIsNotHandled(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	var handled atomic.Int32
	n := workerNode(t, func(context.Context, *Message, *Output) error {
		if handled.Add(1) == 1 {
			close(begun)
			<-hold
		}
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, ""), data(2, ""), data(3, ""))
	<-begun
	d.send(record(wire.Cancel, 2, 0), record(wire.Ping, 1, 0))
	d.want(wire.Pong)
	close(hold)
	d.answers(1, 3)
	if handled.Load() != 2 {
		t.Errorf("%d messages were handled, want 2", handled.Load())
	}
}

func TestFlushComesBeforeAnyAcknowledgement(t *testing.T) {
	hold := make(chan struct{})
	var written, flushed atomic.Int32
	fail := atomic.Bool{}
	n := workerNode(t, func(_ context.Context, m *Message, _ *Output) error {
		if written.Add(1) == 1 {
			<-hold
		}
		if string(m.Payload) == "bad" {
			return Permanent(errors.New("bad"))
		}
		return nil
	}, BeforeAck(func() error {
		if fail.Load() {
			return errors.New("the disk is full")
		}
		flushed.Store(written.Load())
		return nil
	}))
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, ""), data(2, "bad"), data(3, ""))
	close(hold)
	got := d.answers(1, 2, 3)
	if got[1] != wire.Done || got[2] != wire.Fail || got[3] != wire.Done || flushed.Load() != 3 {
		t.Errorf("answers %v after a flush of %d", got, flushed.Load())
	}
	fail.Store(true)
	d.send(data(4, ""))
	if rec := d.want(wire.Fail); rec.Flags != wire.FlagRetry || string(rec.Body) != "the disk is full" {
		t.Errorf("FAIL %+v %q", rec.Header, rec.Body)
	}
}

func TestProgress(t *testing.T) {
	n := workerNode(t, func(_ context.Context, _ *Message, out *Output) error {
		out.Progress()
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(7, ""))
	if rec := d.want(wire.Progress); rec.N != 7 {
		t.Errorf("PROGRESS %d", rec.N)
	}
	d.answers(7)
}
