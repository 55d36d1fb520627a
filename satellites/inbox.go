package satellites

import (
	"sync"

	"github.com/dsat/dsat/bus/wire"
)

// inbox holds frames with DATA until handlers take them. The daemon's credit bounds it, so that putting never waits.
type inbox struct {
	whole bool // one handler: it takes frames whole

	mu       sync.Mutex
	nonEmpty sync.Cond
	frames   []*frame
	free     []*frame
	closed   bool
}

// frame is one frame in use; its buffer is used again when all its records are answered.
type frame struct {
	buf     []byte
	records wire.Reader
	session *session
	links   *links
	index   uint64 // place of the next DATA in the order of delivery
	left    int    // DATA not yet taken
	open    int    // DATA not yet let go
}

func newInbox(whole bool) *inbox {
	in := &inbox{whole: whole}
	in.nonEmpty.L = &in.mu
	return in
}

// buffer returns a frame to receive into.
func (in *inbox) buffer() *frame {
	in.mu.Lock()
	defer in.mu.Unlock()
	if last := len(in.free) - 1; last >= 0 {
		f := in.free[last]
		in.free = in.free[:last]
		return f
	}
	return &frame{}
}

// put queues a frame which has DATA.
func (in *inbox) put(f *frame) {
	in.mu.Lock()
	in.frames = append(in.frames, f)
	if in.whole || f.left == 1 {
		in.nonEmpty.Signal()
	} else {
		in.nonEmpty.Broadcast()
	}
	in.mu.Unlock()
}

// take waits for a frame. With several handlers each gets one record, read into rec; with one it gets the frame and
// reads the records itself. nil: the inbox is closed.
func (in *inbox) take(rec *wire.Record) (f *frame, index uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.frames) == 0 && !in.closed {
		in.nonEmpty.Wait()
	}
	if in.closed {
		return nil, 0
	}
	f = in.frames[0]
	if in.whole {
		in.pop()
		return f, f.index
	}
	for f.records.Next(rec) && rec.Kind != wire.Data {
	}
	index = f.index
	f.index++
	f.left--
	if f.left == 0 {
		in.pop()
	}
	return f, index
}

// pop removes the first frame and keeps the slice's memory.
func (in *inbox) pop() {
	n := copy(in.frames, in.frames[1:])
	in.frames[n] = nil
	in.frames = in.frames[:n]
}

// empty reports whether a handler would have to wait.
func (in *inbox) empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.frames) == 0
}

// release lets n records of f go.
func (in *inbox) release(f *frame, n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	f.open -= n
	if f.open == 0 {
		in.reuse(f)
	}
}

// reuse keeps a frame's buffer, unless it is a huge one. Whoever calls holds mu.
func (in *inbox) reuse(f *frame) {
	if len(in.free) >= keptBuffers {
		return
	}
	buf := f.buf
	if cap(buf) > 2*wire.MaxFrame {
		buf = nil
	}
	*f = frame{buf: buf[:0]}
	in.free = append(in.free, f)
}

// unused gives a frame back that held nothing for a handler.
func (in *inbox) unused(f *frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.reuse(f)
}

// forget drops what no handler has begun: the session is over, others get it.
func (in *inbox) forget() {
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(in.frames)
	in.frames = in.frames[:0]
}

// close ends all takes.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.nonEmpty.Broadcast()
}
