package bus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// audit compares what is counted of the journal, extent by extent, with what is there: hops, quarantine, replies, hooks, ids, and what is
// dead from records on that are not on disk yet. It returns what differs.
func (t *tracker) audit() (wrong []string) {
	d := t.scroll
	if d == nil {
		return nil
	}
	want := make([]extent, len(d.dead.list))
	add := func(what string, ext uint32, size int64) {
		if ext-d.dead.first >= uint32(len(want)) {
			wrong = append(wrong, fmt.Sprintf("%s lies in extent %d, and there are those from %d to %d", what, ext, d.dead.first, int(d.dead.first)+len(want)-1))
			return
		}
		want[ext-d.dead.first].live++
		want[ext-d.dead.first].bytes += size
	}
	for p, pg := range t.hops.pages {
		for k := range pg.hops {
			if x := t.hops.place(int32(p)<<pageBits + int32(k)); x != nil && x.flags&sealed != 0 {
				if i := x.ext - d.dead.first; i < uint32(len(want)) && (x.at < d.dead.list[i].at || int(i)+1 < len(want) && x.at >= d.dead.list[i+1].at) {
					wrong = append(wrong, fmt.Sprintf("a hop at %d is counted in extent %d, which begins at %d", x.at, x.ext, d.dead.list[i].at))
				}
				if pg.states[k] == free {
					wrong = append(wrong, fmt.Sprintf("slot %d is free and has a place on disk", k))
					continue
				}
				add("a hop", x.ext, pg.hops[k].size())
			}
		}
	}
	for _, m := range t.aside.list {
		if m.sealed {
			add("a message in quarantine", m.ext, m.size())
		}
	}
	for _, k := range d.promises {
		if k.promise.sealed {
			add("a reply", k.promise.ext, k.promise.size)
		}
	}
	for _, l := range d.hooks {
		if l.sealed {
			add("a hook", l.ext, l.size)
		}
	}
	for _, s := range t.steps {
		for pos := uint64(0); s.seen != nil && s.seen.head+pos < s.seen.end; pos++ {
			if x := s.seen.entry(s.seen.head + pos); x.disk == idSealed {
				add("an id", x.ext, idBytes)
			}
		}
	}
	for _, c := range append(slices.Clone(d.turns), d.cur) {
		for _, p := range c.ended {
			add("what is dead soon", p.ext, p.size)
		}
	}
	total := int64(0)
	for i, x := range d.dead.list {
		if total += x.bytes; x.live != want[i].live || x.bytes != want[i].bytes {
			wrong = append(wrong, fmt.Sprintf("extent %d counts %d, %d bytes; there are %d, %d bytes", int(d.dead.first)+i, x.live, x.bytes, want[i].live, want[i].bytes))
		}
	}
	if total != d.dead.bytes {
		wrong = append(wrong, fmt.Sprintf("%d bytes are alive, and %d are counted", total, d.dead.bytes))
	}
	return wrong
}

// rests lets the journal come to rest: what is to be moved is moved, and what nobody needs is let go.
func (m *model) rests() {
	for range 12 {
		for len(m.t.wants) > 0 {
			m.read()
		}
		m.syncAll()
	}
	d := m.t.scroll
	if n := d.dead.excess(); n != 0 || d.removal.bound != 0 || d.dead.idle() > 0 {
		m.failf("the journal is at rest with %d bytes, of which %d are alive; %d extents are idle, and those below %d are to be left", d.dead.disk(), d.dead.bytes, d.dead.idle(), n)
	}
	if most := 2*d.dead.bytes + 2*d.dead.segment; d.dead.disk() > most {
		m.failf("the journal is at rest with %d bytes, and may have %d", d.dead.disk(), most)
	}
	if m.log.released > d.dead.list[0].seq || len(d.dead.list) > 1 && m.log.released < d.dead.list[0].seq && d.dead.first > 0 {
		m.failf("records below %d were let go of, and those from %d on are needed", m.log.released, d.dead.list[0].seq)
	}
	for _, rec := range m.log.records {
		if rec.Seq < m.log.released {
			m.failf("record %d is there still", rec.Seq)
		}
	}
}

// empties ends all that there is. A message leaves the disk when all who want it have it: nothing but the last extent is left then.
func (m *model) empties() {
	if m.log.seq == 0 {
		return
	}
	m.rests()
	m.endAll(func(uint64) bool { return true }, func(uint64) state { return cancelled })
	for id := range m.tasks {
		m.t.cancelTask(m.now, id)
	}
	for len(m.t.aside.list) > 0 {
		m.t.aside.take(m.t.aside.list[0].id)
	}
	m.now += int64(time.Hour) // windows of ids are over
	m.rests()
	if m.rests(); len(m.fails) > 0 {
		return
	}
	for _, s := range m.t.steps {
		if s.seen != nil {
			s.seen.expire(m.now)
		}
	}
	d := m.t.scroll
	if d.dead.bytes != 0 || len(d.dead.list) != 1 || d.dead.list[0].live != 0 {
		m.failf("nothing is left, and of %d extents %+v is alive, %d bytes", len(d.dead.list), d.dead.list[0], d.dead.bytes)
	}
	left := int64(0)
	for _, rec := range m.log.records {
		left += int64(len(rec.Body)) + recordOverhead
	}
	if left > d.dead.disk() || left > 200+4096 {
		m.failf("nothing is left, and %d bytes are on disk; counted are %d", left, d.dead.disk())
	}
}

