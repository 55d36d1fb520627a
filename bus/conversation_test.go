package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// say sends a message of a session from outside.
func (st *stage) say(to, session, payload string) *outsider {
	return st.ask(&sending{wait: true, session: session, due: st.o.bus.now() + int64(time.Hour)}, to, payload)
}

// topical joins an instance that understands TOPIC.
func (st *stage) topical(name string, wid int, spawn uint32) *actor {
	a := st.admit(name, wid, spawn)
	a.hello(wire.HelloBody{Topics: true})
	a.look()
	return a
}

func TestASessionGoesToOneInstanceInOrder(t *testing.T) {
	st := newStage(t, sat("w"))
	before := st.say("w", "a", "0") // there is no instance yet
	one, two := st.topical("w", 0, 1), st.topical("w", 1, 2)
	at := map[string]*actor{"a": one, "b": two}
	if one.p.sess.hand.live != 1 {
		t.Fatal("the first message waits still")
	}
	var outs []*outsider
	for n := range 3 {
		outs = append(outs, st.say("w", "a", fmt.Sprint("a", n)), st.say("w", "b", fmt.Sprint("b", n)))
	}
	plain := st.ask(&sending{wait: true}, "w", "plain")
	for range 20 {
		for name, a := range at {
			topics := map[uint64]string{}
			for _, r := range a.look() {
				var topic wire.TopicBody
				if r.Kind == wire.Topic && wire.ParseJSON(&r, &topic) == nil {
					topics[r.N] = topic.Session
				}
				if r.Kind == wire.Data && strings.HasPrefix(string(r.Body), "b") != (topics[r.N] == "b") {
					t.Errorf("%s got %q of session %q", name, r.Body, topics[r.N])
				}
			}
			if n := a.hand(); n > 0 {
				a.done(n, string(st.inHand(a))+"@"+name)
			}
		}
	}
	if got := before.state(t); got != "done 0@a" {
		t.Error(got)
	}
	for k, out := range outs {
		session, n := "ab"[k%2:k%2+1], k/2
		if got, want := out.state(t), fmt.Sprintf("done %s%d@%s", session, n, session); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := plain.state(t); !strings.HasPrefix(got, "done plain") {
		t.Error(got)
	}
	st.ledger()
}

// What is unanswered when the instance ends is lost, in its hand, waiting for it or held for a retry, and goes to nobody else.
func TestASessionIsLostWithItsInstance(t *testing.T) {
	for name, do := range map[string]func(st *stage, w *actor){
		"in hand": func(*stage, *actor) {},
		"held": func(_ *stage, w *actor) {
			w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand(), Flags: wire.FlagRetry}, nil)
		},
		"waiting": func(_ *stage, w *actor) { w.p.sess.open = false },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, sat("w"))
			w := st.topical("w", 0, 1)
			if name == "waiting" {
				w.say(&wire.Header{Kind: wire.Credit, Epoch: 7, N: 1, M: 1 << 20}, nil)
				st.ask(&sending{}, "w", "in the way")
			}
			first, second := st.say("w", "a", "1"), st.say("w", "a", "2")
			do(st, w)
			other := st.topical("w", 1, 2)
			w.die("killed by signal 9")
			st.wait(time.Minute)
			for _, out := range []*outsider{first, second} {
				if got := out.state(t); got != "lost: its session with w:0 is lost: killed by signal 9" {
					t.Error(got)
				}
			}
			if name != "waiting" && other.p.sess.hand.live > 0 {
				t.Error("it went to another instance")
			}
			third := st.say("w", "a", "3")
			for other.p.sess.hand.live > 0 {
				other.done(other.hand(), "ok")
			}
			if got := third.state(t); got != "done ok" {
				t.Errorf("a new session: %q", got)
			}
			if l := st.ledger(); l.InFlight+l.Held > 0 || len(st.o.byName["w"].pins) > 0 || len(st.o.waiters) > 0 {
				t.Errorf("something is left: %+v", l)
			}
		})
	}
}

