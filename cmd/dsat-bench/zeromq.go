package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/dsat/dsat/bus/wire"
)

// zeromqSession is the least a fast peer over ZeroMQ needs: HELLO, then frames both ways on one DEALER. It has no
// reconnection and no staging of large outputs; satellites/python/dsat.py is the real client of this carrier.
type zeromqSession struct {
	context *zmq4.Context
	socket  *zmq4.Socket
	welcome wire.WelcomeBody
	frame   wire.Builder
	rest    wire.Reader // of the frame of WELCOME: what waited for us comes in the same
	drain   bool        // nothing new is to be emitted
	over    bool        // BYE was said

	sent, taken     uint64 // last EMIT, last ACCEPTED
	asked, answered uint64 // last CALL, last end of a REPLY
}

var errDrain = errors.New("nothing new is to be emitted")

func dialZeromq(source bool) (*zeromqSession, error) {
	signal.Ignore(syscall.SIGTERM) // it comes right after our BYE, and there is still something to write: DRAIN is our word
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	socket, err := ctx.NewSocket(zmq4.DEALER)
	if err != nil {
		return nil, err
	}
	s := &zeromqSession{context: ctx, socket: socket}
	if err := errors.Join(socket.SetLinger(time.Second), socket.SetSndhwm(0), socket.SetRcvhwm(0), socket.Connect(os.Getenv("DSAT_BUS"))); err != nil {
		return nil, err
	}
	wid, _ := strconv.Atoi(os.Getenv("DSAT_WID"))
	inc, err := strconv.ParseUint(os.Getenv("DSAT_INCARNATION"), 10, 64)
	if err != nil {
		return nil, err
	}
	hello := wire.HelloBody{Step: os.Getenv("DSAT_NAME"), WID: wid, Incarnation: inc, Token: os.Getenv("DSAT_TOKEN"), PID: os.Getpid(), Source: source, SDK: "bench"}
	if !source {
		hello.Concurrency = 1
	}
	s.frame.Add(&wire.Header{Kind: wire.Hello}, wire.AppendJSON(nil, hello))
	if err := s.flush(); err != nil {
		return nil, err
	}
	return s, s.greeted()
}

// greeted takes WELCOME.
func (s *zeromqSession) greeted() error {
	var err error
	if s.rest, err = s.next(0); err != nil {
		return err
	}
	var rec wire.Record
	if s.rest.Next(&rec); rec.Kind != wire.Welcome {
		return fmt.Errorf("%v instead of WELCOME: %s", rec.Kind, rec.Body)
	}
	return wire.ParseJSON(&rec, &s.welcome)
}

// next takes a frame off the socket.
func (s *zeromqSession) next(flags zmq4.Flag) (wire.Reader, error) {
	frame, err := s.socket.RecvBytes(flags)
	if err != nil {
		return wire.Reader{}, err
	}
	return wire.Parse(frame)
}

func (s *zeromqSession) flush() error {
	frame := s.frame.Frame()
	if frame == nil {
		return nil
	}
	_, err := s.socket.SendBytes(frame, 0)
	s.frame.Reset()
	return err
}

// receive hands the records of one frame to f.
func (s *zeromqSession) receive(flags zmq4.Flag, f func(*wire.Record) error) error {
	reader, err := s.next(flags)
	if err != nil {
		return err
	}
	return s.each(reader, f)
}

func (s *zeromqSession) each(reader wire.Reader, f func(*wire.Record) error) error {
	var rec wire.Record
	for reader.Next(&rec) {
		if err := f(&rec); err != nil {
			return err
		}
	}
	return nil
}

func (s *zeromqSession) add(h wire.Header, body []byte) error {
	h.Epoch = s.welcome.Epoch
	if !s.frame.Fits(len(body)) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.frame.Add(&h, body)
	return nil
}

func (s *zeromqSession) close() error { return errors.Join(s.socket.Close(), s.context.Term()) }

// zeromqSource emits from one goroutine; it looks at what came in whenever the window is used up, or it has time.
func zeromqSource(f func(emitter) error) error {
	s, err := dialZeromq(true)
	if err != nil {
		return err
	}
	err = f(s)
	if errors.Is(err, errDrain) {
		err = errors.Join(s.accepted(), s.bye())
	}
	return errors.Join(err, s.close())
}

