package satellites

import (
	"context"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// pipe is a stream in memory: what one end sends the other receives, in order and without limit.
type pipe struct {
	mu     sync.Mutex
	more   sync.Cond
	frames [][]byte
	closed bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.more.L = &p.mu
	return p
}

func (p *pipe) send(frame []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return io.EOF
	}
	p.frames = append(p.frames, slices.Clone(frame))
	p.more.Signal()
	return nil
}

func (p *pipe) recv(buf []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.frames) == 0 && !p.closed {
		p.more.Wait()
	}
	if len(p.frames) == 0 {
		return nil, io.EOF
	}
	f := p.frames[0]
	p.frames = p.frames[1:]
	return append(buf[:0], f...), nil
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.more.Broadcast()
}

// end is the satellite's end of two pipes.
type end struct {
	ctx     context.Context
	in, out *pipe
}

func (e *end) Context() context.Context        { return e.ctx }
func (e *end) Send(frame []byte) error         { return e.out.send(frame) }
func (e *end) Recv(buf []byte) ([]byte, error) { return e.in.recv(buf) }

// daemon is dsatd as one session sees it.
type daemon struct {
	t        *testing.T
	node     *node
	to, from *pipe
	epoch    uint32
	hello    wire.HelloBody
	records  []wire.Record
	served   chan error
}

// dial opens a stream to the node, before any HELLO.
func dial(t *testing.T, n *node) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{t: t, node: n, to: newPipe(), from: newPipe(), epoch: 1, served: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.served <- n.serve(&end{ctx: ctx, in: d.to, out: d.from})
		d.from.close()
	}()
	t.Cleanup(func() {
		d.hangUp()
		cancel()
		<-done
	})
	return d
}

func (d *daemon) hangUp() { d.to.close() }

var defaultWelcome = wire.WelcomeBody{
	InHand: 64, Bytes: 1 << 20, EmitMessages: 4, EmitBytes: 1 << 20,
	Routes: []string{"csv", "alarm"}, From: []string{"clock", "cpu"}, MaxBody: 1 << 20,
}

// welcome takes HELLO and answers it.
func (d *daemon) welcome(w wire.WelcomeBody) *daemon {
	d.t.Helper()
	rec := d.read()
	if rec.Kind != wire.Hello {
		d.t.Fatalf("first record is %v, want HELLO", rec.Kind)
	}
	if err := wire.ParseJSON(&rec, &d.hello); err != nil {
		d.t.Fatal(err)
	}
	w.Epoch = d.epoch
	d.send(wire.Record{Header: wire.Header{Kind: wire.Welcome}, Body: wire.AppendJSON(nil, w)})
	return d
}

func (d *daemon) send(records ...wire.Record) {
	d.t.Helper()
	var b wire.Builder
	for i := range records {
		if !b.Fits(len(records[i].Body)) {
			d.t.Fatal("too much for one frame")
		}
		records[i].Epoch = d.epoch
		b.Add(&records[i].Header, records[i].Body)
	}
	if err := d.to.send(b.Frame()); err != nil {
		d.t.Fatal(err)
	}
}

// read returns the next record; its end is that of the test.
func (d *daemon) read() wire.Record {
	d.t.Helper()
	for len(d.records) == 0 {
		buf, err := d.from.recv(nil)
		if err != nil {
			d.t.Fatalf("no more records: %v", err)
		}
		r, err := wire.Parse(buf)
		if err != nil {
			d.t.Fatal(err)
		}
		var rec wire.Record
		for r.Next(&rec) {
			d.records = append(d.records, rec)
		}
	}
	rec := d.records[0]
	d.records = d.records[1:]
	if rec.Kind != wire.Hello && rec.Epoch != d.epoch {
		d.t.Fatalf("%v has epoch %d, want %d", rec.Kind, rec.Epoch, d.epoch)
	}
	return rec
}

// want reads one record of a kind.
func (d *daemon) want(kind wire.Kind) wire.Record {
	d.t.Helper()
	rec := d.read()
	if rec.Kind != kind {
		d.t.Fatalf("got %v %d %q, want %v", rec.Kind, rec.N, rec.Body, kind)
	}
	return rec
}

// answers reads DONEs and FAILs until all those hops are answered, each once, and returns how.
func (d *daemon) answers(hops ...uint64) map[uint64]wire.Kind {
	d.t.Helper()
	got := map[uint64]wire.Kind{}
	for len(got) < len(hops) {
		rec := d.read()
		if rec.Kind != wire.Done && rec.Kind != wire.Fail {
			d.t.Fatalf("got %v, want an answer", rec.Kind)
		}
		for _, n := range hops {
			if n == rec.N || n > rec.N && n <= rec.M {
				if _, twice := got[n]; twice {
					d.t.Fatalf("hop %d was answered twice", n)
				}
				got[n] = rec.Kind
			}
		}
	}
	return got
}

func data(n uint64, payload string) wire.Record {
	return wire.Record{
		Header: wire.Header{Kind: wire.Data, N: n, M: 100 + n, ID: 200 + n, Time: 1e18, Codec: wire.JSON, Hops: 3, Flags: 1, Port: 1},
		Body:   []byte(payload),
	}
}

func record(kind wire.Kind, n, m uint64) wire.Record {
	return wire.Record{Header: wire.Header{Kind: kind, N: n, M: m}}
}

// workerNode is a node with a handler, ended with the test.
func workerNode(t *testing.T, h Handler, opts ...Option) *node {
	t.Helper()
	set, err := apply(opts)
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(Identity{Name: "cpu", WID: 1, Incarnation: 1<<32 | 1, Token: "t"}, set)
	n.worker = newWorker(h, set)
	t.Cleanup(func() {
		n.worker.stop()
		n.worker.running.Wait()
	})
	return n
}

func sourceNode(t *testing.T, f Source, opts ...Option) *node {
	t.Helper()
	set, err := apply(opts)
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(Identity{Name: "clock", Incarnation: 1<<32 | 1, Token: "t"}, set)
	n.source = newSource(f, set)
	return n
}

// waiting runs the end of the process beside the test.
type waiting struct {
	term chan os.Signal
	err  chan error
}

func wait(t *testing.T, n *node) *waiting {
	t.Helper()
	w := &waiting{term: make(chan os.Signal, 1), err: make(chan error, 1)}
	served := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.err <- n.wait(w.term, served)
	}()
	t.Cleanup(func() {
		close(served)
		<-done
	})
	return w
}

// within fails the test when the end does not come; the time only bounds a failure.
func (w *waiting) within(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.err:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the process would not end")
		return nil
	}
}
