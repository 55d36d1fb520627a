package bus

import (
	"fmt"
	"slices"
	"time"
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
