package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// caller is a satellite that may call others.
func caller(name string, calls ...string) *topology.Satellite {
	s := sat(name)
	s.Calls = calls
	return s
}

func (a *actor) call(h wire.Header, payload string) {
	h.Kind, h.Epoch = wire.Call, 7
	a.say(&h, []byte(payload))
}

// replies are the REPLYs since the last look, in words.
func (a *actor) replies() string {
	var all []string
	for _, r := range a.only(wire.Reply) {
		word := fmt.Sprintf("%d:%s", r.N, r.Body)
		if r.Flags&wire.FlagMore == 0 {
			word = fmt.Sprintf("%d=%d %s", r.N, r.M, r.Body)
		}
		all = append(all, strings.TrimSpace(word))
	}
	return strings.Join(all, ", ")
}

func TestASatelliteCallsAndIsAnsweredOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(st *stage, web, w *actor)
		want string
	}{
		{"outputs", func(_ *stage, _, w *actor) { w.done(w.hand(), "a", "b") }, "1:a, 1:b, 1=0"},
		{"no output", func(_ *stage, _, w *actor) { w.done(w.hand()) }, "1=0"},
		{"a failure", func(_ *stage, _, w *actor) {
			w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand()}, []byte("no"))
		}, "1=1 w: no"},
		{"its deadline", func(st *stage, _, _ *actor) { st.wait(time.Hour) }, "1=2 no answer in time"},
		{"the worker dies and another answers", func(st *stage, _, w *actor) {
			w.die("killed")
			second := st.join("w", 1, 9, wire.HelloBody{})
			second.done(second.hand(), "late")
		}, "1:late, 1=0"},
		{"cancelled by others", func(st *stage, _, _ *actor) {
			for _, s := range st.o.waiters {
				id, _ := parseID(s.sent.Task)
				st.o.t.cancelTask(st.o.now, id)
			}
			st.turn()
		}, "1=1 w: cancelled on request"},
		{"given up by itself", func(_ *stage, web, w *actor) {
			web.say(&wire.Header{Kind: wire.Cancel, Epoch: 7, N: 1}, nil)
			w.done(w.hand(), "for whom")
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStage(t, caller("web", "w"), sat("w"))
			web, w := st.join("web", 0, 1, wire.HelloBody{}), st.join("w", 0, 2, wire.HelloBody{})
			web.call(wire.Header{N: 1}, "x")
			w.look()
			c.end(st, web, w)
			if got := web.replies(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			st.wait(2 * time.Hour)
			if l := st.ledger(); l.InFlight+l.Held > 0 || len(st.o.waiters) > 0 || len(web.p.sess.calls.open) > 0 || web.p.sess.calls.bytes > 0 {
				t.Errorf("something is left: %+v, %d calls", l, len(web.p.sess.calls.open))
			}
			if got := web.replies(); got != "" || len(st.faults) > 0 {
				t.Errorf("answered again: %q; %q", got, st.faults)
			}
		})
	}
}

func TestWelcomeTellsWhatMayBeCalled(t *testing.T) {
	st := newStage(t, caller("web", "w", "x"), sat("w"), sat("x"))
	a := st.admit("web", 0, 1)
	a.hello(wire.HelloBody{})
	var w wire.WelcomeBody
	if rec := a.only(wire.Welcome); len(rec) != 1 || wire.ParseJSON(&rec[0], &w) != nil || fmt.Sprint(w.Calls) != "[w x]" || w.CallMessages != callMessages || w.CallMS != 30_000 {
		t.Fatalf("%+v", w)
	}
	st.mustApply(ApplyOptions{}, caller("web", "x", "y"), sat("w"), sat("x"), sat("y"))
	var r wire.RoutesBody
	if rec := a.only(wire.Routes); len(rec) != 1 || wire.ParseJSON(&rec[0], &r) != nil || fmt.Sprint(r.Calls) != "[ x y]" {
		t.Fatalf("%+v", r)
	}
	a.call(wire.Header{N: 1, Port: 0}, "x")
	if got := a.replies(); !strings.HasPrefix(got, "1=4 cannot call w: the topology does not let web") {
		t.Error(got)
	}
}

