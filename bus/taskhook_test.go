package bus

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// hookedSat is a satellite with a command and a message.
func hookedSat(name string, to ...string) *topology.Satellite {
	s := sat(name, to...)
	s.OnDone = &topology.TaskHook{Hook: topology.Hook{Command: []string{"archive"}}}
	s.OnFailed = &topology.TaskHook{To: "mail"}
	return s
}

// commands makes a stage whose hooks are kept; those that are over are told so.
func (st *stage) commands() *[]TaskEnd {
	ends := &[]TaskEnd{}
	st.o.bus.cfg.TaskHook = func(e TaskEnd, done func()) {
		*ends = append(*ends, e)
		done()
	}
	return ends
}

func TestTheEndOfATaskIsToldOnce(t *testing.T) {
	st := newStage(t, hookedSat("gen", "w"), sat("w", "x", "y"), sat("x"), sat("y"), sat("mail"))
	ends := st.commands()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	x, y, mail := st.join("x", 0, 3, wire.HelloBody{}), st.join("y", 0, 4, wire.HelloBody{}), st.join("mail", 0, 5, wire.HelloBody{})
	gen.emit("good", "bad")
	w.look()
	w.done(w.hand(), "1")
	x.done(x.hand())
	if len(*ends) > 0 {
		t.Fatal("the half of it is not done")
	}
	y.done(y.hand())
	if got := *ends; len(got) != 1 || got[0].State != "done" || got[0].Hops != 3 || got[0].Failed != 0 || got[0].Step != "gen" || got[0].Hook.Command[0] != "archive" {
		t.Errorf("%+v", got)
	}
	w.done(w.hand(), "2")
	x.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: x.hand()}, []byte("no \"room\""))
	y.done(y.hand())
	data := mail.only(wire.Data)
	if len(data) != 1 || data[0].Codec != wire.JSON {
		t.Fatalf("%+v", data)
	}
	var told struct {
		Task, State, Reason, Step string
		Hops, Failed              int
	}
	if err := json.Unmarshal(data[0].Body, &told); err != nil || told.State != "failed" || told.Reason != `x: no "room"` || told.Step != "gen" || told.Hops != 3 || told.Failed != 1 {
		t.Errorf("%s, %v", data[0].Body, err)
	}
	mail.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: mail.hand()}, []byte("it fails too"))
	st.wait(time.Minute)
	if got := st.o.hooks.HookCounts; got != (HookCounts{Commands: 1, Messages: 1}) || len(*ends) != 1 {
		t.Errorf("%+v, %+v", got, *ends)
	}
	st.ledger()
}

// A message about a task calls no hook of its own, even where every satellite has one.
func TestHooksMakeNoLoops(t *testing.T) {
	mail := hookedSat("mail")
	mail.OnDone = &topology.TaskHook{To: "mail"}
	st := newStage(t, mail)
	m := st.join("mail", 0, 1, wire.HelloBody{})
	st.ask(&sending{}, "mail", "x")
	for range 10 {
		m.look()
		if n := m.hand(); n > 0 {
			m.done(n)
		}
	}
	if l := st.ledger(); l.Done != 2 || st.o.hooks.Messages != 1 {
		t.Errorf("%+v, %+v", l, st.o.hooks.HookCounts)
	}
}

func TestAStormOfFailuresSkipsHooksAndTells(t *testing.T) {
	gen := sat("gen", "w")
	gen.OnFailed = &topology.TaskHook{Hook: topology.Hook{Command: []string{"x"}}}
	st := newStage(t, gen, sat("w"))
	var told []string
	st.o.bus.cfg.Event = func(e Event) { told = append(told, e.Text) }
	begun := 0
	st.o.bus.cfg.TaskHook = func(TaskEnd, func()) { begun++ } // none is ever over
	g, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	for range mostHooks + 300 {
		g.emit("x")
		w.look()
		w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand()}, nil)
	}
	st.wait(time.Minute)
	if begun != mostHooks || st.o.hooks.Skipped != 300 {
		t.Errorf("%d begun, %+v", begun, st.o.hooks.HookCounts)
	}
	sum := 0
	for _, text := range told {
		n := 0
		if _, err := fmt.Sscanf(text, "skipped the hooks of %d tasks", &n); err == nil {
			sum += n
		}
	}
	if sum != 300 || len(told) > 2 {
		t.Errorf("%d of 300 told: %q", sum, told)
	}
	idle := make(chan struct{})
	st.o.idle = append(st.o.idle, idle)
	st.turn()
	select {
	case <-idle:
		t.Error("idle with commands that run")
	default:
	}
}

