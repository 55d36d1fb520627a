package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// ask sends something from outside and returns who is told the answer.
func (st *stage) ask(s *sending, to string, payload string) *outsider {
	out := newOutsider()
	s.by = out
	st.o.now = st.o.bus.now()
	st.o.send(s, to, wire.Text, []byte(payload))
	st.turn()
	return out
}

// call is a call with a deadline.
func (st *stage) call(to, payload string, within time.Duration) (*sending, *outsider) {
	s := &sending{wait: true, due: st.o.bus.now() + int64(within)}
	return s, st.ask(s, to, payload)
}

func (c *outsider) state(t testing.TB) string {
	t.Helper()
	results, sent, err, end := c.take()
	if !end {
		return "waits"
	}
	if err != nil {
		return err.Error()
	}
	text := sent.State
	for _, r := range results {
		text += " " + string(r.Payload)
	}
	if sent.Reason != "" {
		text += ": " + sent.Reason
	}
	return text
}

func TestACallHasExactlyOneAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*stage, *actor, *sending)
		want string
	}{
		{"a reply", func(_ *stage, w *actor, _ *sending) { w.done(w.hand(), "a", "b") }, "done a b"},
		{"no output", func(_ *stage, w *actor, _ *sending) { w.done(w.hand()) }, "done"},
		{"a failure", func(_ *stage, w *actor, _ *sending) {
			w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand()}, []byte("out of paper"))
		}, "failed: w: out of paper"},
		{"a retry", func(st *stage, w *actor, _ *sending) {
			w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand(), Flags: wire.FlagRetry}, []byte("later"))
			st.wait(time.Second)
			w.done(w.hand(), "again")
		}, "done again"},
		{"its deadline", func(st *stage, _ *actor, _ *sending) { st.wait(time.Minute) }, "expired: no answer in time"},
		{"a late answer", func(st *stage, w *actor, _ *sending) {
			n := w.hand()
			st.wait(time.Minute)
			w.done(n, "late")
		}, "expired: no answer in time"},
		{"cancelled", func(st *stage, _ *actor, s *sending) {
			id, _ := parseID(s.sent.Task)
			st.o.t.cancelTask(st.o.now, id)
			st.turn()
		}, "failed: w: cancelled on request"},
		{"its caller is gone", func(st *stage, w *actor, s *sending) {
			st.o.forget(s)
			st.turn()
			w.done(w.hand(), "for whom")
		}, "gave up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStage(t, sat("w"))
			w := st.join("w", 0, 1, wire.HelloBody{})
			s, out := st.call("w", "x", 30*time.Second)
			w.look()
			c.end(st, w, s)
			if got := out.state(t); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			st.wait(time.Hour)
			if l := st.ledger(); l.InFlight+l.Held > 0 || st.o.t.tasks.live > 0 {
				t.Errorf("something is left: %+v", l)
			}
			if len(st.o.waiters)+len(st.o.timing.calls) > 0 || len(st.faults) > 0 {
				t.Errorf("%d wait, %d timers, faults %q", len(st.o.waiters), len(st.o.timing.calls), st.faults)
			}
		})
	}
}

// What nobody waits for any more is not dispatched, and who has it in hand is told.
func TestExpiredCallsAreNeverDispatched(t *testing.T) {
	w := sat("w")
	w.Work.InHand = 1
	st := newStage(t, w)
	worker := st.join("w", 0, 1, wire.HelloBody{})
	_, first := st.call("w", "1", time.Second)
	_, second := st.call("w", "2", time.Second)
	lasting := &sending{wait: true, lasting: true, due: st.o.bus.now() + int64(time.Second)}
	third := st.ask(lasting, "w", "3")
	if data := worker.only(wire.Data); len(data) != 1 {
		t.Fatalf("%d messages in hand", len(data))
	}
	st.wait(time.Minute)
	var cancelled, data []string
	for _, r := range worker.look() {
		switch r.Kind {
		case wire.Cancel:
			cancelled = append(cancelled, fmt.Sprint(r.N))
		case wire.Data:
			data = append(data, string(r.Body))
		}
	}
	if len(cancelled) != 1 || fmt.Sprint(data) != "[3]" {
		t.Errorf("cancelled %v, delivered %v; want the first cancelled and the third delivered", cancelled, data)
	}
	if a, b, c := first.state(t), second.state(t), third.state(t); a != "expired: no answer in time" || b != a || !strings.Contains(c, "goes on") {
		t.Errorf("%q, %q, %q", a, b, c)
	}
	if l := st.ledger(); l.Expired != 2 || l.InFlight != 1 {
		t.Errorf("%+v", l)
	}
}

