package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// FilterEnds is what the next daemon needs to go on with a filter: our ends of its standard input and output, which stay the bus's own,
// -1 for none, and what was read of its output and is not taken yet.
type FilterEnds struct {
	In, Out int
	Unread  []byte
}

// Hold stops the reading of all filters and returns their ends by instance. The bus must be frozen; Hold comes before Export, which
// takes along what they have said till then. Release lets them go on.
func (b *Bus) Hold(ctx context.Context) (map[string]FilterEnds, error) {
	carriers, err := ask(ctx, b, func(o *orchester) (map[topology.Ref]*filterCarrier, error) {
		if !o.t.frozen {
			return nil, &Error{KindConflict, "cannot hold the filters: the bus is not frozen"}
		}
		all := make(map[topology.Ref]*filterCarrier)
		for ref, i := range o.instances {
			if i.gone || i.peer == nil {
				continue
			}
			if c, ok := i.peer.carrier.(*filterCarrier); ok {
				all[ref] = c
			}
		}
		return all, nil
	})
	if err != nil {
		return nil, err
	}
	ends := make(map[string]FilterEnds, len(carriers))
	for ref, c := range carriers {
		b.mail.post(func(o *orchester) { o.holding = append(o.holding, c) })
		e, err := c.hold(ctx)
		if err != nil {
			b.Release()
			return nil, &Error{KindTimeout, fmt.Sprintf("cannot hold the output of %s: %v", ref, err)}
		}
		ends[ref.String()] = e
	}
	// What they have handed in is on its way to the loop, which takes it before the answers of two more questions.
	for range 2 {
		if err := b.taken(ctx); err != nil {
			b.Release()
			return nil, err
		}
	}
	return ends, nil
}

// taken waits until the loop has taken what is in the channel now.
func (b *Bus) taken(ctx context.Context) error {
	for {
		if err := b.Alive(ctx); err != nil {
			return err
		}
		if len(b.in) == 0 {
			return b.Alive(ctx)
		}
	}
}

// Release lets the filters go on that Hold has stopped.
func (b *Bus) Release() {
	b.mail.post(func(o *orchester) {
		for _, c := range o.holding {
			c.release()
		}
		o.holding = nil
	})
}

// rein holds a reader where it takes nothing and loses nothing: before it reads, or before it hands in.
type rein struct {
	mu       sync.Mutex
	loosened chan struct{} // closed when the hold is over; nil: nobody holds
	parked   chan struct{} // closed when the reader waits
	told     bool
}

// pull begins a hold; the channel is closed once the reader waits.
func (r *rein) pull() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loosened, r.parked, r.told = make(chan struct{}), make(chan struct{}), false
	return r.parked
}

func (r *rein) loose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loosened != nil {
		close(r.loosened)
		r.loosened = nil
	}
}

// pass waits while somebody holds, after doing what has to be done before; false: nobody wants anything any more.
func (r *rein) pass(left <-chan struct{}, before func()) bool {
	if !r.held() {
		return true
	}
	before()
	r.mu.Lock()
	on := r.loosened
	if on == nil {
		r.mu.Unlock()
		return true
	}
	if !r.told {
		r.told = true
		close(r.parked)
	}
	r.mu.Unlock()
	select {
	case <-on:
		return true
	case <-left:
		return false
	}
}

func (r *rein) held() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loosened != nil
}

// spout is a filter's output as its reader sees it.
type spout struct{ c *filterCarrier }

// Read waits while the filter is held.
func (s spout) Read(p []byte) (int, error) {
	for {
		if !s.c.rein.pass(s.c.left, func() {}) { // nothing is under way: the reader hands in what it has before it reads
			return 0, io.EOF
		}
		n, err := s.c.out.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && s.c.rein.held() {
			continue // it was woken to wait
		}
		return n, err
	}
}

// hold stops the reader.
func (c *filterCarrier) hold(ctx context.Context) (FilterEnds, error) {
	e := FilterEnds{In: -1, Out: -1}
	var err error
	if c.in != nil {
		e.In, err = descriptor(c.in)
	}
	if c.out == nil || err != nil {
		return e, err
	}
	parked := c.rein.pull()
	_ = c.out.SetReadDeadline(time.Unix(1, 0)) // a pipe that does not block has deadlines
	select {
	case c.window.moved <- struct{}{}:
	default:
	}
	select {
	case <-parked:
	case <-c.left: // it has ended
		return e, nil
	case <-ctx.Done():
		c.release()
		return e, ctx.Err()
	}
	if c.reading != nil {
		if e.Unread = c.reading.rest(); c.entering {
			e.Unread = c.reading.before(c.payload)
		}
	}
	e.Out, err = descriptor(c.out)
	return e, err
}

// release lets the reader go on.
func (c *filterCarrier) release() {
	if c.out == nil || !c.rein.held() {
		return
	}
	until := time.Time{}
	select {
	case <-c.exited:
		until = time.Now().Add(lastWords)
	default:
	}
	_ = c.out.SetReadDeadline(until)
	c.rein.loose()
}

// descriptor is the number of a file, which stays its own.
func descriptor(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// before is a message that was taken out of the reader, and what came after it.
func (a *answers) before(payload []byte) []byte {
	var b []byte
	if a.form.speaks == topology.SpeaksFrames {
		b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
		b = append(b, payload...)
	} else {
		b = append(append(b, payload...), '\n')
	}
	a.buf = a.buf[:0]
	return append(b, a.rest()...)
}