func TestCallsThatBreakTheProtocol(t *testing.T) {
	for name, do := range map[string]func(a *actor){
		"CALL 2 after 0":                 func(a *actor) { a.call(wire.Header{N: 2}, "") },
		"CALL to step 1 of 1":            func(a *actor) { a.call(wire.Header{N: 1, Port: 1}, "") },
		"deadline in the past":           func(a *actor) { a.call(wire.Header{N: 1, Time: -1}, "") },
		"CANCEL of call 1 after 0":       func(a *actor) { a.say(&wire.Header{Kind: wire.Cancel, Epoch: 7, N: 1}, nil) },
		"REPLY is for the daemon to say": func(a *actor) { a.say(&wire.Header{Kind: wire.Reply, Epoch: 7, N: 1}, nil) },
		"more CALLs than the window": func(a *actor) {
			for n := range uint64(callMessages + 1) {
				a.call(wire.Header{N: n + 1}, "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, caller("web", "w"), sat("w"))
			a := st.join("web", 0, 1, wire.HelloBody{})
			do(a)
			if len(st.faults) != 1 || !strings.Contains(st.faults[0], name) {
				t.Errorf("%q", st.faults)
			}
		})
	}
}

// A caller that dies is forgotten: what it wanted ends, unless it is lasting, and late answers have nobody to go to.
func TestACallerThatDiesIsForgotten(t *testing.T) {
	st := newStage(t, caller("web", "w"), sat("w"))
	web, w := st.join("web", 0, 1, wire.HelloBody{}), st.join("w", 0, 2, wire.HelloBody{})
	web.call(wire.Header{N: 1}, "x")
	web.call(wire.Header{N: 2, Flags: wire.FlagLasting}, "y")
	w.look()
	web.die("killed")
	if cancelled := w.only(wire.Cancel); len(cancelled) != 1 {
		t.Errorf("%d were cancelled", len(cancelled))
	}
	w.done(w.hand(), "answer")
	if l := st.ledger(); l.Done != 1 || l.Cancelled != 1 || l.InFlight != 0 || st.o.callCounts() != (CallCounts{Dropped: 2}) {
		t.Errorf("%+v, %+v", l, st.o.callCounts())
	}
	web = st.join("web", 0, 3, wire.HelloBody{})
	web.call(wire.Header{N: 1}, "again")
	w.done(w.hand(), "here")
	if got := web.replies(); got != "1:here, 1=0" {
		t.Error(got)
	}
	web.call(wire.Header{N: 2}, "and bye")
	web.say(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
	if l := st.ledger(); l.InFlight != 0 || l.Cancelled != 2 {
		t.Errorf("%+v", l)
	}
}

// A call is about a message in hand: a chain of calls has a hop limit, as a chain of links, and a message that is not wanted calls nobody.
func TestCallsCountAsHops(t *testing.T) {
	deep := caller("deep", "deep")
	deep.Work.Hops = 3
	st := newStage(t, deep)
	a := st.join("deep", 0, 1, wire.HelloBody{})
	top := st.ask(&sending{wait: true}, "deep", "0")
	var hops []int
	for n := uint64(1); n < 10; n++ {
		data := a.only(wire.Data)
		if len(data) == 0 {
			break
		}
		hops = append(hops, int(data[0].Hops))
		a.call(wire.Header{N: n, M: data[0].N}, "x")
	}
	if fmt.Sprint(hops) != "[0 1 2]" {
		t.Errorf("hops %v", hops)
	}
	if l := st.ledger(); l.Quarantined != 1 {
		t.Errorf("%+v", l)
	}
	_ = top
	a.call(wire.Header{N: 4, M: 99}, "x")
	if got := a.replies(); !strings.Contains(got, "4=4 cannot call deep: the message that it is about is not wanted any more") {
		t.Error(got)
	}
}

// Who calls and does not read the outputs gets failures, and no memory.
func TestRepliesThatAreNotReadAreLeftOut(t *testing.T) {
	st := newStage(t, caller("web", "w"), sat("w"))
	web, w := st.join("web", 0, 1, wire.HelloBody{}), st.join("w", 0, 2, wire.HelloBody{})
	for n := range uint64(8) {
		web.call(wire.Header{N: n + 1}, "x")
	}
	w.look()
	for range 8 {
		n := w.hand()
		w.say(&wire.Header{Kind: wire.Out, Epoch: 7, N: n, Port: wire.AllLinks}, make([]byte, 1<<20))
		w.done(n)
	}
	got, failed := 0, 0
	for _, r := range web.only(wire.Reply) {
		switch {
		case r.Flags&wire.FlagMore != 0:
			got++
		case r.M == wire.EndFailed && strings.Contains(string(r.Body), "left out"):
			failed++
		case r.M != wire.EndDone:
			t.Errorf("%d: %s", r.M, r.Body)
		}
	}
	if got+failed != 8 || got < 3 || failed < 3 || len(st.faults) > 0 {
		t.Errorf("%d outputs, %d failed, %q", got, failed, st.faults)
	}
}

func TestACallBeforeAFullOrDrainedQueue(t *testing.T) {
	w := sat("w")
	w.Queue.MaxMessages = 1
	st := newStage(t, caller("web", "w"), w)
	web := st.join("web", 0, 1, wire.HelloBody{})
	web.call(wire.Header{N: 1, Time: int64(time.Second)}, "1")
	web.call(wire.Header{N: 2, Time: int64(time.Hour)}, "2")
	web.call(wire.Header{N: 3, Time: int64(time.Second)}, "3")
	st.wait(time.Minute)
	if got := web.replies(); !strings.Contains(got, "1=2 no answer in time") || !strings.Contains(got, "3=2 no answer in time: the queue of w was full") {
		t.Error(got)
	}
	worker := st.join("w", 0, 2, wire.HelloBody{})
	worker.done(worker.hand(), "ok")
	if got := web.replies(); got != "2:ok, 2=0" {
		t.Error(got)
	}
}
