package satellites

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// ErrStopped is what Emit returns after dsatd said that nothing new is to come: a drain, or SIGTERM.
var ErrStopped = errors.New("cannot emit: the satellite is stopping")

// Emitter is how a source speaks. Its methods may be called from several goroutines.
//
// Messages are numbered 1, 2, 3 ... in the order of Emit. What dsatd has accepted will be delivered; what it has not is
// kept here, within the window that dsatd grants, and sent again if the session has to be opened anew.
type Emitter struct {
	codec wire.Codec

	mu      sync.Mutex
	changed sync.Cond // accepted, window, stopped
	session *session  // nil before the first
	links   *links
	idle    bool // the writer found nothing to send
	stopped bool

	emitted     uint64 // number of the last message
	accepted    uint64 // all up to here
	sent        uint64 // all up to here, in this session
	bytes       uint64 // of payloads not accepted
	maxMessages uint64 // window
	maxBytes    uint64

	frame  wire.Builder // being filled
	chunks []chunk      // frames with messages not accepted, from head on
	head   int
	unsent int // first of chunks not sent in this session
	free   [][]byte
}

// chunk is a frame of EMITs.
type chunk struct {
	frame   []byte
	records wire.Reader // from the first one not accepted
	last    uint64      // number of its last message
	busy    bool        // being sent: its memory is in use
}

func newEmitter(codec wire.Codec) *Emitter {
	e := &Emitter{codec: codec}
	e.changed.L = &e.mu
	return e
}

// Emit sends payload, which is copied, along every link. It waits while the window is used up, that is while the queues
// below are full, and returns ErrStopped when the satellite is to stop.
func (e *Emitter) Emit(payload []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.emit(wire.AllLinks, payload, Wishes{})
}

// Wishes is what may be asked of a message; zero values ask for nothing.
type Wishes struct {
	ID       uint64        // its number: taken once, where a queue has a window for that; each step has its own numbers
	Delay    time.Duration // before it is given to a worker; up to 49 days, in milliseconds
	TTL      time.Duration // in which its task must have ended; likewise
	Priority uint8         // 0 to 9, the highest first, where a queue has levels
}

// EmitWith is Emit with wishes. With a step it is EmitTo.
func (e *Emitter) EmitWith(step string, payload []byte, w Wishes) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	port, err := uint16(wire.AllLinks), error(nil)
	if step != "" {
		port, err = e.links.port(step)
	}
	if err != nil {
		return err
	}
	return e.emit(port, payload, w)
}

// EmitTo is Emit along the link to one step. A link that does not exist is an error.
func (e *Emitter) EmitTo(step string, payload []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	port, err := e.links.port(step)
	if err != nil {
		return err
	}
	return e.emit(port, payload, Wishes{})
}

