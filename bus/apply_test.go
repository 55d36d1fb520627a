package bus

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// apply goes over to other satellites, as Apply does.
func (st *stage) apply(opt ApplyOptions, sats ...*topology.Satellite) error {
	st.t.Helper()
	st.o.now = st.o.bus.now()
	err := st.o.apply(topo(sats...), opt)
	st.turn()
	return err
}

func (st *stage) mustApply(opt ApplyOptions, sats ...*topology.Satellite) {
	st.t.Helper()
	if err := st.apply(opt, sats...); err != nil {
		st.t.Fatal(err)
	}
}

// routes is the newest ROUTES among what an actor was told.
func (a *actor) routes() *wire.RoutesBody {
	a.st.t.Helper()
	var body *wire.RoutesBody
	for _, r := range a.only(wire.Routes) {
		body = &wire.RoutesBody{}
		if err := json.Unmarshal(r.Body, body); err != nil {
			a.st.t.Fatal(err)
		}
	}
	return body
}

func TestNewLinksAreTakenByWhatComesAfterThem(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w", "x"), sat("x"), sat("calm"))
	gen, w, calm := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{}), st.join("calm", 0, 3, wire.HelloBody{})
	gen.emit("1", "2")
	w.done(w.hand(), "to x")
	st.mustApply(ApplyOptions{}, sat("y"), sat("calm"), sat("gen", "w"), sat("x"), sat("w", "y"))
	if r := w.routes(); r == nil || !slices.Equal(r.Routes, []string{"", "y"}) || !slices.Equal(r.From, []string{"gen"}) {
		t.Fatalf("ROUTES %+v", r)
	}
	if gen.routes() != nil || calm.routes() != nil {
		t.Error("those whose links are the same were told of them")
	}
	w.done(w.hand(), "to y")
	if x, y := st.admitted("x"), st.admitted("y"); !slices.Equal(x, []string{"to x"}) || !slices.Equal(y, []string{"to y"}) {
		t.Errorf("x has %q, y has %q", x, y)
	}
	gen.emit("3", "4")
	port := func(n uint16, body string) {
		w.b.Reset()
		w.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: w.hand()})
		w.b.Output(n, wire.Text, []byte(body))
		w.b.End()
		w.frame(w.b.Frame())
	}
	port(0, "said under the old links")
	port(1, "said under the new ones")
	if x, y := st.admitted("x"), st.admitted("y"); len(x) != 2 || len(y) != 2 {
		t.Errorf("x has %q, y has %q", x, y)
	}
	if l := st.ledger(); l.Admitted != 8 || l.Done != 4 || len(st.faults) > 0 {
		t.Errorf("%+v %q", l, st.faults)
	}
}

func TestDataSaysWhereItComesFromAcrossChanges(t *testing.T) {
	st := newStage(t, sat("a", "w"), sat("b", "w"), sat("w"))
	a, b := st.join("a", 0, 1, source), st.join("b", 0, 2, source)
	a.emit("of a")
	b.emit("of b")
	st.mustApply(ApplyOptions{}, sat("w"), sat("c", "w"), sat("b", "w"))
	c := st.join("c", 0, 4, source)
	c.emit("of c")
	w := st.admit("w", 0, 3)
	w.hello(wire.HelloBody{})
	var welcome wire.WelcomeBody
	from := map[string]string{}
	for _, r := range w.look() {
		if r.Kind == wire.Welcome {
			if err := json.Unmarshal(r.Body, &welcome); err != nil {
				t.Fatal(err)
			}
		}
		if r.Kind == wire.Data {
			from[string(r.Body)] = "outside"
			if int(r.Port) < len(welcome.From) {
				from[string(r.Body)] = welcome.From[r.Port]
			}
		}
	}
	if from["of a"] != "outside" || from["of b"] != "b" || from["of c"] != "c" {
		t.Errorf("%v by %q", from, welcome.From)
	}
}

