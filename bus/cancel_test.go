package bus

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

func TestACancelledTaskIsLetGoByAll(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w", "end"), sat("end"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	end := st.join("end", 0, 3, wire.HelloBody{})
	gen.emit("1", "2")
	d := w.only(wire.Data)
	w.done(d[0].N, "a", "b")
	ends := end.only(wire.Data)
	end.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: ends[0].N, Flags: wire.FlagRetry}, []byte("later"))
	task := d[0].M
	if n := st.o.t.cancelTask(st.o.now, task); n != 2 {
		t.Fatalf("%d hops, want the one that is held and the one in hand", n)
	}
	if c := end.only(wire.Cancel); len(c) != 1 || c[0].N != ends[1].N {
		t.Errorf("CANCEL: %+v", c)
	}
	end.done(ends[1].N, "too late")
	st.wait(time.Hour)
	if l := st.ledger(); l.Cancelled != 2 || l.Done != 1 || l.InFlight != 1 || len(st.faults) > 0 {
		t.Errorf("%+v %q", l, st.faults)
	}
	if ts, ok := st.o.t.findTask(st.o.now, task); !ok || ts.State != "failed" || !strings.Contains(ts.Reason, "cancelled on request") {
		t.Errorf("%+v", ts)
	}
}

func TestCancelTaskAnswersWhoWaits(t *testing.T) {
	s := serve(t, sat("w"))
	got := make(chan Sent, 1)
	go func() {
		r, _ := s.Send(t.Context(), "w", "", []byte("x"), true)
		got <- r
	}()
	s.until("it waits", func(l Ledger) bool { return l.Held == 1 })
	task, err := ask(t.Context(), s.Bus, func(o *orchester) (string, error) { return formatID(o.t.hops.at(o.byName["w"].waiting.head).task), nil })
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.CancelTask(t.Context(), task); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if r := <-got; r.State != "failed" || !strings.Contains(r.Reason, "cancelled") {
		t.Errorf("%+v", r)
	}
	kinds := []Kind{}
	for _, id := range []string{task, "7.99", "what"} {
		_, err := s.CancelTask(t.Context(), id)
		kinds = append(kinds, kindOf(err))
	}
	if want := []Kind{KindConflict, KindNotFound, KindInvalid}; !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
}

// The words of a dead life may come after its successor was admitted, and after the links have changed.
func TestPortsKeepTheirMeaningForTheDead(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w", "x", "y"), sat("x"), sat("y"))
	gen, old := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1")
	st.o.gone(old.ref, old.inc, "killed", nil)
	st.admit("w", 0, 3)
	st.mustApply(ApplyOptions{}, sat("gen", "w"), sat("w", "y"), sat("y"), sat("x"))
	old.b.Reset()
	old.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: old.hand()})
	old.b.Output(1, wire.Text, []byte("for y"))
	old.b.End()
	old.frame(old.b.Frame())
	if got := st.admitted("y"); !slices.Equal(got, []string{"for y"}) || len(st.faults) > 0 {
		t.Errorf("%q %q", got, st.faults)
	}
}
