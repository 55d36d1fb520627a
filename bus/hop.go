package bus

import "math/bits"

// state is where a hop is: in exactly one of these.
type state uint8

const (
	free       state = iota // the slot is not in use
	waiting                 // in its queue
	dispatched              // in the hand of a worker
	held                    // waiting for the time of its retry
	done
	quarantined
	expired
	cancelled
	dropped
	diverted // given to another step, where it is a hop of its own
)

var stateNames = [...]string{"", "waiting", "in_flight", "held", "done", "quarantined", "expired", "cancelled", "dropped", "diverted"}

func (s state) String() string { return stateNames[s] }

// hop is one message on one link. Its state and step lie in dense arrays beside it, so that the ledger is found by a walk
// over three bytes a hop.
type hop struct {
	id, task uint64
	admitted int64 // ns since the tracker's start
	due      int64 // held: when to try again
	body     *body
	tslot    int32 // of the task
	next     int32 // in its queue, or in the free list
	from     int16 // index of the step it came from, or outside
	codec    uint16
	hops     uint16 // steps it has passed
	attempts uint16 // dispatches so far
	fails    uint16
	crashes  uint16
	level    uint8 // of priority
	late     bool  // it was delayed, and came when its time did: not in the order of the ids
}

const (
	pageBits = 10
	pageSize = 1 << pageBits
	none     = int32(-1)
)

type page struct {
	states [pageSize]state
	steps  [pageSize]uint16
	hops   [pageSize]hop
	places *[pageSize]place // nil: none of its hops was ever on disk
}

// slab holds all hops. Slots are reused; pages never move.
type slab struct {
	pages []*page
	free  int32
	live  int
}

func newSlab() slab { return slab{free: none} }

func (s *slab) at(i int32) *hop            { return &s.pages[i>>pageBits].hops[i&(pageSize-1)] }
func (s *slab) step(i int32) int           { return int(s.pages[i>>pageBits].steps[i&(pageSize-1)]) }
func (s *slab) state(i int32) state        { return s.pages[i>>pageBits].states[i&(pageSize-1)] }
func (s *slab) setState(i int32, to state) { s.pages[i>>pageBits].states[i&(pageSize-1)] = to }

// place is where hop i is on disk, or nil.
func (s *slab) place(i int32) *place {
	if p := s.pages[i>>pageBits].places; p != nil {
		return &p[i&(pageSize-1)]
	}
	return nil
}

// placeOf is place, which it makes.
func (s *slab) placeOf(i int32) *place {
	p := s.pages[i>>pageBits]
	if p.places == nil {
		p.places = new([pageSize]place)
	}
	return &p.places[i&(pageSize-1)]
}

// take returns a free slot for a hop of a step.
func (s *slab) take(step int) (int32, *hop) {
	if s.free == none {
		s.grow()
	}
	i := s.free
	h := s.at(i)
	s.free = h.next
	s.pages[i>>pageBits].steps[i&(pageSize-1)] = uint16(step)
	s.live++
	*h = hop{next: none}
	return i, h
}

func (s *slab) release(i int32) {
	h := s.at(i)
	h.body = nil
	h.next = s.free
	s.free = i
	s.setState(i, free)
	s.live--
}

func (s *slab) grow() {
	base := int32(len(s.pages)) << pageBits
	p := &page{}
	s.pages = append(s.pages, p)
	for i := range p.hops {
		p.hops[i].next = base + int32(i) + 1
	}
	p.hops[pageSize-1].next = s.free
	s.free = base
}

// body is a payload, shared by the hops of a fan-out.
type body struct {
	data []byte
	away int // bytes of a payload that is on disk only; then data is empty
	refs int
	next *body
}

func (b *body) size() int { return len(b.data) + b.away }

// size is about what a hop takes on disk.
func (h *hop) size() int64 { return int64(h.body.size() + overhead) }

const (
	smallest  = 5       // bodies of up to 32 bytes share a class
	largest   = 16      // above 64 KiB a body is the collector's
	keptBytes = 4 << 20 // free memory kept per class
)

// bodies copies payloads into memory it uses again, in classes of powers of two.
type bodies struct {
	free [largest + 1]*body
	kept [largest + 1]int
}

func class(n int) int {
	return max(smallest, bits.Len(uint(max(n, 1)-1)))
}

// copy returns a body with one reference.
func (a *bodies) copy(p []byte) *body {
	c := class(len(p))
	if c > largest {
		return &body{data: append([]byte(nil), p...), refs: 1}
	}
	b := a.free[c]
	if b == nil {
		b = &body{data: make([]byte, 0, 1<<c)}
	} else {
		a.free[c], b.next = b.next, nil
		a.kept[c] -= 1 << c
	}
	b.refs = 1
	b.data = append(b.data[:0], p...)
	return b
}

// drop gives back one reference.
func (a *bodies) drop(b *body) {
	if b.refs--; b.refs > 0 || b.away > 0 {
		return
	}
	c := class(cap(b.data))
	if c > largest || a.kept[c] >= keptBytes {
		return
	}
	a.kept[c] += 1 << c
	b.next, a.free[c] = a.free[c], b
}