func (s *zeromqSession) bye() error {
	s.over = true
	return errors.Join(s.add(wire.Header{Kind: wire.Bye}, nil), s.flush())
}

func (s *zeromqSession) heard(rec *wire.Record) error {
	switch rec.Kind {
	case wire.Accepted:
		s.taken = rec.N
	case wire.Reply:
		if rec.Flags&wire.FlagMore != 0 {
			return nil
		}
		if s.answered = rec.N; rec.M != wire.EndDone {
			return fmt.Errorf("call %d ended with %d: %s", rec.N, rec.M, rec.Body)
		}
	case wire.Credit:
		s.welcome.EmitMessages, s.welcome.EmitBytes = int(rec.N), int(rec.M)
	case wire.Drain:
		s.drain = true
	case wire.Error:
		return fmt.Errorf("error %d: %s", rec.N, rec.Body)
	}
	return nil
}

// look reads what is there; with wait it reads at least one frame.
func (s *zeromqSession) look(wait bool) error {
	flags := zmq4.DONTWAIT
	if wait {
		flags = 0
	}
	for {
		err := s.receive(flags, s.heard)
		if zmq4.AsErrno(err) == zmq4.Errno(syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		flags = zmq4.DONTWAIT
	}
}

// full reports whether the window has no room for a payload of n bytes. All payloads of a source have one size.
func (s *zeromqSession) full(n int) bool {
	waiting := int(s.sent - s.taken)
	return waiting > 0 && (waiting >= s.welcome.EmitMessages || (waiting+1)*n > s.welcome.EmitBytes)
}

func (s *zeromqSession) emit(payload []byte) error {
	for !s.drain && s.full(len(payload)) {
		if err := errors.Join(s.flush(), s.look(true)); err != nil {
			return err
		}
	}
	if s.drain {
		return errDrain
	}
	s.sent++
	return s.add(wire.Header{Kind: wire.Emit, Port: wire.AllLinks, N: s.sent}, payload)
}

func (s *zeromqSession) accepted() error {
	if err := s.flush(); err != nil {
		return err
	}
	for s.taken < s.sent {
		if err := s.look(true); err != nil {
			return err
		}
	}
	return nil
}

func (s *zeromqSession) call(payload []byte) error {
	s.asked++
	err := s.add(wire.Header{Kind: wire.Call, N: s.asked, Time: int64(callDeadline)}, payload)
	if err = errors.Join(err, s.flush()); err != nil {
		return err
	}
	for s.answered < s.asked {
		if err := s.look(true); err != nil {
			return err
		}
	}
	return nil
}

// callDeadline is when a call is given up.
const callDeadline = 10 * time.Second

func (s *zeromqSession) settle() error {
	if s.drain {
		return errDrain
	}
	return errors.Join(s.flush(), s.look(false))
}

// zeromqWorker handles in order and acknowledges a frame's messages in ranges.
func zeromqWorker(h handler) error {
	s, err := dialZeromq(false)
	if err != nil {
		return err
	}
	w := ranges{zeromqSession: s, handle: h}
	err = s.each(s.rest, w.record)
	for err == nil && !s.over {
		if err = errors.Join(w.done(), s.flush()); err == nil {
			err = s.receive(0, w.record)
		}
	}
	return errors.Join(err, s.close())
}

// ranges is a worker's acknowledgements: neighbours are answered together.
type ranges struct {
	*zeromqSession
	handle      handler
	first, last uint64 // handled and not acknowledged; 0: none
}

func (w *ranges) record(rec *wire.Record) error {
	switch rec.Kind {
	case wire.Data:
		return w.data(rec)
	case wire.Drain:
		return errors.Join(w.done(), w.bye()) // all that came before it is handled
	default:
		return w.heard(rec)
	}
}

func (w *ranges) data(rec *wire.Record) error {
	if err := w.handle(rec.Body, int(rec.Flags)); err != nil {
		return err
	}
	if w.first != 0 && rec.N != w.last+1 {
		if err := w.done(); err != nil {
			return err
		}
	}
	if w.first == 0 {
		w.first = rec.N
	}
	w.last = rec.N
	return nil
}

func (w *ranges) done() error {
	if w.first == 0 {
		return nil
	}
	h := wire.Header{Kind: wire.Done, N: w.first}
	if w.last > w.first {
		h.M = w.last
	}
	w.first = 0
	return w.add(h, nil)
}