// The sweep for what has lapsed does not come at every turn when there is much to walk over; until it comes, dispatch looks.
func TestLapsedWorkIsNotDispatchedBeforeTheSweep(t *testing.T) {
	st := newStage(t, sat("w"))
	_, first := st.call("w", "1", time.Hour)
	st.o.t.lapsed.due = st.o.now + int64(time.Hour)
	st.o.forget(st.o.waiters[1])
	last := st.ask(&sending{wait: true}, "w", "2")
	w := st.join("w", 0, 1, wire.HelloBody{})
	if n := w.p.sess.hand.live; n != 1 || !st.o.t.lapsed.some() {
		t.Fatalf("%d in hand", n)
	}
	w.done(w.hand(), "ok")
	if first.state(t) != "gave up" || last.state(t) != "done ok" {
		t.Error("the wrong one was done")
	}
	if l := st.ledger(); l.Cancelled != 1 || l.Done != 1 {
		t.Errorf("%+v", l)
	}
}

func TestACallBeforeAFullQueueExpires(t *testing.T) {
	w := sat("w")
	w.Queue.MaxMessages = 1
	st := newStage(t, w)
	st.ask(&sending{}, "w", "in the way")
	s, out := st.call("w", "x", time.Second)
	if s.sent.Task != "" {
		t.Fatal("it was let in")
	}
	st.wait(time.Minute)
	if got := out.state(t); !strings.Contains(got, "was full, and nothing was sent") {
		t.Error(got)
	}
	if l := st.ledger(); l.Admitted != 1 || len(st.o.sends) > 0 {
		t.Errorf("%+v", l)
	}
}

func TestManyDeadlinesAreForgottenWithTheirCalls(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.join("w", 0, 1, wire.HelloBody{})
	for range 2000 {
		_, out := st.call("w", "x", time.Hour)
		w.look()
		w.done(w.hand())
		if got := out.state(t); got != "done" {
			t.Fatal(got)
		}
	}
	if n := len(st.o.timing.line); n > 100 {
		t.Errorf("%d deadlines are kept of calls that are over", n)
	}
}

func TestCallsThroughALivingBus(t *testing.T) {
	s := serve(t, sat("w"), sat("nobody"))
	ref, inc, env := s.admit("w", 0)
	s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, upper)
	s.expect("hello w:0")
	var parts []string
	got, err := s.Call(t.Context(), Call{To: "w", Codec: "text", Payload: []byte("x"), Within: time.Minute},
		func(r Result) error { parts = append(parts, string(r.Payload)); return nil })
	if err != nil || got.State != "done" || fmt.Sprint(parts) != "[X]" || got.Results != nil {
		t.Fatalf("%+v, %v, %v", got, parts, err)
	}
	got, err = s.Call(t.Context(), Call{To: "nobody", Within: 20 * time.Millisecond}, nil)
	if err != nil || got.State != "expired" {
		t.Fatalf("%+v, %v", got, err)
	}
	s.until("it is expired", func(l Ledger) bool { return l.Expired == 1 && l.Held == 0 })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	if _, err = s.Call(ctx, Call{To: "nobody"}, nil); kindOf(err) != KindTimeout || !strings.Contains(err.Error(), "gone") {
		t.Error(err)
	}
	if _, err := s.Call(t.Context(), Call{To: "nowhere"}, nil); !IsNotFound(err) {
		t.Error(err)
	}
	enough := errors.New("enough")
	if _, err := s.Call(t.Context(), Call{To: "w", Payload: []byte("x")}, func(Result) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	s.until("what the dead wanted is cancelled", func(l Ledger) bool { return l.Held == 0 && l.InFlight == 0 })
}

func TestWhatACallerDoesNotTakeIsOmittedAndTold(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.join("w", 0, 1, wire.HelloBody{})
	_, out := st.call("w", "x", time.Hour)
	w.look()
	n := w.hand()
	for range 3 {
		w.say(&wire.Header{Kind: wire.Out, Epoch: 7, N: n, Port: wire.AllLinks}, make([]byte, 7<<20))
	}
	w.done(n)
	results, sent, _, end := out.take()
	if !end || len(results) != 2 || sent.Omitted != 1 {
		t.Errorf("%d results, %+v", len(results), sent)
	}
}
