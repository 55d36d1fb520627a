package bus

import (
	"sync"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// carrier is a way to bring frames to a peer. None of its methods blocks.
type carrier interface {
	// flush: there is something in the peer's outbox.
	flush(p *peer)
	// drop: nothing more will be sent to the peer or is wanted from it.
	drop(p *peer)
	// finish: the process is gone; hand in what it has still sent, then its end.
	finish(p *peer)
}

// peer is the daemon's end of one connection. The loop writes records to it; its carrier brings the frames away.
type peer struct {
	carrier carrier
	pool    framePool
	box     outbox
	address string      // ROUTER's routing id of a ZeroMQ peer
	route   []byte      // the same
	v1      *v1Socket   // of [bus.v1]: no peer, but an endpoint
	port    *legacyPort // likewise, as the loop sees it

	// bound names the instance this connection can only belong to: plugins and filters. Others are bound by HELLO.
	bound bool
	ref   topology.Ref
	inc   topology.Incarnation

	// Only the loop uses what follows.
	sess    *session
	edge    *edge // nil: nothing is converted for it
	out     wire.Builder
	begun   bool     // out has memory
	sealed  [][]byte // frames that are full
	dirty   bool
	refused bool // nothing it sends is taken any more
	left    bool // nothing is sent to it any more
}

func newPeer(c carrier, pool framePool) *peer {
	return &peer{carrier: c, pool: pool, box: outbox{wake: make(chan struct{}, 1)}}
}

// add appends a record to what the next flush sends.
func (p *peer) add(h *wire.Header, body []byte) {
	if !p.out.Fits(len(body)) {
		p.seal()
	}
	if !p.begun {
		p.begun = true
		p.out.Swap(p.pool.get())
	}
	p.out.Add(h, body)
}

func (p *peer) seal() {
	if f := p.out.Frame(); f != nil {
		p.sealed = append(p.sealed, f)
		p.out.Swap(nil)
		p.begun = false
	}
}

// flush hands all frames to the carrier and reports whether more of them wait than a peer that reads can be the cause of.
func (p *peer) flush() (unread bool) {
	p.dirty = false
	p.seal()
	if len(p.sealed) == 0 {
		return false
	}
	most := unreadBytes
	var waiting, bytes int
	converted := false
	if p.edge != nil {
		most *= inflation
		waiting, bytes, converted = p.edge.put(p.sealed)
	}
	if !converted {
		waiting, bytes = p.box.put(p.sealed)
		p.carrier.flush(p)
	}
	p.sealed = p.sealed[:0]
	return p.sess != nil && (waiting > unreadFrames+p.sess.step.cfg.inHand || bytes > most)
}

// unread is how many bytes wait to be sent to the peer.
func (p *peer) unread() int {
	n := p.out.Len() + p.edge.unread()
	for _, f := range p.sealed {
		n += len(f)
	}
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	return n + p.box.bytes
}

// outbox is frames between the loop and a carrier. Credit bounds DATA in it; what answers a peer's own questions is bounded
// by unread.
type outbox struct {
	mu     sync.Mutex
	frames [][]byte
	bytes  int
	wake   chan struct{}
}

// What may wait for a peer that reads: DATA within its credit (a frame for each message, at most), one message larger than that, and
// answers to what it asks itself.
const (
	unreadFrames = emitMessages + 1024 // beyond those with DATA
	unreadBytes  = handBytes + wire.MaxMessage + 4<<20
)

// put appends frames and returns how much is waiting.
func (b *outbox) put(frames [][]byte) (waiting, bytes int) {
	b.mu.Lock()
	b.frames = append(b.frames, frames...)
	for _, f := range frames {
		b.bytes += len(f)
	}
	waiting, bytes = len(b.frames), b.bytes
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return waiting, bytes
}

// take moves all frames to into, which is returned.
func (b *outbox) take(into [][]byte) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	into = append(into[:0], b.frames...)
	b.frames, b.bytes = b.frames[:0], 0
	return into
}

// framePool is memory of frames that are read or sent, to be used again.
type framePool chan []byte

// keptFrames bounds the pool: 64 KiB each.
const keptFrames = 64

// smallFrame is the memory a frame begins with; buffers that grew come back and are used again.
const smallFrame = 4 << 10

// get returns memory for a frame.
func (p framePool) get() []byte {
	select {
	case f := <-p:
		return f
	default:
		return make([]byte, 0, smallFrame)
	}
}

// put gives back the memory of a frame. What is small or huge is the collector's.
func (p framePool) put(f []byte) {
	if cap(f) < smallFrame || cap(f) > 4*wire.MaxFrame {
		return
	}
	select {
	case p <- f[:0]:
	default:
	}
}

// inbound is what carriers tell the loop, in order.
type inbound struct {
	peer  *peer
	frame []byte // nil: the end of the peer's input
	err   error  // of the end
}

// putBack puts frames that could not be sent before all others.
func (b *outbox) putBack(frames [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frames = append(append(make([][]byte, 0, len(frames)+len(b.frames)), frames...), b.frames...)
	for _, f := range frames {
		b.bytes += len(f)
	}
}

// waiting is how many frames are in it.
func (b *outbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.frames)
}
