package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func TestSendIsRefusedWithAReason(t *testing.T) {
	site := sat("site")
	site.Speaks = topology.SpeaksNone
	full := sat("full")
	full.Queue.MaxMessages = 1
	s := serve(t, sat("gen", "w"), sat("w"), site, full)
	ref, inc, env := s.admit("gen", 0)
	gen := life{ref, inc, env["DSAT_TOKEN"]}
	s.dealWith(gen, env, upper)
	s.expect("hello gen:0")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Send(t.Context(), "full", "", nil, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ctx       context.Context
		to, codec string
		size      int
		want      Kind
		text      string
	}{
		{t.Context(), "nobody", "", 1, KindNotFound, "no such satellite"},
		{t.Context(), "site", "", 1, KindInvalid, "does not speak"},
		{t.Context(), "gen", "", 1, KindInvalid, "source"},
		{t.Context(), "w", "yaml", 1, KindInvalid, "codec"},
		{t.Context(), "w", "", wire.MaxBody + 1, KindInvalid, "at most"},
		{short, "full", "", 1, KindTimeout, "queue is full"},
	} {
		if _, err := s.Send(c.ctx, c.to, c.codec, make([]byte, c.size), false); kindOf(err) != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("to %s: %v, want %s with %q", c.to, err, c.want, c.text)
		}
	}
	s.Shut()
	if _, err := s.Send(t.Context(), "w", "", nil, false); kindOf(err) != KindUnavailable {
		t.Error(err)
	}
	s.Close()
	if _, err := s.Send(t.Context(), "w", "", nil, false); kindOf(err) != KindUnavailable {
		t.Error(err)
	}
	if err := s.Alive(t.Context()); kindOf(err) != KindUnavailable {
		t.Error(err)
	}
}

func TestASenderThatGivesUpIsToldItsTask(t *testing.T) {
	s := serve(t, sat("w"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	got, err := s.Send(ctx, "w", "", []byte("x"), true)
	if kindOf(err) != KindTimeout || got.Task == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	st, err := s.Task(t.Context(), got.Task)
	if err != nil || st.State != "running" || st.Open != 1 || st.Hops[0].State != "waiting" {
		t.Errorf("%+v, %v", st, err)
	}
	idle, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Idle(idle); err == nil {
		t.Error("idle with a message waiting")
	}
}

func TestTasksAreRemembered(t *testing.T) {
	s := serve(t, sat("w", "end"), sat("end"))
	for _, name := range []string{"w", "end"} {
		ref, inc, env := s.admit(name, 0)
		s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, upper)
		s.expect("hello " + name)
	}
	got, err := s.Send(t.Context(), "w", "", []byte("x"), true)
	if err != nil {
		t.Fatal(err)
	}
	if got.text() != "done X" {
		t.Errorf("the result is what the last step put out: %q", got.text())
	}
	st, err := s.Task(t.Context(), got.Task)
	if err != nil || st.State != "done" || len(st.Hops) != 2 || st.Hops[0].Step != "w" || st.Hops[1].Step != "end" || st.Open != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := s.Task(t.Context(), "7.999"); !IsNotFound(err) {
		t.Error(err)
	}
	if _, err := s.Task(t.Context(), "what"); kindOf(err) != KindInvalid {
		t.Error(err)
	}
	if err := s.Idle(t.Context()); err != nil {
		t.Error(err)
	}
	if st, err := s.Stats(t.Context()); err != nil || st.Tasks != 0 || st.Ledger.Done != 2 || st.Queues[0].Latency.Count() != 1 || len(st.Queues[0].Latency.Bounds())+1 != len(st.Queues[0].Latency.Counts) {
		t.Errorf("%+v", st)
	}
}

// Nobody waits for ever for a bus that does not run, or whose loop is stuck.
func TestABusThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	dir := shortDir(t)
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Config{Topology: topo(sat("w")), RunDir: dir, Epoch: 7})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Stats(ctx); kindOf(err) != KindTimeout {
			t.Error(err)
		}
		if got, err := b.Send(ctx, "w", "", nil, true); kindOf(err) != KindTimeout || got.Task != "" || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%+v, %v", got, err)
		}
		if l := b.Ledger(); l != (Ledger{}) {
			t.Errorf("%+v", l)
		}
	})
}

