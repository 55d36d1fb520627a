package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

func (st *stage) ping(a *actor) chan error {
	c := make(chan error, 1)
	st.o.ping(a.ref, a.inc, c)
	st.turn()
	return c
}

func (a *actor) pong(n uint64) { a.say(&wire.Header{Kind: wire.Pong, Epoch: 7, N: n}, nil) }

func TestPingIsAnsweredByTheSession(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.join("w", 0, 2, wire.HelloBody{})
	first, second := st.ping(w), st.ping(w)
	asked := w.only(wire.Ping)
	if len(asked) != 1 {
		t.Fatalf("%d PINGs, want one for both", len(asked))
	}
	w.pong(asked[0].N + 1)
	if len(first) > 0 {
		t.Fatal("another number was taken for the answer")
	}
	w.pong(asked[0].N)
	if len(first) != 1 || len(second) != 1 || <-first != nil || <-second != nil {
		t.Fatal("not both were answered")
	}
	w.pong(asked[0].N) // once more: nobody waits
	if again := st.ping(w); len(w.only(wire.Ping)) != 1 || len(again) > 0 {
		t.Error("the next one has to be asked anew")
	}
}

func TestPingOfASessionThatEnds(t *testing.T) {
	for name, end := range map[string]func(w *actor){
		"dies":                 func(w *actor) { w.die("killed") },
		"says BYE":             func(w *actor) { w.say(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil); w.pong(1) },
		"breaks the protocol":  func(w *actor) { w.frame([]byte(strings.Repeat("x", 64))) },
		"dies and comes again": func(w *actor) { w.die("killed"); w.st.join("w", 0, 3, wire.HelloBody{}) },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, sat("w"))
			w := st.join("w", 0, 2, wire.HelloBody{})
			c := st.ping(w)
			end(w)
			if len(c) != 1 || kindOf(<-c) != KindUnavailable {
				t.Fatal("want an answer that the session ended")
			}
			if c := st.ping(w); len(c) != 1 || kindOf(<-c) == "" {
				t.Error("want an error for a session that is over")
			}
			if name == "says BYE" && len(st.faults) > 0 {
				t.Error("a PONG that crossed the BYE is no fault", st.faults)
			}
		})
	}
}

func TestWhoCannotBePinged(t *testing.T) {
	st := newStage(t, sat("w"), filterSat(topology.SpeaksLines, ""))
	early, filter := st.admit("w", 0, 2), st.admit("f", 0, 3)
	stranger := &actor{st: st, ref: topology.Ref{Name: "nobody"}, inc: 1}
	for _, c := range []struct {
		who  *actor
		kind Kind
		text string
	}{{early, KindUnavailable, "HELLO"}, {filter, KindInvalid, "filter"}, {stranger, KindNotFound, "nobody:0"}} {
		if err := <-st.ping(c.who); kindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: %v", c.who.ref, err)
		}
	}
}

func TestPingEndsWithItsContext(t *testing.T) {
	s := serve(t, sat("w"))
	ref, inc, _ := s.admit("w", 0)
	silent := newPeer(&fake{}, s.pool)
	b := wire.AppendJSON(nil, &wire.HelloBody{Step: "w", Incarnation: uint64(inc), Token: s.token(ref, inc)})
	var f wire.Builder
	f.Add(&wire.Header{Kind: wire.Hello}, b)
	s.deliver(inbound{peer: silent, frame: f.Frame()})
	s.expect("hello w:0")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("too slow"))
	if err := s.Ping(ctx, ref, inc); kindOf(err) != KindTimeout || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("%v", err)
	}
	left, err := ask(t.Context(), s.Bus, func(o *orchester) (int, error) { return len(o.instances[ref].sess.ping.askers), nil })
	if left != 0 || err != nil {
		t.Errorf("%d wait still, %v", left, err)
	}
}

func TestProgress(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksLines, ""))
	f := s.spawnFilter()
	got := s.send("one")
	f.line()
	if n, oldest, silent := s.Progress(f.ref); n != 1 || oldest <= 0 || silent < oldest {
		t.Errorf("%d in hand for %v, silent for %v", n, oldest, silent)
	}
	f.say("ONE\n")
	<-got
	if n, oldest, _ := s.Progress(f.ref); n != 0 || oldest != 0 {
		t.Errorf("%d in hand for %v", n, oldest)
	}
	if n, oldest, silent := s.Progress(topology.Ref{Name: "nobody"}); n != 0 || oldest != 0 || silent != 0 {
		t.Error("progress of nobody")
	}
	f.exit(s, "exit code 0")
}

func TestProgressCountsFromTheLastAnswer(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.emit("1", "2")
	silent := func() time.Duration { return time.Duration(st.o.now - w.p.sess.heard).Round(time.Minute) }
	st.wait(time.Hour)
	if silent() != time.Hour {
		t.Errorf("silent for %v", silent())
	}
	w.say(&wire.Header{Kind: wire.Progress, Epoch: 7, N: w.hand()}, nil)
	if silent() != 0 {
		t.Errorf("silent for %v after PROGRESS", silent())
	}
	st.wait(time.Hour)
	w.done(w.hand())
	if silent() != 0 {
		t.Errorf("silent for %v after DONE", silent())
	}
}
