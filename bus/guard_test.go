package bus

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

const second = int64(time.Second)

func ruleOf() topology.Breaker {
	return topology.Breaker{Then: topology.BreakerHold, Consecutive: 5, Ratio: 0.5, Samples: 20, Window: 10 * time.Second,
		Open: 5 * time.Second, Max: 30 * time.Second, Close: 5}
}

func TestBreakerOpensTriesAndCloses(t *testing.T) {
	b := &breaker{rule: ruleOf()}
	n, now := uint64(0), int64(0)
	fail := func() bool { n++; return b.failure(now, n) }
	good := func() { n++; b.success(now, n) }
	want := func(state breakerState, admits int) {
		t.Helper()
		b.look(now, n+1)
		if b.state != state || b.admits() != admits {
			t.Fatalf("%v admits %d at %ds, want %v and %d", b.state, b.admits(), now/second, state, admits)
		}
	}
	for range 4 {
		fail()
	}
	good()
	for range 4 {
		fail()
	}
	want(closed, math.MaxInt)
	if !fail() || b.why != "5 failures in a row" {
		t.Fatalf("five in a row do not open it: %q", b.why)
	}
	want(open, 0)
	for _, wait := range []int64{5, 10, 20, 30, 30} { // doubled, up to the most
		now += wait*second - 1
		want(open, 0)
		now++
		want(halfOpen, 1)
		b.failure(now, b.first-1) // of before
		want(halfOpen, 1)
		good()
		want(halfOpen, 2)
		fail()
	}
	now += 30 * second
	for _, admits := range []int{1, 2, 3, 4, 5} {
		want(halfOpen, admits)
		good()
	}
	want(closed, math.MaxInt)
	for range 4 {
		fail()
	}
	want(closed, math.MaxInt)
	fail()
	now += 5 * second // from the beginning again
	want(halfOpen, 1)
}

func TestBreakerOpensByShare(t *testing.T) {
	b := &breaker{rule: ruleOf()}
	now := int64(0)
	for i := range 19 {
		now += second / 4
		if i%2 == 0 {
			b.failure(now, 1)
		} else {
			b.success(now, 1)
		}
	}
	if b.state != closed {
		t.Fatal("19 samples are not enough")
	}
	b.success(now, 1)
	if b.state != closed || !b.failure(now, 1) || !strings.Contains(b.why, "11 of 21") {
		t.Fatalf("%v %q", b.state, b.why)
	}
	old := &breaker{rule: ruleOf()}
	for range 19 {
		old.failure(0, 1)
		old.success(0, 1)
		old.row = 0
	}
	if old.state == closed {
		t.Fatal("38 answers of which half are bad")
	}
	old = &breaker{rule: ruleOf()}
	for range 4 {
		old.failure(0, 1)
	}
	old.row = 0
	for range 16 {
		old.success(11*second, 1)
	}
	if old.failure(11*second, 1) {
		t.Error("what is older than the window counts")
	}
}

// A bucket lets through what its rate says and no more, whatever the times.
func TestBucketKeepsItsRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := topology.Rate{N: rapid.IntRange(1, 1000).Draw(t, "n"), Per: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "per")}
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		b := newBucket(r, burst)
		now, passed := int64(0), 0
		for range 200 {
			now += rapid.Int64Range(0, 3*b.every).Draw(t, "pause")
			n := b.available(now)
			if n == 0 {
				if next := b.next(); next <= now || b.available(next) < 1 || b.available(next-1) > 0 {
					t.Fatalf("the next is said to pass at %d, now is %d", next, now)
				}
			}
			n = rapid.IntRange(0, n).Draw(t, "take")
			b.take(now, n)
			if passed += n; int64(passed) > int64(burst)+now/b.every {
				t.Fatalf("%d passed within %d ns at one per %d, burst %d", passed, now, b.every, burst)
			}
		}
	})
}

func TestBudgetFollowsTheFirstAttempts(t *testing.T) {
	b := newBudget(topology.Budget{Share: 0.1, Rate: topology.Rate{N: 10, Per: time.Second}})
	took := func(now int64) (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	if n := took(0); n != 100 {
		t.Errorf("%d retries at rest, want those of 10 s", n)
	}
	if n := took(second); n != 10 || b.dry != second {
		t.Errorf("%d retries a second later, found dry at %d", n, b.dry)
	}
	b.firsts += 500
	if n := took(second); n != 50 {
		t.Errorf("%d retries for 500 first attempts", n)
	}
	b.firsts += 1 << 20
	if n := took(second); n != mostSaved {
		t.Errorf("%d retries are saved for bad times", n)
	}
	free := newBudget(topology.Budget{})
	for range 1000 {
		if !free.take(0) {
			t.Fatal("no budget is a budget")
		}
	}
}

// A breaker with a fallback: what comes while it is open goes there, with its task, and the ledger knows.
func TestAnOpenBreakerTurnsToItsFallback(t *testing.T) {
	a := sat("a")
	a.Breaker = ruleOf()
	a.Breaker.Then, a.Breaker.Fallback, a.Breaker.Consecutive = topology.BreakerFallback, "b", 2
	a.Work.Retries = 0
	st := newStage(t, sat("gen", "a"), a, sat("b"))
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	wa, wb := st.join("a", 0, 2, wire.HelloBody{Concurrency: 1}), st.join("b", 0, 3, wire.HelloBody{Concurrency: 1})
	gen.emit("1", "2")
	for _, r := range wa.only(wire.Data) {
		wa.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: r.N}, []byte("away"))
	}
	gen.emit("3", "4")
	got := wb.only(wire.Data)
	if len(got) != 2 || string(got[0].Body) != "3" || string(got[1].Body) != "4" || got[0].Port != wire.AllLinks {
		t.Fatalf("%v", got)
	}
	if len(wa.only(wire.Data)) != 0 {
		t.Error("the step is given work though its breaker is open")
	}
	wb.done(got[0].N)
	wb.done(got[1].N)
	if l := st.ledger(); l.Diverted != 2 || l.Quarantined != 2 || l.Done != 2 || l.Admitted != 6 {
		t.Errorf("%+v", l)
	}
	if task, _ := st.o.t.findTask(0, got[0].M); task.State != "done" || len(task.Hops) != 2 {
		t.Errorf("%+v", task)
	}
	q := st.o.t.queues(st.o.now)
	if q[1].Breaker != "open" || q[1].OpenFor <= 0 || q[1].Opened != 1 || q[2].Breaker != "" {
		t.Errorf("%+v", q[1])
	}
}

// Processes that die before they are given anything count too: a crash-looping step opens its breaker.
func TestACrashLoopOpensTheBreaker(t *testing.T) {
	a := sat("a")
	a.Breaker = ruleOf()
	st := newStage(t, sat("gen", "a"), a)
	for i := range uint32(5) {
		x := st.admit("a", 0, 1+i)
		st.o.gone(x.ref, x.inc, "exit code 1", nil)
		st.turn()
	}
	if q := st.o.t.queues(0); q[1].Breaker != "open" {
		t.Errorf("%+v", q[1])
	}
	calm := st.admit("a", 0, 9)
	st.o.drain(calm.ref, calm.inc, make(chan struct{}))
	before := st.o.t.steps[1].guard.breaker.row
	st.o.gone(calm.ref, calm.inc, "exit code 0", nil)
	if st.o.t.steps[1].guard.breaker.row != before {
		t.Error("a stop that was asked for counts")
	}
}