func TestAStepWithMessagesIsNotRemovedByAccident(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
	st.o.byName["w"].cfg.inHand, w.p.sess.messages = 2, 2
	gen.emit("1", "2", "3", "4", "5")
	hand := slices.Clone([]uint64{w.hand(), w.hand() + 1})
	err := st.apply(ApplyOptions{}, sat("gen"))
	if kindOf(err) != KindConflict || !strings.Contains(err.Error(), "w holds messages (3 wait, 2 are in hand)") {
		t.Fatal(err)
	}
	if l := st.ledger(); l.Held != 3 || l.InFlight != 2 || gen.routes() != nil {
		t.Fatalf("the refusal has changed something: %+v", l)
	}
	st.mustApply(ApplyOptions{Discard: map[string]bool{"w": true}}, sat("gen"))
	if l := st.ledger(); l.Admitted != 5 || l.Cancelled != 5 || st.o.t.tasks.live != 0 {
		t.Errorf("%+v", l)
	}
	var told []uint64
	drained := false
	for _, r := range w.look() {
		if r.Kind == wire.Cancel {
			told = append(told, r.N)
		}
		drained = drained || r.Kind == wire.Drain
	}
	if !slices.Equal(told, hand) || !drained {
		t.Errorf("CANCEL of %v, want %v; DRAIN: %v", told, hand, drained)
	}
	w.done(hand[0], "late") // ignored, and no fault
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: hand[1]}, []byte("cancelled"))
	w.say(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
	w.die("exit code 0")
	gen.emit("6")
	if l := st.ledger(); l.Admitted != 5 || len(st.faults) > 0 || len(gen.only(wire.Accepted)) == 0 {
		t.Errorf("%+v %q", l, st.faults)
	}
}

func TestWhatWaitsMovesAlong(t *testing.T) {
	bad := sat("w")
	bad.Work.Retries = 1
	st := newStage(t, sat("gen", "w"), bad)
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
	w.say(&wire.Header{Kind: wire.Credit, Epoch: 7, N: 1, M: 1 << 20}, nil)
	gen.emit("aside", "held", "1", "2")
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand()}, []byte("no"))
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand(), Flags: wire.FlagRetry}, []byte("not yet"))
	task := formatID(st.o.t.hops.at(st.o.byName["w"].held[0].slot).task)
	st.mustApply(ApplyOptions{Moved: map[string]string{"w": "worker"}}, sat("worker"), sat("gen", "worker"))
	if l := st.ledger(); l.Admitted != 4 || l.Quarantined != 1 || l.Held != 2 || l.InFlight != 1 {
		t.Fatalf("%+v", l)
	}
	if s := st.o.byName["worker"]; s.count.failed != 2 || len(s.held) != 1 || st.o.t.aside.count("worker") != 1 {
		t.Errorf("%+v", s.count)
	}
	id, _ := parseID(task)
	if ts, ok := st.o.t.findTask(st.o.now, id); !ok || ts.Hops[0].Step != "worker" || ts.State != "running" {
		t.Errorf("%+v", ts)
	}
	w.done(w.hand()) // the old life goes on until it is stopped
	w.die("exit code 0")
	n := st.join("worker", 0, 1, wire.HelloBody{})
	for st.wait(time.Minute); n.hand() > 0; {
		n.done(n.hand())
	}
	if l := st.ledger(); l.Done != 3 || l.Held+l.InFlight != 0 || len(st.faults) > 0 {
		t.Errorf("%+v %q", l, st.faults)
	}
}

func TestTwoStepsMayChangeNames(t *testing.T) {
	st := newStage(t, sat("gen", "a"), sat("a"), sat("b"))
	st.join("gen", 0, 1, source).emit("1")
	st.mustApply(ApplyOptions{Moved: map[string]string{"a": "b", "b": "a"}}, sat("gen", "a"), sat("a"), sat("b"))
	if got := st.admitted("b"); len(got) != 1 || len(st.admitted("a")) != 0 {
		t.Errorf("%q", got)
	}
}

func TestWhatIsAddressedToARemovedStepIsSetAside(t *testing.T) {
	st := newStage(t, sat("gen", "a", "b"), sat("a"), sat("b"))
	gen := st.join("gen", 0, 1, source)
	st.mustApply(ApplyOptions{}, sat("gen", "b"), sat("b"))
	gen.say(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: 0, N: 1}, []byte("to a"))
	gen.say(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: 1, N: 2}, []byte("to b"))
	if l := st.ledger(); l.Admitted != 2 || l.Quarantined != 1 || l.Held != 1 || st.o.t.tasks.live != 1 {
		t.Fatalf("%+v", l)
	}
	q := st.o.t.aside.list[0]
	if q.step != "a" || string(q.payload) != "to a" {
		t.Fatalf("%+v", q)
	}
	st.mustApply(ApplyOptions{}, sat("gen", "b"), sat("b"), sat("a"))
	st.o.t.retry(st.o.now, st.o.byName["a"], st.o.t.aside.take(q.id))
	if got := st.admitted("a"); !slices.Equal(got, []string{"to a"}) {
		t.Errorf("%q", got)
	}
}

