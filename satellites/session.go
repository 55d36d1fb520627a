package satellites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// carrier is the stream of frames to and from the daemon: a *plug.Stream. One goroutine may send while another receives.
type carrier interface {
	Context() context.Context
	Send(frame []byte) error
	Recv(buf []byte) ([]byte, error)
}

// session is one conversation with the daemon, from WELCOME to BYE or to the end of the stream.
type session struct {
	node    *node
	stream  carrier
	out     *outbox
	maxBody int
	links   *links // of the reader
	index   uint64 // DATA received

	calls        calls
	anyTopic     atomic.Bool
	topics       map[uint64]string // sessions of DATA to come, by dispatch number; mu guards it
	anyCancelled atomic.Bool
	mu           sync.Mutex
	gone         map[uint64]bool // hops cancelled before they began
}

// errHelloAgain: the daemon does not know this connection any more.
var errHelloAgain = errors.New("dsatd asked for HELLO again")

// lost is the end of the stream without BYE: the daemon went away, and may come back.
type lost struct{ err error }

func (l *lost) Error() string { return "lost dsatd: " + l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

// refusal is an ERROR after which the session is over.
type refusal struct {
	code uint64
	text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("dsatd ended the session: %s (code %d)", r.text, r.code)
}

// hello says HELLO and waits for WELCOME. rest is the frame's records after it.
func (n *node) hello(stream carrier) (ses *session, rest wire.Reader, err error) {
	body := wire.HelloBody{
		Step: n.id.Name, WID: n.id.WID, Incarnation: n.id.Incarnation, Token: n.id.Token, PID: os.Getpid(),
		Concurrency: n.set.concurrency, Source: n.source != nil, Topics: true, SDK: "go-1",
	}
	if e := n.emitter(); e != nil {
		body.Accepted = e.known()
	}
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Hello}, wire.AppendJSON(nil, body))
	if err := stream.Send(b.Frame()); err != nil {
		return nil, rest, &lost{err}
	}
	for {
		buf, err := stream.Recv(nil)
		if err != nil {
			return nil, rest, &lost{err}
		}
		r, err := wire.Parse(buf)
		if err != nil {
			return nil, rest, err
		}
		var rec wire.Record
		for r.Next(&rec) {
			switch rec.Kind {
			case wire.Welcome:
				ses, err := n.welcomed(stream, &rec)
				return ses, r, err
			case wire.Error:
				if rec.N != wire.ErrHelloAgain { // answers to what we said before HELLO
					return nil, rest, &refusal{rec.N, string(rec.Body)}
				}
			default: // of the session before
			}
		}
	}
}

func (n *node) welcomed(stream carrier, rec *wire.Record) (*session, error) {
	var w wire.WelcomeBody
	if err := wire.ParseJSON(rec, &w); err != nil {
		return nil, err
	}
	ses := &session{
		node: n, stream: stream, out: newOutbox(w.Epoch), maxBody: w.MaxBody,
		links: &links{to: w.Routes, from: w.From}, gone: map[uint64]bool{},
	}
	ses.calls.welcome(&w)
	if ses.maxBody <= 0 || ses.maxBody > wire.MaxBody {
		ses.maxBody = wire.MaxBody
	}
	if n.source != nil {
		n.source.emitter.attach(ses, &w)
	}
	return ses, nil
}

// talk runs a session until it is over. nil: by BYE.
func (ses *session) talk(rest wire.Reader) error {
	stop := make(chan struct{})
	written := make(chan struct{})
	go func() {
		defer close(written)
		ses.write(stop)
	}()
	err := ses.read(rest)
	ses.calls.lost()
	close(stop)
	// After an end by the daemon the writer may be stuck in a send that fails once the stream is closed behind us.
	select {
	case <-written:
	case <-time.After(time.Second):
	}
	if ses.node.worker != nil {
		ses.node.worker.lost(ses)
	}
	return err
}

// read takes what comes until the end. It never waits for a handler.
func (ses *session) read(rest wire.Reader) error {
	in := ses.node.frames()
	// What waited for this step comes in the very frame of WELCOME.
	if over, err := ses.frame(in, &frame{records: rest}); over {
		return err
	}
	for {
		f := in.buffer()
		var err error
		if f.buf, err = ses.stream.Recv(f.buf); err != nil {
			return &lost{err}
		}
		if f.records, err = wire.Parse(f.buf); err != nil {
			return err
		}
		over, err := ses.frame(in, f)
		if over {
			return err
		}
	}
}

