package bus

import (
	"math"

	"github.com/dsat/dsat/topology"
)

// A queue with full = "spill" that has in memory what it may lets payloads go to the journal. What goes there is the whole message, as of
// a durable queue, so that it is there after a kill; what leaves memory, once that is on disk, is the payload alone. The hop stays where
// it is in its line, so that order, keys, priorities, ttl, delays, purges and cancellation know nothing of disks, and comes to no worker
// before fetch.go has brought its payload back. docs/decisions has why.

// spill is what a queue has on disk only.
type spill struct {
	messages int   // whose payloads have left memory, or do so when their record is on disk
	bytes    int64 // of these

	mostMessages int
	mostBytes    int64
	stuck        bool // the journal takes nothing that can wait
	told         bool // that it blocks for it

	ahead int // hops at the head of which is known that they are in memory, or on the way there
	low   int // at which the next ones are looked for
}

// spills gives a step what its topology says of spilling. What was spilled before stays on disk until its turn comes.
func (s *step) spills() {
	switch {
	case s.cfg.full == topology.FullSpill:
		if s.spill == nil {
			s.spill = &spill{}
		}
		s.disk = true
		s.spill.mostMessages, s.spill.mostBytes = s.sat.Queue.Spill.MaxMessages, s.sat.Queue.Spill.MaxBytes
		if s.spill.mostMessages <= 0 {
			s.spill.mostMessages = 1 << 30
		}
		if s.spill.mostBytes <= 0 {
			s.spill.mostBytes = 1 << 50
		}
	case s.spill != nil && s.spill.messages == 0:
		s.spill = nil
	case s.spill != nil:
		s.spill.mostMessages, s.spill.mostBytes = 0, 0
	}
}

// add counts a hop whose payload is to leave memory.
func (p *spill) add(h *hop) {
	p.messages++
	p.bytes += size(h)
}

// back counts a hop as one in memory again: its payload is there, or it ends. at is its place on disk; nil: it never was there.
func (p *spill) back(at *place, h *hop) {
	if at == nil || at.flags&(leaves|away) == 0 {
		return
	}
	at.flags &^= leaves | away | coming
	p.messages--
	p.bytes -= size(h)
}

// room reports whether the disk may take more of the queue.
func (p *spill) room() bool {
	return !p.stuck && p.messages < p.mostMessages && p.bytes < p.mostBytes
}

// crowded reports whether the queue has in memory what it may.
func (s *step) crowded() bool {
	return s.queued()+s.entering+s.holds()-s.spill.messages >= s.cfg.messages || s.bytes()-s.spill.bytes >= s.cfg.bytes
}

// spilledFull is full of a queue that spills, or did.
func (s *step) spilledFull() bool {
	if s.cfg.full != topology.FullSpill {
		return s.queued()+s.entering+s.holds() >= s.cfg.messages || s.bytes() >= s.cfg.bytes
	}
	return s.crowded() && !s.spill.room()
}

// most is what may wait, in memory and on disk.
func (s *step) most() (messages int, bytes int64) {
	messages, bytes = s.cfg.messages, s.cfg.bytes
	if s.spill != nil {
		messages, bytes = min(messages+s.spill.mostMessages, math.MaxInt/4), min(bytes+s.spill.mostBytes, math.MaxInt64/4)
	}
	return messages, bytes
}

// beyond lets a new hop go to disk when memory has no room for it and the disk has. Its payload is in memory until it is there.
func (t *tracker) beyond(now int64, s *step, i int32, h *hop, w *wish) {
	if s.cfg.full != topology.FullSpill || t.scroll == nil || !s.crowded() || !s.spill.room() {
		return
	}
	if w != nil && w.delay > 0 {
		t.tellEarly(s, i)
	}
	switch {
	case s.cfg.durable: // it is written all the same
	case w != nil && w.delay > 0:
		h.due = now + w.delay
		t.scroll.put(t, now, s, i, h, held)
		t.scroll.spilt = true
	default:
		t.scroll.admit(t, s, i, h)
		t.scroll.spilt = true
	}
	t.hops.placeOf(i).flags |= leaves
	s.spill.add(h)
	s.count.spilled++
	s.count.spilledBytes += uint64(len(h.body.data))
}

// depart lets the payload of a hop leave memory whose record is on disk, if it is to.
func (t *tracker) depart(e entry) {
	p, h := t.hops.place(e.slot), t.hops.at(e.slot)
	if h.id != e.id || p.flags&(leaves|sealed) != leaves|sealed {
		return
	}
	p.flags = p.flags&^leaves | away
	if n := len(h.body.data); n > 0 {
		t.bodies.drop(h.body)
		h.body = stub(n)
	}
}

// stub stands for a payload of n bytes that is on disk only.
func stub(n int) *body { return &body{away: n, refs: 1} }

// stays reports whether a hop on disk stays there though its queue is not durable.
func (t *tracker) stays(s *step, i int32) bool {
	return s.cfg.full == topology.FullSpill || t.hops.place(i).flags&away != 0
}

// jammed reports whether the journal is why those who fill the queue wait.
func (s *step) jammed() bool {
	return s.stuck || s.spill != nil && s.spill.stuck && s.cfg.full == topology.FullSpill && s.crowded()
}

// stick tells a queue whether the journal takes what can wait.
func (s *step) stick(full bool) {
	s.stuck = full && s.cfg.durable
	if s.spill != nil {
		s.spill.stuck = full
	}
	s.dirty = true
}

// sayJammed tells people of the queues that block because nothing can be spilled, once.
func (o *orchester) sayJammed() {
	for _, s := range o.t.steps {
		if s.spill == nil || s.cfg.durable {
			continue
		}
		switch jammed := s.jammed(); {
		case jammed && !s.spill.told:
			s.spill.told = true
			o.note(s, "its memory is full and the journal takes nothing, so that nothing of it can be spilled: those who fill it wait, and other queues go on")
		case s.spill.told && !s.spill.stuck:
			s.spill.told = false
			o.note(s, "it can spill again")
		}
	}
}
