package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// why is what a queue says of itself.
func (st *stage) why(name string) string {
	return strings.Join(st.o.t.reasons(st.o.now, st.o.byName[name]), " | ")
}

func TestAQueueSaysWhatHoldsItUp(t *testing.T) {
	small := sat("b")
	small.Queue.MaxMessages = 2
	one := sat("a", "b")
	one.Work.InHand = 1
	st := newStage(t, sat("gen", "a"), one, small)
	gen := st.join("gen", 0, 1, source)
	if got := st.why("a"); got != "" {
		t.Errorf("a without workers says %q: the states of processes tell that", got)
	}
	a := st.join("a", 0, 2, wire.HelloBody{})
	gen.emit("1", "2", "3", "4")
	d := a.only(wire.Data)
	if got, want := st.why("a"), "no worker has credit: the one there is has in hand what it may, 1 at most"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a.done(d[0].N, "x", "y")
	if got, want := st.why("a"), "it is given nothing while the queue of b takes nothing: it is full with 2 messages of 2; no worker of it has a session"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	st.o.byName["b"].paused = true
	if got := st.why("a"); !strings.Contains(got, "it is paused on request, until dsatctl queue resume b") {
		t.Errorf("%q", got)
	}
	ts, ok := st.o.t.findTask(st.o.now, st.o.t.taskOf(st.o.t.hops.at(st.o.byName["a"].waiting.tail).id))
	if !ok || len(ts.Hops) != 1 || ts.Hops[0].Waits[0] != "2 others wait before it" || !strings.Contains(ts.Hops[0].Waits[1], "the queue of b") {
		t.Errorf("%+v", ts)
	}
	st.o.t.frozen = true
	if got := st.why("gen"); !strings.HasPrefix(got, "nothing is given to anybody") {
		t.Errorf("%q", got)
	}
}

func TestALimitedStepSaysSo(t *testing.T) {
	rated, limited := sat("rated"), sat("limited")
	rated.Work.Rate = topology.Rate{N: 1, Per: time.Hour}
	limited.Work.Concurrency = 1
	st := newStage(t, sat("gen", "rated", "limited"), rated, limited)
	gen := st.join("gen", 0, 1, source)
	st.join("rated", 0, 2, wire.HelloBody{})
	st.join("limited", 0, 3, wire.HelloBody{})
	gen.emit("1", "2")
	if got := st.why("rated"); !strings.HasPrefix(got, "work.rate lets the next one through in ") {
		t.Errorf("%q", got)
	}
	if got, want := st.why("limited"), "work.concurrency lets its workers have 1 in hand, and they have"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A trace has every attempt with its times: those that failed, the one that ended well, the one that goes on.
func TestTrace(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	d := w.only(wire.Data)
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: d[0].N, Flags: wire.FlagRetry}, []byte("disk full"))
	st.wait(time.Minute)
	again := w.only(wire.Data)
	w.done(again[0].N)
	first, ok := st.o.t.findTask(st.o.now, d[0].M)
	if !ok || first.State != "done" || first.Began.IsZero() {
		t.Fatalf("%+v", first)
	}
	h := first.Hops[0]
	if h.From != "gen" || h.Admitted != 0 || h.Ended < h.Tries[1].Sent || len(h.Tries) != 2 || h.Instance != "w:0" {
		t.Fatalf("%+v", h)
	}
	bad, good := h.Tries[0], h.Tries[1]
	if bad.Reason != "disk full" || bad.Ended < bad.Sent || good.Sent < bad.Ended || good.Reason != "" || good.Ended != h.Ended {
		t.Errorf("%+v", h.Tries)
	}
	second, _ := st.o.t.findTask(st.o.now, d[1].M)
	if len(second.Hops) != 1 || len(second.Hops[0].Tries) != 1 || second.Hops[0].Tries[0].Ended != 0 || second.Hops[0].Ended != 0 {
		t.Errorf("what goes on is %+v", second.Hops)
	}
	w.die("killed by signal 9")
	second, _ = st.o.t.findTask(st.o.now, d[1].M)
	if diff := cmp.Diff("the process ended: killed by signal 9", second.Hops[0].Tries[0].Reason); diff != "" || second.Hops[0].Tries[0].Ended == 0 {
		t.Errorf("%+v", second.Hops)
	}
	w = st.admit("w", 0, 3)
	w.hello(wire.HelloBody{})
	w.done(w.only(wire.Data)[0].N)
	second, _ = st.o.t.findTask(st.o.now, d[1].M)
	if tries := second.Hops[0].Tries; len(tries) != 2 || tries[1].Reason != "" || tries[1].Instance != "w:0" {
		t.Errorf("%+v", second.Hops)
	}
	if n := st.o.t.taskOf(d[1].ID); n != d[1].M {
		t.Errorf("message %d is of task %d", d[1].ID, n)
	}
	if n := st.o.t.taskOf(1); n != 0 {
		t.Errorf("nobody's message is of task %d", n)
	}
}
