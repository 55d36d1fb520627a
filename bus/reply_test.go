package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// detach makes a detached call and returns the id of its reply, or the error.
func (st *stage) detach(to, payload string, within time.Duration) (id string, err error) {
	k := &keptReply{step: to, state: "running", accepted: func(s Sent, e error) { id, err = s.Task, e }}
	k.call = &sending{wait: true, lasting: within == 0, by: k}
	if within > 0 {
		k.call.due = st.o.bus.now() + int64(within)
	}
	st.o.now = st.o.bus.now()
	st.o.send(k.call, to, wire.Text, []byte(payload))
	st.turn()
	return id, err
}

// fetched is a reply in words.
func (st *stage) fetched(id string) string {
	n, _ := parseID(id)
	k := st.o.replies.by[n]
	if k == nil {
		return "none"
	}
	text := k.state
	for _, r := range k.results {
		text += " " + string(r.Payload)
	}
	return strings.TrimSuffix(text+": "+k.reason, ": ")
}

func TestAReplyIsKeptUntilItIsClosed(t *testing.T) {
	st := newStage(t, sat("w"))
	id, err := st.detach("w", "x", 0)
	if err != nil || st.fetched(id) != "running" {
		t.Fatal(id, err)
	}
	w := st.join("w", 0, 1, wire.HelloBody{})
	w.done(w.hand(), "a", "b")
	for range 3 {
		if got := st.fetched(id); got != "done a b" {
			t.Fatal(got)
		}
	}
	st.wait(replyAge - time.Minute)
	if st.fetched(id) == "none" {
		t.Error("given up too early")
	}
	st.wait(2 * time.Minute)
	if st.fetched(id) != "none" || st.o.replies.given != 1 || st.o.replies.bytes != 0 {
		t.Errorf("kept for ever: %+v", st.o.replies)
	}
	late, _ := st.detach("w", "x", time.Second)
	w.look()
	st.wait(time.Minute)
	if got := st.fetched(late); got != "expired: no answer in time" {
		t.Error(got)
	}
	if _, err := st.detach("nobody", "x", 0); !IsNotFound(err) {
		t.Error(err)
	}
	st.ledger()
}