func (e *Emitter) emit(port uint16, payload []byte, w Wishes) error {
	if len(payload) > e.session.maxBody {
		return tooLarge(len(payload), e.session.maxBody)
	}
	for !e.stopped && !e.open(uint64(len(payload))) {
		e.changed.Wait()
	}
	if e.stopped {
		return ErrStopped
	}
	if !e.frame.Fits(len(payload)) {
		e.seal()
	}
	e.emitted++
	e.bytes += uint64(len(payload))
	h := wire.Header{Kind: wire.Emit, N: e.emitted, Port: port, Codec: e.codec, Epoch: e.session.out.epoch,
		ID: w.ID, M: wire.NewSpans(w.Delay, w.TTL), Flags: min(w.Priority, wire.MostPriority)}
	e.frame.Add(&h, payload)
	if e.idle {
		e.idle = false
		select {
		case e.session.out.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// open reports whether the window has room for a payload of n bytes. One that is larger than the window goes alone.
func (e *Emitter) open(n uint64) bool {
	waiting := e.emitted - e.accepted
	if e.maxMessages == 0 || e.maxBytes == 0 {
		return false
	}
	return waiting == 0 || waiting < e.maxMessages && e.bytes+n <= e.maxBytes
}

// Emitted is the number of the last message emitted; 0: none yet.
func (e *Emitter) Emitted() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.emitted
}

// known is the number of the last message that was accepted.
func (e *Emitter) known() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accepted
}

// Flush waits until all that was emitted is accepted.
func (e *Emitter) Flush(ctx context.Context) error {
	last := e.Emitted()
	for at := uint64(0); at < last; {
		var err error
		if at, err = e.WaitAccepted(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// WaitAccepted waits until more messages than the first n are accepted and returns how many are.
func (e *Emitter) WaitAccepted(ctx context.Context, n uint64) (uint64, error) {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.changed.Broadcast()
	})
	defer stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.accepted <= n {
		if err := ctx.Err(); err != nil {
			return e.accepted, err
		}
		e.changed.Wait()
	}
	return e.accepted, nil
}

// seal ends the frame being filled.
func (e *Emitter) seal() {
	frame := e.frame.Frame()
	if frame == nil {
		return
	}
	records, err := wire.Parse(frame)
	if err != nil { // we have just built it
		panic(err)
	}
	var buf []byte
	if last := len(e.free) - 1; last >= 0 {
		buf, e.free = e.free[last], e.free[:last]
	}
	e.frame.Swap(buf)
	e.chunks = append(e.chunks, chunk{frame: frame, records: records, last: e.emitted})
}

// send sends what is not sent and reports whether there was anything.
func (e *Emitter) send(ses *session) (more bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session != ses {
		return false, nil
	}
	e.seal()
	for e.session == ses && e.unsent < len(e.chunks) {
		more = true
		c := &e.chunks[e.unsent]
		frame, last := c.frame, c.last
		c.busy = true
		e.sent = last
		e.unsent++
		e.mu.Unlock()
		err = ses.stream.Send(frame)
		e.mu.Lock()
		e.rested(frame)
		if err != nil {
			return more, err
		}
	}
	e.idle = !more
	return more, nil
}

// rested marks the chunk with that frame as not being sent any more, if it is still kept.
func (e *Emitter) rested(frame []byte) {
	for i := e.unsent - 1; i >= e.head; i-- {
		if &e.chunks[i].frame[0] == &frame[0] {
			e.chunks[i].busy = false
			return
		}
	}
}

// accept takes note that all messages up to n are accepted.
func (e *Emitter) accept(n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(min(n, e.sent))
	e.changed.Broadcast()
}

// forget lets go what is accepted.
func (e *Emitter) forget(n uint64) {
	var rec wire.Record
	for e.accepted < n && e.head < len(e.chunks) {
		c := &e.chunks[e.head]
		for e.accepted < n && c.records.Next(&rec) {
			e.accepted++
			e.bytes -= uint64(len(rec.Body))
		}
		if e.accepted < c.last {
			return
		}
		if !c.busy && len(e.free) < keptBuffers && cap(c.frame) <= 2*wire.MaxFrame {
			e.free = append(e.free, c.frame)
		}
		*c = chunk{}
		e.head++
	}
	if e.head > 16 && e.head*2 > len(e.chunks) {
		kept := copy(e.chunks, e.chunks[e.head:])
		clear(e.chunks[kept:])
		e.chunks, e.unsent, e.head = e.chunks[:kept], e.unsent-e.head, 0
	}
}

// window is set by CREDIT.
func (e *Emitter) window(messages, bytes uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.maxMessages, e.maxBytes = messages, bytes
	e.changed.Broadcast()
}

// route is set by ROUTES.
func (e *Emitter) route(l *links) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.links = l
}

// attach goes on in a new session: what it does not know as accepted is sent again, under its epoch.
func (e *Emitter) attach(ses *session, w *wire.WelcomeBody) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session, e.links = ses, ses.links
	e.maxMessages, e.maxBytes = uint64(max(w.EmitMessages, 0)), uint64(max(w.EmitBytes, 0))
	e.seal()
	e.forget(min(w.Accepted, e.emitted))
	old := e.chunks[e.head:]
	e.chunks, e.head, e.unsent, e.sent = nil, 0, 0, e.accepted
	number := e.accepted
	for i := range old {
		var rec wire.Record
		for old[i].records.Next(&rec) {
			if !e.frame.Fits(len(rec.Body)) {
				e.sealAt(number)
			}
			rec.Epoch = ses.out.epoch
			e.frame.Add(&rec.Header, rec.Body)
			number++
		}
	}
	e.idle = false
	e.changed.Broadcast()
}

// sealAt is seal while the frame is filled anew: its last message is n.
func (e *Emitter) sealAt(n uint64) {
	e.seal()
	e.chunks[len(e.chunks)-1].last = n
}

// stop has Emit return ErrStopped from now on.
func (e *Emitter) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	e.changed.Broadcast()
}
