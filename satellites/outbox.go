package satellites

import (
	"strings"
	"sync"

	"github.com/dsat/dsat/bus/wire"
)

// outbox is what one session has to say and has not said yet. Handlers append, one writer takes: a frame carries
// whatever became ready while the one before was being sent, and a lone record goes at once.
type outbox struct {
	wake  chan struct{} // capacity 1
	epoch uint32

	mu     sync.Mutex
	idle   bool         // the writer waits for wake
	frame  wire.Builder // being filled
	full   [][]byte     // complete, before frame
	free   [][]byte     // buffers to fill
	done   doneRange
	inHand int  // DATA received and not answered
	drain  bool // say BYE when inHand is 0
	bye    bool // said
}

// doneRange is acknowledgements that are not in a frame yet: hops without outputs that were delivered one after another.
type doneRange struct {
	first, last uint64 // dispatch numbers
	index       uint64 // place of last in the order of delivery
	any         bool
}

func newOutbox(epoch uint32) *outbox {
	return &outbox{wake: make(chan struct{}, 1), epoch: epoch}
}

// keptBuffers is how many frame buffers wait for reuse: as many frames of 64 KiB as a window holds. With fewer, a busy
// satellite grows new ones all the time, and its collector never rests.
const keptBuffers = 16

// notify wakes the writer. Whoever calls holds mu.
func (o *outbox) notify() {
	if o.idle {
		o.idle = false
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// add appends a record. Whoever calls holds mu.
func (o *outbox) add(h *wire.Header, body []byte) {
	o.room(len(body))
	h.Epoch = o.epoch
	o.frame.Add(h, body)
}

// room makes sure that a record with a body of n bytes fits the frame being filled.
func (o *outbox) room(n int) {
	if o.frame.Fits(n) {
		return
	}
	var buf []byte
	if last := len(o.free) - 1; last >= 0 {
		buf, o.free = o.free[last], o.free[:last]
	}
	o.frame.Frame()
	o.full = append(o.full, o.frame.Swap(buf))
}

// say appends one record of control.
func (o *outbox) say(h wire.Header, body []byte) {
	o.mu.Lock()
	o.closeRange()
	o.add(&h, body)
	o.notify()
	o.mu.Unlock()
}

// received counts DATA that came in.
func (o *outbox) received(n int) {
	o.mu.Lock()
	o.inHand += n
	o.mu.Unlock()
}

// parted reports that BYE was said: what comes now will be given to others.
func (o *outbox) parted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bye
}

// finish has BYE said as soon as nothing is in hand; pause first asks the daemon to send no more.
func (o *outbox) finish(pause bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drain {
		return
	}
	o.drain = true
	if pause {
		o.closeRange()
		o.add(&wire.Header{Kind: wire.Credit}, nil)
	}
	o.maybeBye()
	o.notify()
}

func (o *outbox) maybeBye() {
	if o.drain && o.inHand == 0 && !o.bye {
		o.closeRange()
		o.add(&wire.Header{Kind: wire.Bye}, nil)
		o.bye = true
	}
}

// answered ends hops: each by DONE with its outputs, or by FAIL.
func (o *outbox) answered(results []result, out *Output) {
	o.mu.Lock()
	for i := range results {
		switch r := &results[i]; {
		case r.err != nil:
			o.fail(r)
		case r.from == r.to:
			o.acknowledge(r)
		default:
			o.closeRange()
			o.outputs(r, out)
		}
	}
	o.inHand -= len(results)
	o.maybeBye()
	o.notify()
	o.mu.Unlock()
}

// acknowledge joins a hop without outputs to those before it. Only neighbours in the order of delivery may be joined:
// a range answers every hop of the session that lies within it.
func (o *outbox) acknowledge(r *result) {
	if o.done.any && r.index == o.done.index+1 && r.n > o.done.last {
		o.done.last, o.done.index = r.n, r.index
		return
	}
	o.closeRange()
	o.done = doneRange{first: r.n, last: r.n, index: r.index, any: true}
}

// closeRange puts the joined acknowledgements into the frame.
func (o *outbox) closeRange() {
	if !o.done.any {
		return
	}
	h := wire.Header{Kind: wire.Done, N: o.done.first}
	if o.done.last > o.done.first {
		h.M = o.done.last
	}
	o.done.any = false
	o.add(&h, nil)
}

// longestReason is how much of an error travels, in bytes.
const longestReason = 2 << 10

func (o *outbox) fail(r *result) {
	o.closeRange()
	h := wire.Header{Kind: wire.Fail, N: r.n}
	if !isPermanent(r.err) {
		h.Flags = wire.FlagRetry
	}
	o.add(&h, clip(r.err.Error(), longestReason))
}

// clip shortens a text to at most n bytes of valid UTF-8.
func clip(s string, n int) []byte {
	return []byte(strings.ToValidUTF8(s[:min(len(s), n)], ""))
}

// outputs writes DONE with its outputs, or those one by one before it where they would not fit a frame.
func (o *outbox) outputs(r *result, out *Output) {
	items := out.items[r.from:r.to]
	body := 0
	for _, it := range items {
		body += outputSize(it.to - it.from)
	}
	h := wire.Header{Kind: wire.Done, N: r.n}
	if wire.FrameHeader+wire.RecordSize(body) > wire.MaxFrame {
		for _, it := range items {
			o.add(&wire.Header{Kind: wire.Out, N: r.n, Port: it.port, Codec: it.codec}, out.bytes[it.from:it.to])
		}
		o.add(&h, nil)
		return
	}
	o.room(body)
	h.Epoch = o.epoch
	o.frame.Begin(&h)
	for _, it := range items {
		o.frame.Output(it.port, it.codec, out.bytes[it.from:it.to])
	}
	o.frame.End()
}

// outputSize is what an output of n bytes takes in the body of a DONE.
func outputSize(n int) int { return wire.OutputHeader + (n+7)&^7 }

// take moves everything there is to say into frames; none means that the writer has to wait for wake.
func (o *outbox) take(frames [][]byte) [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closeRange()
	frames = append(frames, o.full...)
	o.full = o.full[:0]
	if frame := o.frame.Frame(); frame != nil {
		var buf []byte
		if last := len(o.free) - 1; last >= 0 {
			buf, o.free = o.free[last], o.free[:last]
		}
		frames = append(frames, o.frame.Swap(buf))
	}
	o.idle = len(frames) == 0
	return frames
}

// give takes buffers back whose frames were sent.
func (o *outbox) give(frames [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range frames {
		if len(o.free) < keptBuffers && cap(f) <= 2*wire.MaxFrame {
			o.free = append(o.free, f)
		}
	}
}
