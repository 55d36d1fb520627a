package bus

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/wire"
)

// edge stands before the outbox of a session whose satellite accepts a codec, and writes payloads anew that are written otherwise: those
// of DATA, and of answers to its calls. It works in a goroutine that is there while it has work, so that neither the loop nor the
// one goroutine of all ZeroMQ peers ever does: a payload takes up to a second (docs/decisions/009-conversion-at-the-edge.md).
// Frames without such payloads pass by, and a session that accepts whatever comes has no edge.
type edge struct {
	formats  *formats
	to       codec.Codec
	number   uint16 // of to
	strictly bool   // nothing else is let through
	peer     *peer
	spawn    func(func())
	edged    *atomic.Uint64                         // payloads that were written anew
	misfit   func(n uint64, from string, why error) // a DATA that cannot be converted; it may be called at any time

	some bool // only the loop: the frames in the making have payloads to convert

	// Only the goroutine uses what follows.
	b      wire.Builder
	failed map[uint64]string // calls with an answer that cannot be converted

	mu      sync.Mutex
	frames  [][]byte // to be looked at
	bytes   int      // of those that are not in the outbox yet
	count   int
	running bool
}

// inflation is how much longer than what the loop has sent its peer's outbox may become: a byte of a struct is up to four of JSON, with its name some
// more, and the header of a record is counted too.
const inflation = 16

// edgeOf makes the edge of a session; nil: it accepts all that comes.
func (o *orchester) edgeOf(s *session) *edge {
	reads, strictly := s.inst.sat.Reads()
	if reads.Name == "" {
		return nil
	}
	to, err := codec.New(reads)
	if err != nil { // the topology was built by hand
		return nil
	}
	e := &edge{formats: o.t.formats, to: to, number: o.t.formats.of(reads), strictly: strictly, peer: s.peer, spawn: o.bus.group.Go, edged: &s.step.edged}
	e.misfit = func(n uint64, from string, why error) {
		o.bus.mail.post(func(o *orchester) { o.misfit(s, n, from, reads, why) })
	}
	return e
}

// differs reports whether payloads with this codec are converted. What passes does so under the name that peers know it by, too.
func (e *edge) differs(c uint16) bool {
	switch {
	case c == e.number || c == uint16(wire.Struct) && e.number >= firstFormat:
		return false
	case e.strictly:
		return true
	}
	return c == uint16(wire.CBOR) || c >= firstFormat
}

// passes is the codec in the header of a record to the peer: that of the wire, or the number of what is to be converted, which the edge
// takes off again.
func (p *peer) passes(c uint16) wire.Codec {
	if p.edge != nil && p.edge.differs(c) {
		p.edge.some = true
		return wire.Codec(c)
	}
	return onWire(c)
}

// form is the payload of a hop as it goes to a peer.
func (p *peer) form(h *hop) (wire.Codec, []byte) {
	if h.codec != codecVector {
		return p.passes(h.codec), h.body.data
	}
	c, data := unwrapped(h)
	return p.passes(uint16(c)), data
}

// put takes frames in place of the outbox and returns what waits in both, or reports that they may go there at once.
func (e *edge) put(frames [][]byte) (waiting, bytes int, taken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.some && !e.running {
		return 0, 0, false
	}
	e.some = false
	e.frames = append(e.frames, frames...)
	for _, f := range frames {
		e.bytes += len(f)
	}
	e.count += len(frames)
	if !e.running {
		e.running = true
		e.spawn(e.run)
	}
	waiting, bytes = e.peer.box.held()
	return waiting + e.count, bytes + e.bytes, true
}

// held is what waits in it.
func (b *outbox) held() (frames, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.frames), b.bytes
}

// unread is how many bytes it has not given to the outbox yet.
func (e *edge) unread() int {
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bytes
}

