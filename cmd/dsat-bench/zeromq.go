package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	over    bool

	sent, taken uint64 // last EMIT, last ACCEPTED
	sentBytes   int
}

var errOver = errors.New("the session is over")

func dialZeromq(source bool) (*zeromqSession, error) {
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
	return s, s.receive(0, func(rec *wire.Record) error {
		if rec.Kind != wire.Welcome {
			return fmt.Errorf("%v instead of WELCOME: %s", rec.Kind, rec.Body)
		}
		return wire.ParseJSON(rec, &s.welcome)
	})
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
	frame, err := s.socket.RecvBytes(flags)
	if err != nil {
		return err
	}
	reader, err := wire.Parse(frame)
	if err != nil {
		return err
	}
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
func zeromqSource(f func(ctx context.Context, e emitter) error) error {
	s, err := dialZeromq(true)
	if err != nil {
		return err
	}
	err = f(context.Background(), s)
	if errors.Is(err, errOver) {
		err = nil
	}
	return errors.Join(err, s.close())
}

func (s *zeromqSession) heard(rec *wire.Record) error {
	switch rec.Kind {
	case wire.Accepted:
		s.taken = rec.N
	case wire.Credit:
		s.welcome.EmitMessages, s.welcome.EmitBytes = int(rec.N), int(rec.M)
	case wire.Drain:
		if err := s.add(wire.Header{Kind: wire.Bye}, nil); err != nil {
			return err
		}
		s.over = true
		return s.flush()
	case wire.Error:
		return fmt.Errorf("error %d: %s", rec.N, rec.Body)
	}
	return nil
}

// look reads what is there; with wait it reads at least one frame.
func (s *zeromqSession) look(wait bool) error {
	if s.over {
		return errOver
	}
	flags := zmq4.Flag(zmq4.DONTWAIT)
	if wait {
		flags = 0
	}
	for {
		err := s.receive(flags, s.heard)
		if errors.Is(err, syscall.EAGAIN) || zmq4.AsErrno(err) == zmq4.Errno(syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.over {
			return errOver
		}
		flags = zmq4.DONTWAIT
	}
}

func (s *zeromqSession) emit(payload []byte) error {
	for s.sent-s.taken >= uint64(s.welcome.EmitMessages) || int(s.sent-s.taken+1)*len(payload) > s.welcome.EmitBytes && s.sent > s.taken {
		if err := errors.Join(s.flush(), s.look(true)); err != nil {
			return err
		}
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

func (s *zeromqSession) pause(d time.Duration) error {
	if err := errors.Join(s.flush(), s.look(false)); err != nil {
		return err
	}
	time.Sleep(d)
	return nil
}

// zeromqWorker handles in order and acknowledges a frame's messages in ranges.
func zeromqWorker(h handler) error {
	s, err := dialZeromq(false)
	if err != nil {
		return err
	}
	var first, last uint64
	done := func() error {
		if first == 0 {
			return nil
		}
		header := wire.Header{Kind: wire.Done, N: first}
		if last > first {
			header.M = last
		}
		first = 0
		return s.add(header, nil)
	}
	for !s.over {
		err := s.receive(0, func(rec *wire.Record) error {
			if rec.Kind != wire.Data {
				return errors.Join(done(), s.heard(rec))
			}
			if err := h(rec.Body, int(rec.Flags)); err != nil {
				return err
			}
			if first != 0 && rec.N != last+1 {
				if err := done(); err != nil {
					return err
				}
			}
			if first == 0 {
				first = rec.N
			}
			last = rec.N
			return nil
		})
		if err = errors.Join(err, done(), s.flush()); err != nil {
			return err
		}
	}
	return s.close()
}