// What ends while the bus is frozen is told by the next daemon; messages about tasks go along whether there is room or not.
func TestHooksSurviveAnUpgrade(t *testing.T) {
	w, mail := hookedSat("w"), sat("mail")
	w.Queue.TTL, mail.Queue.MaxMessages = time.Second, 1
	w.OnFailed = &topology.TaskHook{Hook: topology.Hook{Command: []string{"x"}}}
	gen := hookedSat("gen", "w")
	st := newStage(t, gen, w, mail)
	st.commands()
	g := st.join("gen", 0, 1, source)
	g.emit("1", "2")
	st.ask(&sending{}, "w", "3")
	st.freeze()
	st.wait(time.Minute) // all expire: two messages, a command
	next := st.successor(st.export(), gen, w, mail)
	ends := next.commands()
	next.turn()
	if got := *ends; len(got) != 1 || got[0].Step != "w" || got[0].State != "failed" || !strings.Contains(got[0].Reason, "ttl") || got[0].Hook.Command[0] != "x" {
		t.Errorf("%+v", got)
	}
	if n := len(next.admitted("mail")); n != 2 {
		t.Errorf("%d messages about tasks, want 2", n)
	}
	next.ledger()
}

// What follows the end of a durable task is done at least once, wherever dsatd is killed, and not again once that is on disk.
func TestHooksOfDurableTasksSurviveAKill(t *testing.T) {
	w, mail := keep(hookedSat("w")), keep(sat("mail"))
	for kill := range 5 {
		st := newStage(t, w, mail)
		l := st.disk()
		var called []TaskEnd
		var over func()
		hook := func(st *stage) {
			st.o.bus.cfg.TaskHook = func(e TaskEnd, done func()) { called, over = append(called, e), done }
		}
		hook(st)
		good := &sending{}
		st.ask(good, "w", "good")
		bad := &sending{}
		st.ask(bad, "w", "bad")
		st.sync(l)
		step := func(n int) {
			if kill == n {
				st, l = st.killed(l, l.committed, w, mail)
				hook(st)
				st.sync(l)
			}
		}
		step(0)
		a := st.arrive("w", kill, uint32(kill)+1)
		st.sync(l)
		_, ns := a.bodies()
		a.say(&wire.Header{Kind: wire.Done, Epoch: st.o.t.epoch, N: ns[0]}, nil)
		a.say(&wire.Header{Kind: wire.Fail, Epoch: st.o.t.epoch, N: ns[1]}, []byte("no"))
		if len(called) > 0 {
			t.Errorf("%d: called before the end of the task is on disk", kill)
		}
		step(1) // before the end was on disk: it is handled again
		if kill == 1 {
			a = st.arrive("w", kill, 9)
			st.sync(l)
			_, ns = a.bodies()
			a.say(&wire.Header{Kind: wire.Done, Epoch: st.o.t.epoch, N: ns[0]}, nil)
			a.say(&wire.Header{Kind: wire.Fail, Epoch: st.o.t.epoch, N: ns[1]}, []byte("no"))
		}
		st.sync(l)
		step(2) // it was begun, and nobody knows how it ended: again
		if len(called) == 0 || called[0].Task != good.sent.Task || called[0].State != "done" || called[0].Step != "w" || called[0].Hook == nil {
			t.Fatalf("%d: %+v", kill, called)
		}
		if want := map[int]int{2: 2}[kill]; len(called) != max(want, 1) {
			t.Errorf("%d: called %d times", kill, len(called))
		}
		over()
		st.sync(l)
		st.sync(l)
		n := len(called)
		step(3)
		step(4)
		if len(called) != n || len(st.o.t.scroll.hooks) > 0 {
			t.Errorf("%d: called again, %d are owed", kill, len(st.o.t.scroll.hooks))
		}
		if got := st.admitted("mail"); len(got) != 1 || !strings.Contains(got[0], bad.sent.Task) || !strings.Contains(got[0], `"state":"failed"`) {
			t.Errorf("%d: %q", kill, got)
		}
		st.ledger()
	}
}
