package bus

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// TestRates counts a second's messages over both windows, through times in which nothing happened.
func TestRates(t *testing.T) {
	st := newStage(t, sat("src", "dst"), sat("dst"))
	o := st.o
	dst := o.byName["dst"]
	turn := func(at time.Duration, messages uint64) {
		before := o.now
		o.now = int64(at)
		o.measure(before)
		dst.count.admitted += messages
		dst.count.done += messages / 2
	}
	want := func(at time.Duration, short, long float64) {
		t.Helper()
		turn(at, 0) // whoever asks makes a turn
		s, l := dst.rates(o.now, paceShort), dst.rates(o.now, paceLong)
		if math.Abs(s.In-short) > 0.01*short+0.001 || math.Abs(l.In-long) > 0.01*long+0.001 || math.Abs(s.Out-s.In/2) > 0.01*short+0.001 {
			t.Errorf("at %v: %+v and %+v, want %v and %v", at, s, l, short, long)
		}
	}
	turn(time.Second, 100) // a burst, then nothing
	want(5*time.Second, 20, 20)
	want(10*time.Second, 10, 10)
	want(30*time.Second, 0, 100.0/30)
	want(59*time.Second, 0, 100.0/59)
	want(100*time.Second, 0, 0)
	for at := 100; at < 400; at++ { // a steady rate
		turn(time.Duration(at)*time.Second, 50)
	}
	o.now = int64(400 * time.Second)
	if s, l := dst.rates(o.now, paceShort), dst.rates(o.now, paceLong); math.Abs(s.In-50) > 13 || math.Abs(l.In-50) > 3 {
		t.Errorf("steadily: %+v and %+v", s, l)
	}
	turn(1000*time.Second, 6)
	want(1000*time.Second, 0.6, 0.1)
}

// TestJams says who waits for whom.
func TestJams(t *testing.T) {
	dst := sat("dst")
	dst.Queue.MaxMessages = 1
	st := newStage(t, sat("src", "mid"), sat("mid", "dst"), sat("gen", "dst"), dst, sat("free"))
	src, gen := st.join("src", 0, 1, wire.HelloBody{Source: true}), st.join("gen", 0, 2, wire.HelloBody{Source: true})
	gen.emit("1", "2")
	src.emit("3")
	q := st.o.jams(st.o.t.queues(st.o.now))
	if !slices.Equal(q[3].Blocks, []string{"mid", "gen"}) || !slices.Equal(q[1].BlockedBy, []string{"dst"}) || !slices.Equal(q[2].BlockedBy, []string{"dst"}) ||
		len(q[0].BlockedBy)+len(q[4].BlockedBy)+len(q[4].Blocks) > 0 || q[3].Full != "block" || q[3].MaxMessages != 1 {
		t.Errorf("%+v", q)
	}
}
