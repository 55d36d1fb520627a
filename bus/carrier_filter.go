package bus

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// filterCarrier makes a peer of a program that reads messages from its standard input and answers on its standard output.
// The writer turns DATA into questions, the reader turns answers into DONE or EMIT; both speak bus/wire to the loop.
type filterCarrier struct {
	bus     *Bus
	mode    topology.Mode
	form    framing
	naming  *naming
	in, out *os.File      // its stdin and stdout; each may be nil
	exited  chan struct{} // the process is gone, or the bus is closed
	gone    sync.Once
	left    chan struct{} // nobody wants anything any more
	dropped sync.Once
	window  window // of a source
	rein    rein   // holds the reader

	// What follows belongs to the reader, and to whoever holds it.
	reading  *answers
	entering bool   // payload is read, and not handed in
	payload  []byte // of a source
	wrong    error  // of an answer in mode many: it cannot be taken

	mu    sync.Mutex
	asked []uint64 // dispatches written and not answered, in order
}

// How long the output of a process that is gone is read on. A grandchild may hold it open for ever.
const (
	lastWords   = 100 * time.Millisecond
	sourceWords = 10 * time.Second // of a source: its lines wait in the pipe while the queues below are full
)

// complaint is a fault that shows only if the process lives on.
type complaint string

func (c complaint) Error() string { return string(c) }

// startFilter begins to speak with a filter. unread is what an earlier daemon has read of its output and not taken.
func (b *Bus) startFilter(sat *topology.Satellite, in, out *os.File, unread []byte) *peer {
	c := &filterCarrier{bus: b, mode: sat.Mode, form: newFraming(sat), naming: newNaming(sat.Route.Member), in: in, out: out, exited: make(chan struct{}), left: make(chan struct{})}
	if c.mode == "" {
		c.mode = topology.ModeLockstep
	}
	c.window.moved = make(chan struct{}, 1)
	p := newPeer(c, b.pool)
	b.group.Go(func() { c.run(p, unread) })
	return p
}

// run reads to the end of the output and tells the loop after the writer has ended too.
func (c *filterCarrier) run(p *peer, unread []byte) {
	stop, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		c.write(p, stop)
	}()
	guard := make(chan struct{})
	go func() { // the end of the bus ends reads and writes
		defer close(guard)
		select {
		case <-c.bus.done:
			c.finish(p)
			c.drop(p)
		case <-stop:
		}
	}()
	err := c.read(p, unread)
	if c.mode == topology.ModeSink && err == nil {
		<-c.exited // a sink may close its output at once
	}
	close(stop)
	if c.in != nil {
		_ = c.in.Close()
	}
	<-written
	<-guard
	if c.out != nil {
		_ = c.out.Close()
	}
	c.bus.deliver(inbound{peer: p, err: err})
}

// write turns the frames of the loop into questions.
func (c *filterCarrier) write(p *peer, stop chan struct{}) {
	var frames [][]byte
	var lines []byte
	var answers wire.Builder
	for {
		select {
		case <-p.box.wake:
		case <-stop:
			return
		}
		frames = p.box.take(frames)
		for _, f := range frames {
			lines = c.questions(f, lines[:0], &answers)
			p.pool.put(f)
			if err := c.ask(lines); err != nil {
				c.bus.deliver(inbound{peer: p, err: complaint("cannot write to its standard input: " + err.Error())})
				return
			}
			c.hand(p, &answers)
		}
	}
}

func (c *filterCarrier) ask(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if c.in == nil {
		return os.ErrClosed
	}
	_, err := c.in.Write(lines)
	return err
}

