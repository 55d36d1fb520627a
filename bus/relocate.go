package bus

// removal is the moving of what lives in the oldest extents, so that these can go.
type removal struct {
	bound uint32 // extents below it are left; 0: nothing is moved
	page  int    // of hops, where to go on
	aside int    // messages in quarantine that were looked at
	ended bool   // all were looked at, and their records are on the way to disk
	asked int    // bytes of payloads that have to come from disk before they can be moved
	hold  bool   // sources were written anew, and must be on disk first
}

// pagesPerTurn is how many hops, in pages, one turn of the loop looks at to find those that lie in the oldest extents.
const pagesPerTurn = 4

// collect lets go of what the journal does not need any more, and moves what lives among too much that is dead. It does a little of it
// in a turn, and reports whether there is more to do at once.
func (t *tracker) collect(now int64) bool {
	d := t.scroll
	t.expireIDs(now)
	d.letGo()
	m := &d.removal
	if m.bound == 0 {
		if m.bound = d.dead.excess(); m.bound == 0 {
			return false
		}
		m.page, m.aside, m.ended = 0, 0, false
	}
	if m.ended || m.asked > 0 {
		return false
	}
	t.relocate(now, m)
	return !m.ended && m.asked == 0
}

// relocate writes anew what lies below the bound, as much as one turn may.
func (t *tracker) relocate(now int64, m *removal) {
	d := t.scroll
	d.forgetBody()
	for range pagesPerTurn {
		if m.page == len(t.hops.pages) {
			if m.asked > 0 {
				return
			}
			t.relocateAside(now, m)
			return
		}
		if !t.relocatePage(now, m) {
			return
		}
		m.page++
	}
}

// relocatePage reports whether it came to the end of the page.
func (t *tracker) relocatePage(now int64, m *removal) bool {
	pg, d := t.hops.pages[m.page], t.scroll
	if pg.places == nil {
		return true
	}
	for k := range pg.places {
		p := &pg.places[k]
		if p.flags&(sealed|entering) != sealed || p.ext >= m.bound || pg.states[k] == free {
			continue
		}
		if d.large() {
			return false
		}
		i, s, h := int32(m.page)<<pageBits+int32(k), t.steps[pg.steps[k]], &pg.hops[k]
		switch {
		case p.flags&away == 0:
			d.put(t, now, s, i, h, pg.states[k])
		case h.body.away == 0: // it is empty
			t.carry(now, s, i, h)
		case m.asked >= largeRecord:
			return false
		default:
			t.want(i, h, true)
		}
	}
	return true
}

func (t *tracker) relocateAside(now int64, m *removal) {
	d := t.scroll
	for ; m.aside < len(t.aside.list); m.aside++ {
		if d.large() {
			return
		}
		if x := t.aside.list[m.aside]; x.onDisk && x.sealed && x.ext < m.bound {
			d.setDown(x)
		}
	}
	if !t.relocatePromises(m.bound) || !t.relocateHooks(m.bound) || !t.relocateIDs(now, m.bound) {
		return
	}
	m.ended = true
	d.after(func() { m.bound = 0 })
}

// letGo tells the journal which records nobody needs. How far sources are must be in others before.
func (d *scroll) letGo() {
	seq := d.dead.needed()
	if seq == 0 || d.removal.hold {
		return
	}
	for ref, mark := range d.sources {
		if mark.seq < seq {
			d.source(ref, mark.inc, mark.accepted)
			d.removal.hold = true
		}
	}
	if d.removal.hold {
		d.after(func() { d.removal.hold = false })
		return
	}
	d.dead.drop()
	d.log.Release(seq)
}

// excess is the bound of the extents to be left when the journal takes more than twice what lives in it and two segments; 0: it does
// not. Behind them it takes no more than half as much again, and a segment.
func (e *estate) excess() uint32 {
	if e.disk() <= 2*e.bytes+2*e.segment {
		return 0
	}
	moved := int64(0)
	for n := 0; n < len(e.list)-1; n++ {
		moved += e.list[n].bytes
		if int64(e.end-e.list[n+1].at)+moved <= e.bytes*3/2+e.segment {
			return e.first + uint32(n) + 1
		}
	}
	return e.first + uint32(len(e.list)) - 1
}
