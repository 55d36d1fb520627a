package bus

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// as emits a message with a wish.
func (a *actor) as(id uint64, ttl time.Duration, body string) {
	a.seq++
	a.say(&wire.Header{Kind: wire.Emit, Epoch: a.st.o.t.epoch, Port: wire.AllLinks, N: a.seq, ID: id, M: wire.NewSpans(0, ttl)}, []byte(body))
}

// shifted lets the clock of the day be set between a daemon and the next one: what the log says was so much later.
func (l *fakeLog) shifted(by time.Duration) *fakeLog {
	c := &fakeLog{seq: l.seq, at: l.at, committed: l.committed, now: l.now}
	for _, r := range l.records {
		r.Time += int64(by)
		c.records = append(c.records, r)
	}
	return c
}

func windowed(name string) *topology.Satellite {
	s := keep(sat(name))
	s.Queue.Dedup = topology.Dedup{Window: time.Hour, Max: 3}
	return s
}

// A source that repeats a message under its id, because it was killed together with dsatd and knows of no answer, is not to have it worked
// on twice: after a kill of dsatd a durable queue knows the ids it knew before.
func TestIDsSurviveAKill(t *testing.T) {
	sats := func() []*topology.Satellite { return []*topology.Satellite{sat("gen", "w"), windowed("w")} }
	st := newStage(t, sats()...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.as(1, 0, "one")
	st.sync(l)
	gen.as(2, 0, "two")
	unwritten := l.seq - 1
	st.sync(l)
	repeat := func(next *stage, log *fakeLog) (repeated uint64) {
		t.Helper()
		g := next.join("gen", 0, uint32(100+log.seq), source)
		for id := range uint64(2) {
			g.as(id+1, 0, "again")
		}
		next.sync(log)
		if n := g.accepted(); n != 2 {
			t.Errorf("a repeat is accepted too: %d", n)
		}
		next.ledger()
		return next.o.byName["w"].count.repeated
	}
	for _, c := range []struct {
		what string
		log  *fakeLog
		upto uint64
		want uint64
	}{
		{"both are on disk", l, l.seq, 2},
		{"the second one is not, and neither is its message", l, unwritten, 1},
		{"the clock was set forward by more than the window", l.shifted(-2 * time.Hour), l.seq, 0},
		{"the clock was set back", l.shifted(2 * time.Hour), l.seq, 2},
	} {
		next, log := st.killed(c.log, c.upto, sats()...)
		if got := repeat(next, log); got != c.want {
			t.Errorf("%s: %d repeats were known, want %d", c.what, got, c.want)
		}
		third, log := next.killed(log, log.seq, sats()...)
		if got := repeat(third, log); got != 2 {
			t.Errorf("%s, killed again: %d repeats were known, want 2", c.what, got)
		}
	}
	plain, _ := st.killed(l, l.seq, sat("gen", "w"), sat("w"))
	if plain.o.byName["w"].seen != nil {
		t.Error("a window where there is none")
	}
	plain.ledger()
}

// The ids of a queue that is not durable any more are forgotten with its messages.
func TestIDsFollowTheClassOfTheirQueue(t *testing.T) {
	tracked := func() *topology.Satellite {
		s := windowed("w")
		s.Queue.Delivery = topology.DeliveryTracked
		return s
	}
	st := newStage(t, sat("gen", "w"), windowed("w"))
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.as(1, 0, "one")
	st.sync(l)
	st.mustApply(ApplyOptions{}, sat("gen", "w"), tracked())
	gen.as(2, 0, "two")
	st.sync(l)
	lost, _ := st.killed(l, l.seq, sat("gen", "w"), windowed("w"))
	if n := lost.o.byName["w"].seen.count(); n != 0 || lost.ledger().Admitted != 0 {
		t.Errorf("%d ids of messages that are lost", n)
	}
	st.mustApply(ApplyOptions{Moved: map[string]string{"w": "v"}}, sat("gen", "v"), func() *topology.Satellite { s := windowed("v"); return s }())
	st.sync(l)
	kept, _ := st.killed(l, l.seq, sat("gen", "v"), windowed("v"))
	if n := kept.o.byName["v"].seen.count(); n != 2 || kept.ledger().Admitted != 2 {
		t.Errorf("%d ids of %+v", n, kept.ledger())
	}
	st.mustApply(ApplyOptions{Discard: map[string]bool{"v": true}}, sat("gen"))
	st.sync(l)
	back, _ := st.killed(l, l.seq, sat("gen", "v"), windowed("v"))
	if n := back.o.byName["v"].seen.count(); n != 0 {
		t.Errorf("%d ids of a step that was removed", n)
	}
	back.ledger()
}

// A task that must have ended in a minute must, whatever happens to dsatd: the time in which it was dead counts.
func TestTheLimitOfATaskSurvivesAKill(t *testing.T) {
	sats := func() []*topology.Satellite {
		return []*topology.Satellite{sat("gen", "w"), keep(sat("w", "x")), keep(sat("x"))}
	}
	st := newStage(t, sats()...)
	l := st.disk()
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	gen.as(0, time.Minute, "in a minute")
	gen.emit("whenever")
	st.sync(l)
	_, n := w.bodies()
	w.done(n[0], "of the second step")
	st.sync(l)
	for _, c := range []struct {
		dead     time.Duration // by the clock of the day
		wait     time.Duration
		want     uint64
		wantSoon uint64
	}{
		{dead: 10 * time.Second, wait: 49 * time.Second, want: 0, wantSoon: 1},
		{dead: time.Hour, wait: time.Second, want: 1, wantSoon: 1},
		{dead: -time.Hour, wait: 58 * time.Second, want: 0, wantSoon: 1}, // no more than it had left
	} {
		next, _ := st.killed(l.shifted(-c.dead), l.seq, sats()...)
		if next.wait(c.wait); next.ledger().Expired != c.want {
			t.Errorf("dead for %v, and %v later: %+v, want %d expired", c.dead, c.wait, next.ledger(), c.want)
		}
		if next.wait(3 * time.Second); next.ledger().Expired != c.wantSoon || next.ledger().Held != 1 {
			t.Errorf("dead for %v, and %v later: %+v, want %d expired", c.dead, c.wait+3*time.Second, next.ledger(), c.wantSoon)
		}
	}
}

// Killing dsatd gives a message no fresh attempts, and does not make one forget when and where it was tried.
func TestAttemptsSurviveAKill(t *testing.T) {
	poison := func() *topology.Satellite {
		s := keep(sat("w"))
		s.Work.Retries, s.Work.Crashes, s.Work.Backoff = 2, 2, time.Second
		return s
	}
	sats := func() []*topology.Satellite { return []*topology.Satellite{sat("gen", "w"), poison()} }
	st := newStage(t, sats()...)
	l := st.disk()
	st.join("gen", 0, 1, source).emit("fails", "kills")
	st.sync(l)
	for life := range uint32(4) {
		w := st.arrive("w", int(life), life+2)
		for _, r := range w.only(wire.Data) {
			if string(r.Body) == "fails" {
				w.say(&wire.Header{Kind: wire.Fail, Epoch: r.Epoch, N: r.N, Flags: wire.FlagRetry}, []byte("bad day"))
			}
		}
		st.sync(l)
		w.die("killed by signal 11")
		st.sync(l)
		was, _ := st.o.t.findTask(st.o.now, 7<<40|1)
		st, l = st.killed(l, l.seq, sats()...)
		is, _ := st.o.t.findTask(st.o.now, 7<<40|1)
		if len(was.Hops) > 0 && len(is.Hops) > 0 && len(was.Hops[0].Tries) != len(is.Hops[0].Tries) {
			t.Errorf("life %d: tried %+v, and after a kill %+v", life, was.Hops[0].Tries, is.Hops[0].Tries)
		}
		st.wait(time.Minute)
	}
	if led := st.ledger(); led.Quarantined != 2 || led.Admitted != 2 {
		t.Fatalf("%+v", led)
	}
	for _, m := range st.o.t.aside.list {
		if n := len(m.evidence); m.crashes+m.attempts < 3 || n < 2 {
			t.Errorf("%+v", m)
		}
	}
}

// The times of attempts are those of the day, so that they are the same for the next daemon.
func TestTriesAreToldAfterAKill(t *testing.T) {
	w := keep(sat("w"))
	w.Work.Retries, w.Work.Backoff = 5, time.Hour
	st := newStage(t, sat("gen", "w"), w)
	l := st.disk()
	st.join("gen", 0, 1, source).emit("x")
	st.sync(l)
	a := st.arrive("w", 3, 2)
	st.wait(10 * time.Second)
	a.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: a.hand(), Flags: wire.FlagRetry}, []byte("bad day"))
	st.sync(l)
	was := st.o.t.evidence[0].tries[0]
	next, log := st.killed(l, l.seq, sat("gen", "w"), w)
	check := func(next *stage, what string) {
		t.Helper()
		is := next.o.t.evidence[0].tries
		if len(is) != 1 || is[0].worker != "w:3" || is[0].reason != "bad day" || is[0].ended-is[0].sent != was.ended-was.sent {
			t.Fatalf("%s: %+v, want %+v", what, is, was)
		}
		if d := next.o.t.wall(is[0].sent) - st.o.t.wall(was.sent); d > int64(time.Second) || d < -int64(time.Second) {
			t.Errorf("%s: it was sent %v later", what, time.Duration(d))
		}
	}
	check(next, "after a kill")
	next.wait(20 * time.Second) // its clock is behind by what we have waited
	i := next.o.t.steps[1].held[0].slot
	next.o.t.scroll.put(next.o.t, next.o.now, next.o.t.steps[1], i, next.o.t.hops.at(i), held) // as when it is moved
	next.sync(log)
	third, _ := next.killed(log, log.seq, sat("gen", "w"), w)
	check(third, "moved, and after another kill")
	third.ledger()
}