// questions appends the DATA of a frame to lines. A payload that its form cannot carry fails at once; for a sink, that it is
// written is its answer.
func (c *filterCarrier) questions(frame, lines []byte, answers *wire.Builder) []byte {
	r, err := wire.Parse(frame)
	if err != nil {
		return lines // our own frames
	}
	var rec wire.Record
	for r.Next(&rec) {
		switch rec.Kind {
		case wire.Accepted:
			c.window.accept(rec.N)
		case wire.Welcome, wire.Routes:
			c.naming.learn(&rec)
		case wire.Data:
			next, err := c.form.question(lines, rec.Body)
			if err != nil {
				c.answer(answers, &wire.Header{Kind: wire.Fail, N: rec.N}, []byte(err.Error()))
				continue
			}
			lines = next
			if c.mode == topology.ModeSink {
				c.answer(answers, &wire.Header{Kind: wire.Done, N: rec.N}, nil)
				continue
			}
			c.mu.Lock()
			c.asked = append(c.asked, rec.N)
			c.mu.Unlock()
		}
	}
	return lines
}

func (c *filterCarrier) answer(b *wire.Builder, h *wire.Header, body []byte) {
	h.Epoch = c.bus.cfg.Epoch
	b.Add(h, body)
}

// hand gives what was built to the loop.
func (c *filterCarrier) hand(p *peer, b *wire.Builder) bool {
	f := b.Frame()
	if f == nil {
		return true
	}
	b.Swap(nil)
	return c.bus.deliver(inbound{peer: p, frame: f})
}

// read turns answers into records, as many in a frame as are there. nil: the output ended.
func (c *filterCarrier) read(p *peer, unread []byte) error {
	if c.out == nil {
		<-c.exited
		return nil
	}
	in := newAnswers(io.MultiReader(bytes.NewReader(unread), spout{c}), c.form)
	c.reading = in
	var b wire.Builder
	seq := uint64(0)
	for {
		payload, err := in.next()
		if err != nil {
			c.hand(p, &b)
			return endOf(err)
		}
		if !b.Fits(len(payload) + wire.OutputHeader + 8) {
			c.hand(p, &b)
		}
		switch c.mode {
		case topology.ModeSink:
		case topology.ModeSource:
			if !c.emit(p, &b, &seq, payload) {
				return nil
			}
		default:
			if err := c.reply(p, &b, payload); err != nil {
				c.hand(p, &b)
				return err
			}
		}
		if !in.more() && !c.hand(p, &b) {
			return nil
		}
	}
}

// emit hands in a line of a source, once for each link that it names, and reports whether it could. One that names what is no link goes to
// all of them as it is: a source cannot be told.
func (c *filterCarrier) emit(p *peer, b *wire.Builder, seq *uint64, line []byte) bool {
	ports, payload := []uint16{wire.AllLinks}, line
	if c.naming.member != "" {
		c.entering, c.payload = true, line
		select {
		case <-c.naming.known:
		case <-c.left:
			return false
		}
		if rest, named, err := c.naming.read(line); err == nil && named != nil {
			ports, payload = named, rest
		} else if err == nil {
			payload = rest
		}
	}
	for k, port := range ports {
		c.entering, c.payload = true, line
		if k > 0 {
			c.payload = c.naming.left(payload, ports[k:])
		}
		if !b.Fits(len(payload)) {
			c.hand(p, b)
		}
		if !c.window.enter(len(payload), c.left, c.rein.pass, func() { c.hand(p, b) }) {
			return false
		}
		*seq++
		c.answer(b, &wire.Header{Kind: wire.Emit, N: *seq, Port: port, Codec: c.form.codec()}, payload)
	}
	c.entering, c.payload = false, nil
	return true
}