func TestTheNextMessageIsToldOfASessionThatEndedUnheard(t *testing.T) {
	for name, end := range map[string]func(st *stage, w *actor){
		"killed":   func(_ *stage, w *actor) { w.die("killed") },
		"not used": func(st *stage, _ *actor) { st.wait(2 * conversationIdle); st.wait(time.Second) },
	} {
		st := newStage(t, sat("w"))
		w := st.topical("w", 0, 1)
		first := st.say("w", "a", "1")
		w.done(w.hand())
		if got := first.state(t); got != "done" {
			t.Fatal(got)
		}
		end(st, w)
		w = st.topical("w", 1, 2)
		out := st.say("w", "a", "2")
		if got := out.state(t); name == "killed" && !strings.HasPrefix(got, "lost: its session with w:0 is lost: killed") {
			t.Errorf("%s: %q", name, got)
		} else if name != "killed" && !strings.HasPrefix(got, "lost: its session was not used for") {
			t.Errorf("%s: %q", name, got)
		}
		if st.say("w", "a", "3"); w.p.sess.hand.live+st.o.byName["w"].bound.count == 0 && len(st.o.waiters) == 0 {
			t.Errorf("%s: no new session", name)
		}
	}
}

func TestSessionsEndByDeadlinesChangesAndUpgrades(t *testing.T) {
	st := newStage(t, sat("w"), keep(sat("d")))
	w := st.topical("w", 0, 1)
	late := st.ask(&sending{wait: true, session: "a", due: st.o.bus.now() + int64(time.Second)}, "w", "late")
	next := st.say("w", "a", "next")
	st.wait(time.Minute)
	if got := late.state(t); got != "expired: no answer in time" {
		t.Error(got)
	}
	w.done(w.hand(), "ok")
	if got := next.state(t); got != "done ok" {
		t.Errorf("the one behind it: %q", got)
	}
	if got := st.say("d", "a", "x").state(t); !strings.Contains(got, "its queue is durable") {
		t.Error(got)
	}
	gone := st.say("w", "b", "x")
	st.mustApply(ApplyOptions{Discard: map[string]bool{"w": true}}, sat("x"), keep(sat("d")))
	if got := gone.state(t); !strings.Contains(got, "removed from the topology") {
		t.Error(got)
	}
	st.topical("x", 0, 5).say(&wire.Header{Kind: wire.Credit, Epoch: 7}, nil)
	last, behind := st.say("x", "c", "1"), st.say("x", "c", "2")
	st.freeze()
	st.o.gather()
	for _, out := range []*outsider{last, behind} {
		if got := out.state(t); got != "lost: its session is lost: dsatd was replaced" {
			t.Error(got)
		}
	}
	if l := st.ledger(); l.Held != 0 {
		t.Errorf("%+v", l)
	}
}

func TestASatelliteHoldsSessions(t *testing.T) {
	st := newStage(t, caller("web", "w"), sat("w"))
	web, one := st.join("web", 0, 1, wire.HelloBody{}), st.topical("w", 0, 2)
	st.topical("w", 1, 3)
	web.call(wire.Header{N: 1, ID: 7}, "x")
	web.call(wire.Header{N: 2, ID: 7}, "y")
	topic := wire.TopicBody{}
	for _, r := range one.look() {
		if r.Kind == wire.Topic {
			_ = wire.ParseJSON(&r, &topic)
		}
	}
	if topic.Session != "web:0/7" {
		t.Errorf("%+v", topic)
	}
	one.done(one.hand(), "one")
	one.die("killed")
	if got := web.replies(); got != "1:one, 1=0, 2=3 its session with w:0 is lost: killed" {
		t.Error(got)
	}
	web.call(wire.Header{N: 3, ID: 7}, "z")
	web.die("killed")
	if l := st.ledger(); l.InFlight+l.Held > 0 || len(st.o.talks.by) > 0 {
		t.Errorf("%+v, %d sessions", l, len(st.o.talks.by))
	}
}

func TestSessionsAreBounded(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.topical("w", 0, 1)
	for n := range mostConversations {
		st.say("w", fmt.Sprint(n), "x")
		for w.p.sess.hand.live > 0 {
			w.done(w.hand())
		}
		if n%100 == 0 {
			w.look()
		}
	}
	if got := st.say("w", "more", "x").state(t); !strings.Contains(got, "cannot begin another session") {
		t.Error(got)
	}
	st.wait(conversationIdle + time.Second)
	st.wait(conversationIdle + time.Second)
	st.wait(conversationIdle + time.Second)
	if n := len(st.o.talks.by); n > 0 {
		t.Errorf("%d are kept for ever", n)
	}
	for name, ok := range map[string]bool{"": true, "a-B_9.x": true, "a b": false, "ä": false, strings.Repeat("x", 65): false, "a/b": false} {
		if err := checkSession(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