// The journal in testdata was written by a dsatd whose records were of version 1, without ids, limits and tries: done was done and has put
// out "out", again has failed once and waits an hour, never is in quarantine, poison has crashed a process, waits was prefetched.
func TestReadsAJournalOfTheVersionBefore(t *testing.T) {
	dir := t.TempDir() + "/journal"
	if err := os.CopyFS(dir, os.DirFS("testdata/journal-1")); err != nil {
		t.Fatal(err)
	}
	w := windowed("w")
	w.To = []topology.Link{{To: "x"}}
	w.Work.Retries, w.Work.Backoff = 3, time.Hour
	sats := []*topology.Satellite{sat("gen", "w"), w, keep(sat("x"))}
	open := func() (*stage, *journal.Log, *recall) {
		log, err := journal.Open(dir, journal.Options{Epoch: 8, Segment: 1 << 16, Log: discardLog()})
		if err != nil {
			t.Fatal(err)
		}
		st, r := newStage(t, sats...), newRecall()
		st.o.t.epoch = 8
		if err := log.Replay(r.record); err != nil {
			t.Fatal(err)
		}
		st.o.writeTo(log)
		tasks := map[uint64]int32{}
		st.o.recall(r, tasks)
		st.o.goOn(tasks)
		st.turn()
		return st, log, r
	}
	st, log, _ := open()
	if led := st.ledger(); led.Admitted != 5 || led.Held != 4 || led.Quarantined != 1 {
		t.Errorf("%+v", led)
	}
	got := map[string]*hop{}
	for i := range st.o.t.hops.live {
		h := st.o.t.hops.at(int32(i))
		got[string(h.body.data)] = h
	}
	if len(got) != 4 || got["out"] == nil || got["again"].fails != 1 || got["again"].attempts != 1 || got["poison"].crashes != 1 || got["waits"].attempts != 1 {
		t.Errorf("%+v", got)
	}
	if m := st.o.t.aside.list[0]; string(m.payload) != "never" || m.reason != "never" || !strings.Contains(m.evidence[0], "attempt 1 at w:0") {
		t.Errorf("%+v", m)
	}
	gen := st.join("gen", 0, 5, source)
	gen.as(1, time.Minute, "new")
	for st.turn(); log.Stats().Committed < log.Stats().Last; time.Sleep(time.Millisecond) {
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	next, log, r := open()
	if led := next.ledger(); led.Admitted != 6 || len(r.ids["w"]) != 1 || next.o.t.limited != 1 {
		t.Errorf("after another end: %+v, %d ids, %d limits", led, len(r.ids["w"]), next.o.t.limited)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// A journal of a later version is refused with what can be done.
func TestRefusesARecordOfALaterVersion(t *testing.T) {
	err := newRecall().record(journal.Record{Seq: 3, Kind: recordKind, Body: []byte{recordVersion + 1, 7}})
	if err == nil || !strings.Contains(err.Error(), "record 3: it is of version 3, and this dsatd reads 1 to 2") {
		t.Error(err)
	}
}

// Each queue promises for itself: of an EMIT that went to a durable queue and to a tracked one the durable half is there after a kill, the
// other is not, and the source is not asked for it again, for it was told that it is accepted. check names such links. A source that was not
// told repeats it, and then both have it.
func TestAnEmitToTwoClassesIsKeptByTheDurableOne(t *testing.T) {
	sats := func() []*topology.Satellite {
		return []*topology.Satellite{sat("gen", "d", "m"), keep(sat("d")), sat("m")}
	}
	st := newStage(t, sats()...)
	l := st.disk()
	gen := st.join("gen", 0, 1, source)
	gen.emit("1")
	if n := gen.accepted(); n != 0 {
		t.Errorf("accepted up to %d, and its durable half is not on disk", n)
	}
	before := uint64(0)
	for seq, want := range map[uint64][2]int{before: {0, 0}, l.seq: {1, 0}} {
		next, log := st.killed(l, seq, sats()...)
		if d, m := next.o.byName["d"].queued(), next.o.byName["m"].queued(); d != want[0] || m != want[1] {
			t.Errorf("after record %d d has %d and m %d, want %v", seq, d, m, want)
		}
		again := next.join("gen", 0, 1, source)
		again.seq = uint64(want[0]) // it repeats what it was not told of
		again.b.Reset()
		for again.seq < 2 {
			again.seq++
			again.b.Add(&wire.Header{Kind: wire.Emit, Epoch: next.o.t.epoch, Port: wire.AllLinks, N: again.seq}, []byte("x"))
		}
		again.frame(again.b.Frame())
		next.sync(log)
		if d, m := next.o.byName["d"].queued(), next.o.byName["m"].queued(); d != 2 || m != 2-want[0] {
			t.Errorf("after record %d and what was not accepted d has %d and m %d", seq, d, m)
		}
		next.ledger()
	}
}