// What is not on disk is never let go of, though nothing in it is needed: the records before it would be gone, and it never came.
func TestWhatIsNotOnDiskIsNotLetGo(t *testing.T) {
	e := estate{segment: 600, grain: 100}
	for seq := range uint64(4) {
		if ext := e.extent(seq+1, journal.Position(4096+200*seq), 104); ext != uint32(seq) {
			t.Fatalf("record %d is in extent %d", seq+1, ext)
		}
	}
	for committed, want := range map[uint64]uint64{0: 0, 1: 0, 2: 2, 3: 3, 4: 4, 9: 4} {
		if e.committed = committed; e.needed() != want {
			t.Errorf("up to record %d is on disk, and those below %d are let go of; want %d", committed, e.needed(), want)
		}
	}
	e.committed = 9
	e.lives(1, 50)
	if e.needed() != 2 {
		t.Errorf("record 2 is needed, and those below %d are let go of", e.needed())
	}
	if e.drop(); e.first != 1 || len(e.list) != 3 || e.list[0].seq != 2 {
		t.Errorf("%+v", e)
	}
	if e.dies(parcel{1, 50}); e.bytes != 0 || e.needed() != 4 {
		t.Errorf("nothing is needed, and those below %d are let go of, %d bytes", e.needed(), e.bytes)
	}
}

// Messages that wait for long among many that come and go are moved, all of them below the bound, so that the disk is not full of what
// nobody wants; and they are all there after a kill.
func TestWhatWaitsIsMovedOutOfTheWay(t *testing.T) {
	sats := func() []*topology.Satellite {
		return []*topology.Satellite{sat("gen", "busy"), sat("slow", "waits"), keep(sat("busy")), windowed("waits")}
	}
	st := newStage(t, sats()...)
	l := st.disk()
	d := st.o.t.scroll
	d.dead.segment, d.dead.grain = 4000, 300
	gen, slow := st.join("gen", 0, 1, source), st.join("slow", 0, 2, source)
	w := st.join("busy", 0, 3, wire.HelloBody{})
	moved := 0
	for n := range uint64(600) {
		if n%60 == 0 {
			slow.as(n+1, 0, "waits for long")
		}
		gen.emit("comes and goes")
		bound := d.removal.bound
		st.sync(l)
		_, given := w.bodies()
		st.sync(l)
		w.done(given[0])
		st.sync(l)
		if bound > 0 && d.removal.bound == 0 {
			moved++
			for p := range d.dead.list {
				if x := d.dead.list[p]; d.dead.first+uint32(p) < bound && x.live > 0 {
					t.Fatalf("message %d: what lies below extent %d was moved, and %d are alive in extent %d", n, bound, x.live, int(d.dead.first)+p)
				}
			}
		}
		st.ledger()
	}
	if moved == 0 {
		t.Error("nothing was moved")
	}
	if n := d.dead.disk(); n > 2*d.dead.bytes+3*d.dead.segment {
		t.Errorf("%d bytes are alive, and %d on disk", d.dead.bytes, n)
	}
	next, _ := st.killed(l, l.seq, sats()...)
	if waits := next.o.byName["waits"]; waits.queued() != 10 || waits.seen.count() != 3 || next.ledger().Admitted != 10 {
		t.Errorf("%d wait, %d ids, %+v", waits.queued(), waits.seen.count(), next.ledger())
	}
}

// A move takes along all that lies below its bound, what lies just below it too, and nothing else.
func TestAMoveTakesAllBelowItsBound(t *testing.T) {
	st := newStage(t, sat("gen", "w"), windowed("w"))
	l := st.disk()
	d := st.o.t.scroll
	d.dead.grain = 1 // an extent for each record
	gen := st.join("gen", 0, 1, source)
	for n := range uint64(4) {
		gen.as(n+1, 0, "x")
		st.sync(l)
	}
	last := d.dead.first + uint32(len(d.dead.list)) - 1
	m := &d.removal
	for m.bound = last; !m.ended; {
		st.o.t.relocate(st.o.now, m)
	}
	st.sync(l)
	for p := range st.o.t.hops.live {
		if x := st.o.t.hops.place(int32(p)); x.ext < last {
			t.Errorf("hop %d lies in extent %d, and what lies below %d was moved", p, x.ext, last)
		}
	}
	if d.dead.list[0].live == 0 || d.dead.first != last {
		t.Errorf("those from extent %d on are left, want %d", d.dead.first, last)
	}
	st.ledger()
}
