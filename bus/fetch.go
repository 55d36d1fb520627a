package bus

import (
	"fmt"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/journal"
)

// Payloads on disk come back to memory a little before their turn. The loop touches no file: it asks the fetcher, and goes on.

// A queue has the payloads of so many of its first messages in memory, or of so many bytes, whichever is less.
const (
	windowMessages = 4096
	windowBytes    = 4 << 20
)

// wanted is a payload that is asked for.
type wanted struct {
	slot int32
	id   uint64 // of the hop
	at   journal.Position
	off  uint32
	n    uint32
	move bool // it only goes to another place on disk
}

// brought is the answer. An error says that it cannot be read.
type brought struct {
	wanted
	data []byte
	err  error
}

// fetchAhead asks for the payloads of those that are next in a queue: when half of those it asked for before are gone, or it must.
func (t *tracker) fetchAhead(s *step, must bool) {
	p := s.spill
	if p.messages == 0 || !must && p.ahead > p.low {
		return
	}
	n, bytes, most := 0, int64(0), min(windowBytes, max(s.cfg.bytes/4, 1))
	for _, q := range s.lines() {
		if q == &s.suspect || q == &s.bound {
			continue // they were in a hand, or are for one: they are in memory
		}
		for i := q.head; i != none && n < windowMessages && bytes < most; i = t.hops.at(i).next {
			h := t.hops.at(i)
			n++
			bytes += size(h)
			if h.body.away > 0 {
				t.want(i, h, false)
			}
		}
	}
	p.ahead, p.low = n, n/2
}

// want asks for the payload of a hop, unless that is done.
func (t *tracker) want(i int32, h *hop, move bool) {
	p := t.hops.place(i)
	if p.flags&coming != 0 {
		return
	}
	p.flags |= coming
	t.wants = append(t.wants, wanted{slot: i, id: h.id, at: p.at, off: p.off, n: uint32(h.body.away), move: move})
	if move {
		t.scroll.removal.asked += h.body.away
	}
}

// arrive takes payloads that were asked for.
func (t *tracker) arrive(now int64, all []brought) {
	var lost map[int32]error
	for k := range all {
		b := &all[k]
		if b.move {
			t.scroll.removal.asked -= int(b.n)
		}
		p, h := t.hops.place(b.slot), t.hops.at(b.slot)
		if h.id != b.id || p == nil || p.flags&coming == 0 {
			continue // it has ended meanwhile
		}
		if b.err != nil {
			if lost == nil {
				lost = map[int32]error{}
			}
			lost[b.slot] = b.err
			continue
		}
		s := t.steps[t.hops.step(b.slot)]
		t.scroll.forgetBody() // its memory may be this one's
		h.body = t.bodies.copy(b.data)
		s.dirty = true // a worker may wait for it, be it on its way to another place on disk
		if b.move {
			t.carry(now, s, b.slot, h)
			continue
		}
		full := s.full()
		s.spill.back(p, h)
		t.unblocked = t.unblocked || full && !s.full()
	}
	if lost != nil {
		t.unreadable(now, lost)
	}
}

// carry writes a hop anew whose payload is in memory only for that.
func (t *tracker) carry(now int64, s *step, i int32, h *hop) {
	t.scroll.put(t, now, s, i, h, t.hops.pages[i>>pageBits].states[i&(pageSize-1)])
	t.hops.place(i).flags |= leaves
	if t.scroll.large() {
		t.scroll.seal(t)
	}
}

// unreadable sets aside hops whose payloads the disk does not give back.
func (t *tracker) unreadable(now int64, lost map[int32]error) {
	of := map[*step]bool{}
	for i := range lost {
		of[t.steps[t.hops.step(i)]] = true
	}
	for s := range of {
		for _, i := range t.pick(s, func(i int32) bool { return lost[i] != nil }) {
			t.testify(i, unread(t.hops.at(i).body.away, lost[i]))
			t.setAside(now, i, "its payload on disk cannot be read; dsatctl journal verify tells what is damaged")
			t.unblocked = true
		}
	}
}

// fetch hands to the fetcher what the turn has asked for.
func (o *orchester) fetch() {
	f := &o.bus.fetcher
	f.mu.Lock()
	f.list = append(f.list, o.t.wants...)
	f.mu.Unlock()
	o.t.wants = o.t.wants[:0]
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// fetcher reads payloads from the journal, in the order in which it is asked.
type fetcher struct {
	mu   sync.Mutex
	list []wanted
	wake chan struct{}
}

func (f *fetcher) take() []wanted {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.list
	f.list = nil
	return l
}

// run is the fetcher's goroutine. It ends with the bus.
func (b *Bus) runFetcher() {
	for {
		select {
		case <-b.fetcher.wake:
			b.bring(b.fetcher.take())
		case <-b.done:
			return
		}
	}
}

// bring reads what is wanted, and hands it to the loop in portions.
func (b *Bus) bring(list []wanted) {
	read := reader(b.readPatiently)
	for len(list) > 0 {
		var portion []brought
		for bytes := 0; len(list) > 0 && bytes < windowBytes/4; list = list[1:] {
			got := brought{wanted: list[0]}
			got.data, got.err = read(got.at, got.off, got.n)
			bytes += len(got.data)
			portion = append(portion, got)
		}
		b.mail.post(func(o *orchester) { o.t.arrive(o.now, portion) })
	}
}

// reader returns what reads payloads; those of one record that are asked for one after the other cost one read. What it returns is
// valid for good.
func reader(record func(journal.Position) ([]byte, error)) func(at journal.Position, off, n uint32) ([]byte, error) {
	var last journal.Position // 0 is nowhere
	var body []byte
	var err error
	return func(at journal.Position, off, n uint32) ([]byte, error) {
		if at != last {
			body, err = record(at)
			last = at
		}
		if err == nil && uint64(off)+uint64(n) > uint64(len(body)) {
			return nil, fmt.Errorf("the record at %d has %d bytes, and the payload ends at %d", at, len(body), uint64(off)+uint64(n))
		}
		if err != nil {
			return nil, err
		}
		return body[off : off+n : off+n], nil
	}
}

// fetch gets a payload that was left on disk. Only before the loop runs.
func (r *recall) fetch(h *recalled) error {
	if h.body != nil || h.left == 0 {
		return nil
	}
	body, err := r.read(h.place.at, h.place.off, uint32(h.left))
	if err == nil {
		h.body = body
	}
	return err
}

// unread is the evidence of a payload that is lost.
func unread(n int, err error) string {
	return fmt.Sprintf("its payload of %d bytes was on disk, and cannot be read: %v", n, err)
}

// fetchAsides gets those of messages in quarantine.
func (r *recall) fetchAsides() {
	for _, m := range r.aside {
		switch h := m.was; {
		case h == nil:
		case r.fetch(h) != nil:
			m.evidence = append(m.evidence, "its payload was on disk, and cannot be read")
		default:
			m.payload, m.away = h.body, 0
		}
		m.was = nil
	}
}

// readPatiently reads a record, and tries again when the disk fails.
func (b *Bus) readPatiently(at journal.Position) (body []byte, err error) {
	for try := range patientReads {
		var r journal.Record
		if r, err = b.journal.Load().Read(at, nil); err == nil {
			return r.Body, nil
		}
		select {
		case <-b.done:
			return nil, err
		case <-time.After(50 * time.Millisecond << try):
		}
	}
	return nil, err
}

// patientReads is how often a record is tried to be read: for a second and a half.
const patientReads = 5