func TestQuarantineIsShownRetriedAndDropped(t *testing.T) {
	s := serve(t, sat("w"))
	ref, inc, env := s.admit("w", 0)
	broken := true
	s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, func(b *wire.Builder, r *wire.Record) {
		if r.Kind == wire.Data && broken {
			b.Add(&wire.Header{Kind: wire.Fail, Epoch: 7, N: r.N}, []byte("out of paper"))
			broken = string(r.Body) != "b"
			return
		}
		upper(b, r)
	})
	s.expect("hello w:0")
	for _, p := range []string{"a", "b"} {
		if got, err := s.Send(t.Context(), "w", "text", []byte(p), true); err != nil || got.State != "failed" || !strings.Contains(got.Reason, "out of paper") {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	list, err := s.Quarantine(t.Context(), "w")
	if err != nil || len(list) != 2 || list[0].Payload != nil || list[0].Attempts != 1 || list[0].Codec != "text" {
		t.Fatalf("%+v, %v", list, err)
	}
	q, err := s.QuarantineGet(t.Context(), list[0].ID)
	if err != nil || string(q.Payload) != "a" || !strings.Contains(fmt.Sprint(q.Evidence), "attempt 1 at w:0: out of paper") {
		t.Errorf("%+v, %v", q, err)
	}
	if err := s.QuarantineRetry(t.Context(), list[0].ID); err != nil {
		t.Error(err)
	}
	if err := s.QuarantineDrop(t.Context(), list[1].ID); err != nil {
		t.Error(err)
	}
	if err := s.QuarantineDrop(t.Context(), list[1].ID); !IsNotFound(err) {
		t.Error(err)
	}
	l := s.until("the retried is done", func(l Ledger) bool { return l.Done == 1 })
	if l.Quarantined != 2 || l.Admitted != 3 {
		t.Errorf("%+v", l)
	}
}

func TestQuarantineGivesUpTheOldestForRoom(t *testing.T) {
	q := quarantine{}
	for i := range quarantineMessages + 5 {
		q.add(&setAside{id: uint64(i)})
	}
	if len(q.list) != quarantineMessages || q.evicted != 5 || q.list[0].id != 5 {
		t.Error(len(q.list), q.evicted)
	}
	half := make([]byte, quarantineBytes/2)
	for range 3 {
		q.add(&setAside{payload: half})
	}
	if len(q.list) != 2 || q.bytes != quarantineBytes {
		t.Error(len(q.list), q.bytes)
	}
}

func TestASocketPathTooLongIsExplained(t *testing.T) {
	_, err := New(Config{Topology: topo(sat("w")), RunDir: "/tmp/" + strings.Repeat("x", 100)})
	if err == nil || !strings.Contains(err.Error(), "--run-dir") {
		t.Error(err)
	}
	if _, err := New(Config{Topology: topo(sat("w")), RunDir: "/nowhere"}); err == nil {
		t.Error("bound in a directory that is not there")
	}
	b, err := New(Config{Topology: topo(sat("w")), RunDir: shortDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	b.Close() // without Serve
}

func TestHistogramCountsByBound(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{0, 25 * time.Microsecond, 26 * time.Microsecond, time.Hour} {
		h.observe(int64(d))
	}
	if h.Counts[0] != 2 || h.Counts[1] != 1 || h.Counts[len(bounds)] != 1 || h.Count() != 4 {
		t.Errorf("%+v", h)
	}
}

// FuzzSession plays arbitrary frames of a peer that knows its token to the loop.
func FuzzSession(f *testing.F) {
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Done, Epoch: 7, N: 1, M: 3}, nil)
	b.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, N: 1, Port: wire.AllLinks}, []byte("x"))
	f.Add(append([]byte(nil), b.Frame()...))
	b.Reset()
	b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: 2})
	b.Output(0, wire.Raw, []byte("y"))
	b.End()
	b.Add(&wire.Header{Kind: wire.Credit, Epoch: 7, N: 1, M: 1}, nil)
	b.Add(&wire.Header{Kind: wire.Fail, Epoch: 7, N: 3, Flags: 1}, []byte("why"))
	f.Add(append([]byte(nil), b.Frame()...))
	b.Reset()
	b.Add(&wire.Header{Kind: wire.Call, Epoch: 7, N: 1, M: 1, Time: 5}, []byte("ask"))
	b.Add(&wire.Header{Kind: wire.Call, Epoch: 7, N: 2, Port: 1, ID: 9, Flags: wire.FlagLasting}, []byte("of a session"))
	b.Add(&wire.Header{Kind: wire.Cancel, Epoch: 7, N: 1}, nil)
	f.Add(append([]byte(nil), b.Frame()...))
	f.Fuzz(func(t *testing.T, frame []byte) {
		calls := sat("w", "end")
		calls.Calls = []string{"end", "w"}
		st := newStage(t, sat("gen", "w"), calls, sat("end"))
		gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
		gen.emit("1", "2", "3", "4")
		w.frame(frame)
		w.frame(frame)
		st.ledger()
		w.die("killed")
		st.join("w", 0, 3, wire.HelloBody{})
		if l := st.ledger(); l.Admitted < 4 {
			t.Errorf("%+v", l)
		}
		if n := len(st.o.waiters) + len(st.o.talks.by); n > 0 {
			t.Errorf("%d of its calls and sessions are not forgotten", n)
		}
	})
}
