package bus

import (
	"cmp"
	"maps"
	"slices"

	"github.com/dsat/dsat/bus/journal"
)

// The ids that a durable queue has let in are in the journal until their window is over, each in the very record that admits its
// message: after a kill there is either both or neither. How long ago one came is told by the time of day. A clock that is set back makes
// an id live longer, by no more than it was set back and by no more than a window; one that is set forward makes it forgotten early.

// idBytes is about what an id takes on disk.
const idBytes = 40 + overhead

// recentID.disk
const (
	idInMemory uint8 = iota
	idWritten        // in the record in the making
	idSealed         // ext is known
)

// idAt is a place in a window.
type idAt struct {
	w   *recentIDs
	pos uint64
}

// entry is what is at a position of the ring; nil: it was given up.
func (w *recentIDs) entry(pos uint64) *recentID {
	if pos < w.head || pos >= w.end {
		return nil
	}
	return &w.ring[pos&uint64(len(w.ring)-1)]
}

// sees writes that an id was let in.
func (d *scroll) sees(now int64, s *step, pos uint64) {
	as, x := d.name(s), s.seen.entry(pos)
	d.verse(verseID)
	d.number(as)
	d.number(x.id.hi)
	d.number(x.id.lo)
	d.number(x.task)
	d.span(now - x.at)
	if x.disk == idSealed {
		d.cur.ended = append(d.cur.ended, parcel{x.ext, idBytes})
	}
	x.disk, s.seen.estate = idWritten, &d.dead
	d.cur.ids = append(d.cur.ids, idAt{s.seen, pos})
}

// sealIDs takes note of where they are.
func (d *scroll) sealIDs(c *turn, ext uint32) {
	for _, at := range c.ids {
		if x := at.w.entry(at.pos); x != nil && x.disk == idWritten {
			x.disk, x.ext = idSealed, ext
			d.dead.lives(ext, idBytes)
		}
	}
	clear(c.ids)
	c.ids = c.ids[:0]
}

// seesAll writes the ids of a durable queue that are in memory only.
func (d *scroll) seesAll(t *tracker, now int64, s *step) {
	if s.seen == nil {
		return
	}
	s.seen.expire(now)
	for pos := s.seen.head; pos < s.seen.end; pos++ {
		if s.seen.entry(pos).disk != idInMemory {
			continue
		}
		if d.sees(now, s, pos); d.large() {
			d.seal(t)
		}
	}
}

// blind writes that the ids of a queue are not on disk any more: those of messages that are lost with the memory must not be known for
// longer than these.
func (d *scroll) blind(s *step) {
	if s.seen == nil || s.seen.estate == nil {
		return
	}
	as := d.name(s)
	d.verse(verseBlind)
	d.number(as)
	for pos := s.seen.head; pos < s.seen.end; pos++ {
		x := s.seen.entry(pos)
		if x.disk == idSealed {
			d.cur.ended = append(d.cur.ended, parcel{x.ext, idBytes})
		}
		x.disk = idInMemory
	}
	s.seen.estate = nil
}

// reclassIDs brings the ids on disk into line with what the topology says now.
func (t *tracker) reclassIDs(now int64) {
	for _, s := range t.steps {
		if s.cfg.durable {
			t.scroll.seesAll(t, now, s)
		} else {
			t.scroll.blind(s)
		}
	}
}

// gone lets go of what an id takes on disk. Nothing has to be written: the time tells that it is over.
func (w *recentIDs) gone(x *recentID) {
	if x.disk == idSealed && w.estate != nil {
		w.estate.dies(parcel{x.ext, idBytes})
	}
	x.disk = idInMemory
}

// relocateIDs writes anew those that lie below the bound, and reports whether it came to their end.
func (t *tracker) relocateIDs(now int64, bound uint32) bool {
	for _, s := range t.steps {
		if s.seen == nil || s.seen.estate == nil {
			continue
		}
		s.seen.expire(now)
		for pos := s.seen.head; pos < s.seen.end; pos++ {
			if x := s.seen.entry(pos); x.disk != idSealed || x.ext >= bound {
				continue
			}
			if t.scroll.large() {
				return false
			}
			t.scroll.sees(now, s, pos)
		}
	}
	return true
}

// expireIDs forgets the ids on disk whose window is over, so that the journal can let go of them without another message of their queue.
func (t *tracker) expireIDs(now int64) {
	if len(t.scroll.dead.list) < 2 {
		return
	}
	for _, s := range t.steps {
		if s.seen != nil && s.seen.estate != nil {
			s.seen.expire(now)
		}
	}
}

// recalledID is an id as the journal tells it.
type recalledID struct {
	task uint64
	came int64 // wall, ns
	ext  uint32
}

// let takes an id that was let in.
func (r *recall) let(v *verse, rec journal.Record, ext uint32) {
	name, id := r.steps[v.step], msgID{v.n, v.m}
	if r.ids[name] == nil {
		r.ids[name] = map[msgID]recalledID{}
	}
	if old, known := r.ids[name][id]; known {
		r.estate.dies(parcel{old.ext, idBytes})
	}
	r.ids[name][id] = recalledID{v.task, rec.Time - v.age, ext}
	r.estate.lives(ext, idBytes)
}

// blinded takes that the ids of a step are none.
func (r *recall) blinded(name string) {
	for _, x := range r.ids[name] {
		r.estate.dies(parcel{x.ext, idBytes})
	}
	delete(r.ids, name)
}

// recollectIDs fills the windows of durable queues with what the journal tells. d.dead is its estate by now.
func (t *tracker) recollectIDs(now int64, r *recall, by map[string]*step) {
	d := t.scroll
	for name, ids := range r.ids {
		s := by[name]
		takes := s != nil && s.cfg.durable && s.seen != nil
		order := slices.SortedFunc(maps.Keys(ids), func(a, b msgID) int {
			return cmp.Or(cmp.Compare(ids[a].came, ids[b].came), cmp.Compare(ids[a].task, ids[b].task), cmp.Compare(a.lo, b.lo))
		})
		for _, id := range order {
			x := ids[id]
			at := now - max(t.wall(now)-x.came, 0)
			if takes && at+s.seen.span > now {
				if _, known := s.seen.find(now, id); !known {
					s.seen.estate = &d.dead
					s.seen.add(at, id, x.task)
					e := s.seen.entry(s.seen.end - 1)
					e.disk, e.ext = idSealed, x.ext
					continue
				}
			}
			d.dead.dies(parcel{x.ext, idBytes})
		}
	}
	for _, s := range t.steps { // of a daemon that did not write them
		if s.cfg.durable {
			d.seesAll(t, now, s)
		}
	}
}
