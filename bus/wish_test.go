package bus

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// The window remembers what a plain list would.
func TestRecentIDsAreThoseOfTheWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		span, most := rapid.Int64Range(1, 50).Draw(t, "window"), rapid.IntRange(1, 200).Draw(t, "most")
		w := newWindow(topology.Dedup{Window: time.Duration(span), Max: most})
		var plain []recentID
		now := int64(0)
		for n := range uint64(rapid.IntRange(1, 600).Draw(t, "messages")) {
			now += rapid.Int64Range(0, 2).Draw(t, "pause")
			id := msgID{1, rapid.Uint64Range(1, 300).Draw(t, "id")}
			for len(plain) > 0 && plain[0].at+span <= now {
				plain = plain[1:]
			}
			task, again := uint64(0), false
			for _, p := range plain {
				if p.id == id {
					task, again = p.task, true
				}
			}
			got, repeated := w.find(now, id)
			if repeated != again || repeated && got != task || w.count() != len(plain) || len(w.at) != len(plain) {
				t.Fatalf("message %d at %d: %v of task %d, want %v of %d; %d remembered, want %d", n, now, repeated, got, again, task, w.count(), len(plain))
			}
			if !again {
				w.add(now, id, n)
				plain = append(plain, recentID{id: id, at: now, task: n})
				plain = plain[max(0, len(plain)-most):]
			}
		}
		other := newWindow(topology.Dedup{Window: time.Duration(span), Max: most})
		other.restore(now, w.keep(now))
		if other.count() != w.count() {
			t.Errorf("%d of %d are taken over", other.count(), w.count())
		}
		if w.expire(now + span); w.count() != 0 || len(w.ring) > leastRing {
			t.Errorf("%d are left after the window, in %d places", w.count(), len(w.ring))
		}
	})
}

// What is on the wire comes out as it was meant, and nonsense does no harm.
func TestWishesOfAnEmit(t *testing.T) {
	for _, c := range []struct{ delay, limit, wantDelay, wantLimit time.Duration }{
		{0, 0, 0, 0},
		{time.Millisecond, time.Hour, time.Millisecond, time.Hour},
		{time.Nanosecond, 1500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond},
		{-time.Second, 1 << 62, 0, math.MaxUint32 * time.Millisecond},
	} {
		if d, l := wire.Spans(wire.NewSpans(c.delay, c.limit)); d != c.wantDelay || l != c.wantLimit {
			t.Errorf("%v and %v are %v and %v", c.delay, c.limit, d, l)
		}
	}
	w := sat("w")
	w.Queue.Priority, w.Queue.Dedup = 3, topology.Dedup{Window: time.Minute, Max: 10}
	st := newStage(t, sat("gen", "w"), w)
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	emit := func(flags uint8, id, m uint64, body string) {
		gen.seq++
		gen.say(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: gen.seq, Flags: flags, ID: id, M: m}, []byte(body))
	}
	emit(0, 1, 0, "first")
	emit(255, 2, 0, "as high as there is")
	emit(2, 0, wire.NewSpans(time.Hour, 0), "later")
	emit(1, 1, 0, "again")
	if got := gen.only(wire.Accepted); len(got) == 0 || got[len(got)-1].N != 4 {
		t.Errorf("%v: a repeat is accepted too", got)
	}
	wrk := st.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
	_ = wrk
	q := st.o.t.queues(st.o.now)[1]
	if q.Repeated != 1 || q.Delayed != 1 || q.Held != 1 || q.InFlight != 2 || q.Ledger.Admitted != 3 {
		t.Errorf("%+v", q)
	}
	st.ledger()
}

func TestAHeartbeatIsOfTheGapAndADeadlineOfTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sat("w")
		w.Work.Deadline, w.Work.Heartbeat = 10*time.Second, 3*time.Second
		st := newStage(t, sat("gen", "w"), w)
		gen, a := st.join("gen", 0, 1, wire.HelloBody{Source: true}), st.join("w", 0, 2, wire.HelloBody{Concurrency: 1})
		time.Sleep(time.Second)
		gen.emit("x")
		n := a.only(wire.Data)[0].N
		for range 4 {
			time.Sleep(2 * time.Second)
			a.say(&wire.Header{Kind: wire.Progress, Epoch: 7, N: n}, nil)
		}
		if len(st.faults) > 0 {
			t.Errorf("it shows progress: %v", st.faults)
		}
		time.Sleep(2 * time.Second)
		a.say(&wire.Header{Kind: wire.Progress, Epoch: 7, N: n}, nil)
		if len(st.faults) != 1 || !strings.Contains(st.faults[0], "no answer for 10s") {
			t.Errorf("after 10 s: %v", st.faults)
		}
		a.die("killed by signal 9")
		b := st.admit("w", 0, 3)
		b.hello(wire.HelloBody{Concurrency: 1})
		time.Sleep(3 * time.Second)
		st.o.now = st.o.bus.now()
		if st.turn(); len(st.faults) != 2 || !strings.Contains(st.faults[1], "no PROGRESS for 3s") {
			t.Errorf("it is silent: %v", st.faults)
		}
	})
}

func TestWhatCannotBeSentIsRefused(t *testing.T) {
	for _, opt := range []SendOptions{{Delay: -1}, {Delay: longest + 1}, {TTL: -1}, {TTL: longest + 1}, {Priority: -1}, {Priority: 10}} {
		if err := opt.apply(&message{}); kindOf(err) != KindInvalid {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	plain := message{}
	if err := (&SendOptions{Priority: 9}).apply(&plain); err != nil || plain.wish != nil || plain.level != 9 {
		t.Errorf("%+v, %v", plain, err)
	}
	if idOfText("a") == idOfText("b") || idOfText("") != (msgID{}) || idOfSource("a", 1) == idOfSource("b", 1) || idOfSource("a", 1).hi&1 == idOfText("a").hi&1 {
		t.Error("ids are taken for each other")
	}
}