// frame obeys the control records of a frame and hands its DATA over.
func (ses *session) frame(in *inbox, f *frame) (over bool, err error) {
	records, data := f.records, 0
	before := ses.links
	var rec wire.Record
	for records.Next(&rec) {
		if rec.Kind == wire.Data {
			data++
			continue
		}
		if over, err := ses.control(&rec); over {
			return true, err
		}
	}
	if data == 0 {
		in.unused(f)
		return false, nil
	}
	if ses.node.worker == nil {
		return true, fmt.Errorf("cannot take a message: this satellite is a source, and something links to it")
	}
	f.session, f.links, f.index, f.left, f.open = ses, before, ses.index, data, data
	ses.index += uint64(data)
	if ses.out.parted() { // it crossed our BYE: the daemon gives it to others
		in.unused(f)
		return false, nil
	}
	ses.out.received(data)
	in.put(f)
	return false, nil
}

// control obeys one record that is not DATA.
func (ses *session) control(rec *wire.Record) (over bool, err error) {
	switch rec.Kind {
	case wire.Credit:
		if e := ses.node.emitter(); e != nil {
			e.window(rec.N, rec.M)
		}
	case wire.Accepted:
		if e := ses.node.emitter(); e != nil {
			e.accept(rec.N)
		}
	case wire.Cancel:
		ses.cancel(rec.N)
	case wire.Routes:
		var r wire.RoutesBody
		if err := wire.ParseJSON(rec, &r); err != nil {
			return true, err
		}
		ses.links = &links{to: r.Routes, from: r.From}
		ses.calls.route(r.Calls)
		if e := ses.node.emitter(); e != nil {
			e.route(ses.links)
		}
	case wire.Reply:
		ses.calls.replied(rec)
	case wire.Topic:
		var t wire.TopicBody
		if err := wire.ParseJSON(rec, &t); err != nil {
			return true, err
		}
		ses.topic(rec.N, t.Session)
	case wire.Drain:
		ses.node.drained(ses)
	case wire.Ping:
		ses.out.say(wire.Header{Kind: wire.Pong, N: rec.N}, nil)
	case wire.Bye:
		return true, nil
	case wire.Error:
		if rec.N == wire.ErrHelloAgain {
			return true, errHelloAgain
		}
		return true, &refusal{rec.N, string(rec.Body)}
	default: // PONG; what is for daemons only
	}
	return false, nil
}

const mostMarks = 4096

func (ses *session) cancel(n uint64) {
	w := ses.node.worker
	if w == nil {
		return
	}
	// First the mark, then the slots: a handler that begins meanwhile takes its slot first and then looks at the mark.
	ses.mu.Lock()
	if len(ses.gone) >= mostMarks { // marks of hops that were answered already: losing one costs an ignored answer
		clear(ses.gone)
	}
	ses.gone[n] = true
	ses.anyCancelled.Store(true)
	ses.mu.Unlock()
	w.cancel(ses, n)
}

// topic notes the session of a DATA that follows.
func (ses *session) topic(n uint64, session string) {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.topics == nil {
		ses.topics = map[uint64]string{}
	}
	ses.topics[n] = session
	ses.anyTopic.Store(true)
}

// topicOf is the session of a hop that is about to begin.
func (ses *session) topicOf(n uint64) string {
	if !ses.anyTopic.Load() {
		return ""
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	name := ses.topics[n]
	if delete(ses.topics, n); len(ses.topics) == 0 {
		ses.anyTopic.Store(false)
	}
	return name
}

// cancelled reports whether a hop that is about to begin is not wanted any more.
func (ses *session) cancelled(n uint64) bool {
	if !ses.anyCancelled.Load() {
		return false
	}
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.gone[n]
}

// answered ends hops.
func (ses *session) answered(results []result, out *Output) {
	if ses.anyCancelled.Load() {
		ses.mu.Lock()
		for i := range results {
			delete(ses.gone, results[i].n)
		}
		ses.mu.Unlock()
	}
	ses.out.answered(results, out)
}

// write sends what there is to say until stop.
func (ses *session) write(stop <-chan struct{}) {
	var frames [][]byte
	e := ses.node.emitter()
	for {
		frames = ses.out.take(frames[:0])
		for _, f := range frames {
			if ses.stream.Send(f) != nil {
				return // the reader is told, too
			}
		}
		ses.out.give(frames)
		sent := len(frames) > 0
		if e != nil {
			more, err := e.send(ses)
			if err != nil {
				return
			}
			sent = sent || more
		}
		if sent {
			continue
		}
		select {
		case <-ses.out.wake:
		case <-stop:
			return
		}
	}
}