func TestTheLastWordsOfARemovedSourceTakeItsOldLinks(t *testing.T) {
	w := sat("w")
	w.Queue.MaxMessages = 1
	st := newStage(t, sat("gen", "w"), w)
	gen := st.join("gen", 0, 1, source)
	gen.emit("1", "2")
	wide := sat("w")
	st.mustApply(ApplyOptions{}, wide)
	if len(gen.only(wire.Drain)) != 1 {
		t.Error("no DRAIN")
	}
	gen.emit("3")
	if got := st.admitted("w"); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("%q", got)
	}
	st.ledger()
}

func TestLimitsChangeUnderSessions(t *testing.T) {
	narrow := sat("w")
	narrow.Work.InHand = 1
	st := newStage(t, sat("gen", "w"), narrow)
	gen, w, modest := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{}), st.join("w", 1, 3, wire.HelloBody{})
	modest.say(&wire.Header{Kind: wire.Credit, Epoch: 7, N: 0, M: 1 << 20}, nil)
	gen.emit("1", "2", "3")
	wide := sat("w")
	wide.Work.InHand, wide.Work.Deadline = 9, time.Minute
	st.wait(time.Hour)
	st.mustApply(ApplyOptions{}, sat("gen", "w"), wide)
	if r := w.routes(); r == nil || r.InHand != 9 || r.DeadlineMS != 60_000 {
		t.Errorf("%+v", r)
	}
	if w.p.sess.hand.live != 3 || modest.p.sess.hand.live != 0 {
		t.Errorf("%d and %d in hand, want 3 and none", w.p.sess.hand.live, modest.p.sess.hand.live)
	}
	st.wait(59 * time.Second)
	if len(st.faults) > 0 {
		t.Fatalf("late by a deadline that is younger than the work: %q", st.faults)
	}
	st.wait(2 * time.Second)
	if len(st.faults) != 1 {
		t.Errorf("%q", st.faults)
	}
}

func TestOptionsThatDoNotFitAreRefused(t *testing.T) {
	st := newStage(t, sat("a"), sat("b"))
	for _, c := range []struct {
		opt  ApplyOptions
		want string
	}{
		{ApplyOptions{Moved: map[string]string{"x": "a"}}, "there is no x"},
		{ApplyOptions{Moved: map[string]string{"a": "x"}}, "does not have"},
		{ApplyOptions{Moved: map[string]string{"a": "c"}}, "has a a still"},
		{ApplyOptions{Moved: map[string]string{"a": "b", "b": "b"}}, "both to move to b"},
		{ApplyOptions{Moved: map[string]string{"a": "c", "b": "c"}}, "a still"},
		{ApplyOptions{Discard: map[string]bool{"a": true}}, "the new topology has it"},
		{ApplyOptions{Discard: map[string]bool{"x": true}}, "there is none"},
	} {
		if err := st.apply(c.opt, sat("a"), sat("b"), sat("c")); kindOf(err) != KindInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.opt, err, c.want)
		}
	}
}

func TestApplyThatGaveUpHasNoEffect(t *testing.T) {
	st := newStage(t, sat("a"))
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	err := st.o.bus.Apply(ctx, topo(sat("b")), ApplyOptions{}) // nobody runs the loop
	if kindOf(err) != KindTimeout || !strings.Contains(err.Error(), "enough") {
		t.Fatal(err)
	}
	st.turn()
	if st.o.byName["a"] == nil {
		t.Error("it was done after all")
	}
}

func TestSendersOfARemovedStepAreAnswered(t *testing.T) {
	w := sat("w")
	w.Queue.MaxMessages = 1
	st := newStage(t, w)
	first, second := st.ask(&sending{wait: true}, "w", "1"), st.ask(&sending{}, "w", "2")
	st.mustApply(ApplyOptions{Discard: map[string]bool{"w": true}}, sat("x"))
	if _, sent, err, end := first.take(); !end || err != nil || sent.State != "failed" || !strings.Contains(sent.Reason, "removed") {
		t.Errorf("%v, %+v, %v", end, sent, err)
	}
	if _, _, err, end := second.take(); !end || kindOf(err) != KindNotFound {
		t.Errorf("%v, %v", end, err)
	}
}

func TestTheLoopAllocatesNothingPerMessageAfterAChange(t *testing.T) {
	p := newPump(t)
	for range 100 {
		p.round()
	}
	p.st.mustApply(ApplyOptions{}, sat("other"), sat("null"), sat("gen", "null"))
	p.wrk.look() // ROUTES, and what the last round has left
	p.round()
	if allocs := testing.AllocsPerRun(200, p.round); allocs > 0 {
		t.Errorf("%v allocations a round", allocs)
	}
	p.st.ledger()
}