// run converts until nothing is left. What comes later finds all that was before it in the outbox.
func (e *edge) run() {
	var frames, out [][]byte
	for {
		e.mu.Lock()
		for _, f := range frames {
			e.bytes -= len(f)
		}
		e.count -= len(frames)
		frames = append(frames[:0], e.frames...)
		e.frames = e.frames[:0]
		if e.running = len(frames) > 0; !e.running {
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		for _, f := range frames {
			out = e.convert(f, out[:0])
			e.peer.box.put(out)
			e.peer.carrier.flush(e.peer)
		}
	}
}

// convert appends the frames that take the place of one of the loop's.
func (e *edge) convert(frame []byte, out [][]byte) [][]byte {
	if !e.touches(frame) {
		return append(out, frame)
	}
	r, err := wire.Parse(frame)
	if err != nil {
		return append(out, frame) // ours, and whole
	}
	var rec wire.Record
	for r.Next(&rec) {
		body, keep := e.record(&rec)
		if !keep {
			continue
		}
		if !e.b.Fits(len(body)) {
			out = e.cut(out)
		}
		if e.b.Count() == 0 {
			e.b.Swap(e.peer.pool.get())
		}
		e.b.Add(&rec.Header, body)
	}
	out = e.cut(out)
	e.peer.pool.put(frame)
	return out
}

func (e *edge) cut(out [][]byte) [][]byte {
	if f := e.b.Frame(); f != nil {
		out = append(out, f)
		e.b.Swap(nil)
	}
	return out
}

// touches reports whether something in a frame is not as it has to be.
func (e *edge) touches(frame []byte) bool {
	r, err := wire.Parse(frame)
	var rec wire.Record
	for err == nil && r.Next(&rec) {
		if rec.Kind == wire.Data && e.differs(uint16(rec.Codec)) || rec.Kind == wire.Reply && (len(e.failed) > 0 || rec.Flags&wire.FlagMore != 0 && e.differs(uint16(rec.Codec))) {
			return true
		}
	}
	return false
}

// record changes a record into what the peer gets, and reports whether it gets anything.
func (e *edge) record(rec *wire.Record) (body []byte, keep bool) {
	switch {
	case rec.Kind == wire.Reply && rec.Flags&wire.FlagMore == 0:
		return e.end(rec), true
	case rec.Kind != wire.Data && rec.Kind != wire.Reply || !e.differs(uint16(rec.Codec)):
		return rec.Body, true
	}
	from := e.formats.reader(uint16(rec.Codec))
	body, err := e.rewrite(from, rec.Body)
	if err == nil {
		e.edged.Add(1)
		rec.Codec = onWire(e.number)
		return body, true
	}
	name := "a struct of unknown format"
	if from != nil {
		name = from.Spec().String()
	}
	if rec.Kind == wire.Data {
		e.misfit(rec.N, name, err)
		return nil, false
	}
	if e.failed == nil {
		e.failed = map[uint64]string{}
	}
	e.failed[rec.N] = fmt.Sprintf("cannot convert an answer from %s to %s: %v", name, e.to.Spec(), err)
	return nil, false
}

// end is what a caller is told at the end of a call.
func (e *edge) end(rec *wire.Record) []byte {
	why, bad := e.failed[rec.N]
	if !bad {
		return rec.Body
	}
	delete(e.failed, rec.N)
	if rec.M != 0 { // it has not ended well anyhow
		return rec.Body
	}
	rec.M = wire.EndFailed
	return []byte(why[:min(len(why), 4096)])
}

// rewrite writes a payload as the peer reads it. The error says which field or byte is in the way.
func (e *edge) rewrite(from codec.Codec, payload []byte) ([]byte, error) {
	if from == nil {
		return nil, fmt.Errorf("say how it is written: emits = { format = ... } on the satellite that puts it out")
	}
	if from.Spec().Name == "raw" {
		return nil, codec.Possible(from.Spec(), e.to.Spec())
	}
	v, err := from.Decode(payload)
	if err != nil {
		return nil, err
	}
	b, err := e.to.Encode(v)
	if err == nil && len(b) > wire.MaxBody {
		err = fmt.Errorf("it would have %d bytes, and a message has at most %d", len(b), wire.MaxBody)
	}
	return b, err
}

// misfit sets aside a message whose payload a session cannot be given: whatever is wanted of messages that fail, for no worker has seen
// it, and another attempt would end the same way.
func (o *orchester) misfit(s *session, n uint64, from string, to codec.Spec, why error) {
	w := &s.worker
	if !w.hand.holds(n) {
		return // its process has died meanwhile: it comes here again, or is cancelled
	}
	s.step.count.misfits++
	i := o.t.answered(o.now, w, w.hand.find(n))
	h := o.t.hops.at(i)
	origin := "outside"
	if h.from != outside {
		origin = o.t.steps[h.from].name
	}
	reason := fmt.Sprintf("cannot convert it from %s, as it came from %s, to %s, which %s accepts: %v", from, origin, to, s.step.name, why)
	o.t.testify(i, fmt.Sprintf("attempt %d at %s: %s", h.attempts, w.name, reason))
	o.t.setAside(o.now, i, reason)
}