func TestRepliesAreBounded(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.join("w", 0, 1, wire.HelloBody{})
	var ids []string
	for range 6 {
		id, _ := st.detach("w", "x", 0)
		w.look()
		n := w.hand()
		w.say(&wire.Header{Kind: wire.Out, Epoch: 7, N: n, Port: wire.AllLinks}, make([]byte, 15<<20))
		w.done(n)
		ids = append(ids, id)
	}
	if st.fetched(ids[0]) != "none" || st.fetched(ids[1]) != "none" || !strings.HasPrefix(st.fetched(ids[5]), "done") || st.o.replies.bytes > replyBytes {
		t.Errorf("%d bytes are kept", st.o.replies.bytes)
	}
	for range replyCount {
		if _, err := st.detach("w", "x", 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.detach("w", "x", 0); kindOf(err) != KindUnavailable {
		t.Error(err)
	}
}

func TestRepliesSurviveAnUpgrade(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.join("w", 0, 1, wire.HelloBody{})
	first, _ := st.detach("w", "1", 0)
	w.done(w.hand(), "one")
	w.say(&wire.Header{Kind: wire.Credit, Epoch: 7}, nil)
	second, _ := st.detach("w", "2", time.Hour)
	third, _ := st.detach("w", "3", time.Minute)
	st.freeze()
	next := st.successor(st.export(), sat("w"))
	w = next.join("w", 0, 2, wire.HelloBody{})
	w.look()
	w.done(w.hand(), "two")
	next.wait(2 * time.Minute)
	for id, want := range map[string]string{first: "done one", second: "done two", third: "expired: no answer in time"} {
		if got := next.fetched(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	next.ledger()
}

func TestRepliesThroughALivingBus(t *testing.T) {
	s := serve(t, sat("w"))
	sent, err := s.CallDetached(t.Context(), Call{To: "w", Payload: []byte("x")})
	if err != nil || sent.State != "accepted" {
		t.Fatalf("%+v, %v", sent, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got, err := s.Reply(ctx, sent.Task, true); err != nil || got.State != "running" {
		t.Errorf("%+v, %v", got, err)
	}
	ref, inc, env := s.admit("w", 0)
	s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, upper)
	for range 2 {
		if got, err := s.Reply(t.Context(), sent.Task, true); err != nil || got.text() != "done X" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for range 2 {
		if err := s.CloseReply(t.Context(), sent.Task); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Reply(t.Context(), sent.Task, true); !IsNotFound(err) {
		t.Error(err)
	}
	if _, err := s.Reply(t.Context(), "what", false); kindOf(err) != KindInvalid {
		t.Error(err)
	}
}

// The promise of a call to a durable step is true whenever dsatd is killed: before the answer, in the midst of several, and after it.
func TestRepliesSurviveAKill(t *testing.T) {
	sats := []*topology.Satellite{keep(sat("w", "x", "y")), keep(sat("x")), keep(sat("y"))}
	for kill := range 5 {
		t.Run(fmt.Sprint(kill), func(t *testing.T) {
			st := newStage(t, sats...)
			l := st.disk()
			k := &keptReply{step: "w", state: "running", accepted: func(Sent, error) {}}
			k.call = &sending{wait: true, lasting: true, by: k}
			st.o.send(k.call, "w", wire.Text, []byte("m"))
			st.sync(l)
			id := k.call.sent.Task
			spawn := uint32(10)
			work := func(name, output string) {
				spawn++
				a := st.arrive(name, int(spawn), spawn)
				st.sync(l)
				if n := a.hand(); n > 0 {
					var b wire.Builder
					b.Begin(&wire.Header{Kind: wire.Done, Epoch: st.o.t.epoch, N: n})
					b.Output(wire.AllLinks, wire.Text, []byte(output))
					b.End()
					a.frame(b.Frame())
				}
				st.sync(l)
			}
			for n, do := range []func(){
				func() {}, func() { work("w", "m") }, func() { work("x", "one") }, func() { work("y", "two") }, func() {},
			} {
				if do(); n == kill {
					st, l = st.killed(l, l.committed, sats...)
				}
			}
			if got := st.fetched(id); got != "done one two" {
				t.Errorf("%q", got)
			}
			n, _ := parseID(id)
			st.o.dropReply(st.o.replies.by[n])
			st.sync(l)
			if st, _ = st.killed(l, l.committed, sats...); st.fetched(id) != "none" {
				t.Error("it was closed, and is there again")
			}
			st.ledger()
		})
	}
}

// Replies do not keep the journal from shrinking, and are not lost when it does.
func TestRepliesMoveWithTheJournal(t *testing.T) {
	w := keep(sat("w"))
	st := newStage(t, w)
	l := st.disk()
	st.o.t.scroll.dead.segment, st.o.t.scroll.dead.grain = 4<<10, 1<<10
	var kept []*keptReply
	for n := range 200 {
		k := &keptReply{step: "w", state: "running", accepted: func(Sent, error) {}}
		k.call = &sending{wait: true, lasting: true, by: k}
		st.o.send(k.call, "w", wire.Text, make([]byte, 100))
		st.sync(l)
		a := st.arrive("w", n, uint32(n)+1)
		st.sync(l)
		a.done(a.hand(), fmt.Sprint(n))
		st.sync(l)
		a.die("enough")
		if kept = append(kept, k); n%10 != 0 {
			st.o.dropReply(k)
		}
		st.sync(l)
	}
	if l.released == 0 || len(l.records) > 400 {
		t.Errorf("%d records, released up to %d", len(l.records), l.released)
	}
	next, _ := st.killed(l, l.committed, w)
	for n, k := range kept {
		want := "none"
		if n%10 == 0 {
			want = "done " + fmt.Sprint(n)
		}
		if got := next.fetched(k.call.sent.Task); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