// reply answers the oldest question. In mode many, outputs are staged until an empty line ends them.
func (c *filterCarrier) reply(p *peer, b *wire.Builder, payload []byte) error {
	c.mu.Lock()
	if len(c.asked) == 0 {
		c.mu.Unlock()
		return violated("it answered without being asked: %.60q", payload)
	}
	n := c.asked[0]
	last := c.mode != topology.ModeMany || len(payload) == 0
	if last {
		c.asked = c.asked[:copy(c.asked, c.asked[1:])]
	}
	c.mu.Unlock()
	payload, ports, err := c.naming.read(payload)
	switch {
	case c.mode != topology.ModeMany:
		if err == nil {
			err = c.form.check(payload)
		}
		if err != nil {
			c.answer(b, &wire.Header{Kind: wire.Fail, N: n}, []byte(err.Error()))
			break
		}
		if ports != nil {
			c.put(p, b, n, ports, payload)
			c.answer(b, &wire.Header{Kind: wire.Done, N: n}, nil)
			break
		}
		b.Begin(&wire.Header{Kind: wire.Done, N: n, Epoch: c.bus.cfg.Epoch})
		b.Output(wire.AllLinks, c.form.codec(), payload)
		b.End()
	case last && c.wrong != nil:
		c.answer(b, &wire.Header{Kind: wire.Fail, N: n}, []byte(c.wrong.Error()))
		c.wrong = nil
	case last:
		c.answer(b, &wire.Header{Kind: wire.Done, N: n}, nil)
	case err != nil:
		c.wrong = err
	case ports != nil:
		c.put(p, b, n, ports, payload)
	default:
		c.answer(b, &wire.Header{Kind: wire.Out, N: n, Port: wire.AllLinks, Codec: c.form.codec()}, payload)
	}
	return nil
}

// put stages an output for each of these links.
func (c *filterCarrier) put(p *peer, b *wire.Builder, n uint64, ports []uint16, payload []byte) {
	for _, port := range ports {
		if !b.Fits(len(payload)) {
			c.hand(p, b)
		}
		c.answer(b, &wire.Header{Kind: wire.Out, N: n, Port: port, Codec: c.form.codec()}, payload)
	}
	if !b.Fits(0) {
		c.hand(p, b)
	}
}

// endOf is nil for what ends the output of a process in good order.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) || terminalClosed(err) {
		return nil
	}
	return err
}

func (c *filterCarrier) flush(*peer) {} // the outbox wakes the writer

// finish: the process is gone. What it has written is read, and no longer waited for than a moment.
func (c *filterCarrier) finish(*peer) {
	c.gone.Do(func() {
		close(c.exited)
		patience := lastWords
		if c.mode == topology.ModeSource {
			patience = sourceWords
		}
		if c.out != nil {
			_ = c.out.SetReadDeadline(time.Now().Add(patience))
		}
		if c.in != nil {
			_ = c.in.SetWriteDeadline(time.Now())
		}
	})
}

func (c *filterCarrier) drop(p *peer) {
	c.dropped.Do(func() { close(c.left) })
	c.finish(p)
	if c.out != nil {
		_ = c.out.SetReadDeadline(time.Now())
	}
}

// window keeps a source from having more on its way than the loop grants.
type window struct {
	mu       sync.Mutex
	accepted uint64
	sizes    []int // of what is not accepted yet, in order
	bytes    int
	moved    chan struct{}
}

const (
	filterMessages = 1024
	filterBytes    = emitBytes / 2
)

func (w *window) accept(n uint64) {
	w.mu.Lock()
	for w.accepted < n && len(w.sizes) > 0 {
		w.bytes -= w.sizes[0]
		w.sizes = w.sizes[1:]
		w.accepted++
	}
	w.mu.Unlock()
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// enter waits for room, after handing in what is under way, and reports whether there is any.
func (w *window) enter(n int, left <-chan struct{}, pass func(<-chan struct{}, func()) bool, hand func()) bool {
	for {
		if !pass(left, hand) {
			return false
		}
		w.mu.Lock()
		if len(w.sizes) == 0 || (len(w.sizes) < filterMessages && w.bytes+n <= filterBytes) {
			w.sizes = append(w.sizes, n)
			w.bytes += n
			w.mu.Unlock()
			return true
		}
		w.mu.Unlock()
		hand()
		select {
		case <-w.moved:
		case <-left:
			return false
		}
	}
}
