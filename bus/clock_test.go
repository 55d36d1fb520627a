package bus

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

func TestTimeInWhichWeDidNotRunDoesNotCount(t *testing.T) {
	c := clock{}
	at := func(raw, due, want, gap int64) {
		t.Helper()
		c.due = due
		if now, left := c.tell(raw * second); now != want*second || left != gap*second {
			t.Errorf("at %d s, with a timer at %d s, it is %d s and %d s are left out; want %d and %d", raw, due/second, now/second, left/second, want, gap)
		}
	}
	at(5, 0, 5, 0)             // nothing was waited for
	at(6, 7*second, 6, 0)      // woken before the timer
	at(8, 8*second-2, 8, 0)    // in time
	at(100, 11*second, 10, 90) // paused
	at(101, 12*second, 11, 0)  // and on from there
	at(200, 12*second, 11, 99) // the clock never goes back
}

// After a pause of the whole daemon a worker whose answers are still to be read is not late.
func TestAPauseFiresNoDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sat("w")
		w.Work.Deadline = 10 * time.Second
		st := newStage(t, sat("gen", "w"), w)
		o := st.o
		gen, a := st.join("gen", 0, 1, wire.HelloBody{Source: true}), st.join("w", 0, 2, wire.HelloBody{Concurrency: 4})
		time.Sleep(time.Second)
		gen.emit("1", "2", "3")
		o.clock.due = o.t.next()
		time.Sleep(time.Hour)
		o.turn()
		st.turn()
		if len(st.faults) > 0 || o.clock.lost < int64(time.Hour)-int64(11*time.Second) {
			t.Errorf("%v are left out, and %v", time.Duration(o.clock.lost), st.faults)
		}
		if n := len(a.only(wire.Data)); n != 3 {
			t.Errorf("%d messages", n)
		}
		time.Sleep(2 * time.Second) // the answers have not come
		o.turn()
		if st.turn(); len(st.faults) != 1 {
			t.Errorf("%v", st.faults)
		}
		if q := o.t.queues(o.now); q[1].OldestAge > 11*time.Second {
			t.Errorf("the oldest is said to be %v old", q[1].OldestAge)
		}
	})
}

// What was to come at a time of day comes by it, though the machine slept meanwhile.
func TestSuspendedTimeBringsDelayedMessages(t *testing.T) {
	st := newStage(t, sat("w"))
	w := st.o.byName["w"]
	for _, after := range []int64{10, 3600, 100} {
		m := message{from: outside, wish: &wish{delay: after * second}, body: st.o.t.bodies.copy([]byte("x"))}
		st.o.t.inject(0, w, m, none)
	}
	st.o.t.slept(200 * second)
	if st.o.t.tick(1); w.waiting.count != 2 || len(w.later) != 1 || w.later[0].due != 3400*second {
		t.Errorf("%d wait, %+v are delayed", w.waiting.count, w.later)
	}
	st.o.clock.boot = 1
	if at := st.o.awake(); at != st.o.now+sleepLook {
		t.Errorf("looks again at %d", at)
	}
	st.o.t.purge(0, w)
	if st.o.awake() != 0 {
		t.Error("looks though nothing is delayed")
	}
	st.ledger()
}
