package satellites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// node is this process on the bus: at most one session at a time, and what outlives sessions.
type node struct {
	id             Identity
	set            settings
	worker         *worker // one of the two is nil
	source         *source
	stdout, stderr *os.File // those of the process: go-plugin puts others in their place

	turn chan struct{} // held by the session
	news chan struct{} // capacity 1: state changed

	mu    sync.Mutex
	ses   *session
	state state
}

// state is what the end of the process depends on.
type state struct {
	connected  bool  // there is a session
	drained    bool  // dsatd asked for the end of new work; the signal is to follow
	terminated bool  // SIGTERM
	leaving    bool  // BYE is to be said in any session
	parted     bool  // BYE was answered
	finished   bool  // the source has no more, all is accepted
	sourceErr  error // of the source
	fatal      error // the session cannot be
}

// source is a Source and its progress.
type source struct {
	f       Source
	emitter *Emitter
	start   sync.Once
	quit    chan struct{} // closed: its context ends
	quitted sync.Once
}

func newSource(f Source, set settings) *source {
	return &source{f: f, emitter: newEmitter(set.codec), quit: make(chan struct{})}
}

// end lets it emit nothing more and ends its context.
func (s *source) end() {
	s.emitter.stop()
	s.quitted.Do(func() { close(s.quit) })
}

func newNode(id Identity, set settings) *node {
	return &node{id: id, set: set, turn: make(chan struct{}, 1), news: make(chan struct{}, 1)}
}

func (n *node) emitter() *Emitter {
	if n.source == nil {
		return nil
	}
	return n.source.emitter
}

// frames is where received frames go; a source gets none, but has to receive.
func (n *node) frames() *inbox {
	if n.worker == nil {
		return newInbox(true)
	}
	return n.worker.in
}

// change changes the state and tells wait.
func (n *node) change(f func(*state)) {
	n.mu.Lock()
	f(&n.state)
	n.mu.Unlock()
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// serve runs one stream of the daemon: a session, or several when it asks for HELLO again.
func (n *node) serve(stream carrier) error {
	// A daemon that was restarted may be here before the end of its predecessor's stream was seen.
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	if n.stdout != nil {
		os.Stdout, os.Stderr = n.stdout, n.stderr
	}
	for {
		err := n.converse(stream)
		if errors.Is(err, errHelloAgain) {
			continue
		}
		var gone *lost
		if err != nil && !errors.As(err, &gone) {
			n.change(func(s *state) { s.fatal = err })
		}
		return err
	}
}

// converse opens one session and runs it to its end.
func (n *node) converse(stream carrier) error {
	ses, rest, err := n.hello(stream)
	if err != nil {
		return err
	}
	n.change(func(s *state) {
		n.ses, s.connected, s.parted = ses, true, false
		if s.leaving {
			ses.out.finish(true)
		}
	})
	if n.source != nil {
		n.source.start.Do(func() { go n.run(n.source) })
	}
	err = ses.talk(rest)
	n.change(func(s *state) {
		n.ses, s.connected = nil, false
		s.parted = err == nil && ses.out.parted()
	})
	return err
}

// run runs the source to its end, and then has BYE said when all is accepted. Its waiter is wait: the process ends with
// the node.
func (n *node) run(s *source) {
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		select {
		case <-s.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.f(ctx, s.emitter)
	if errors.Is(err, ErrStopped) || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	cancel()
	<-waited
	s.emitter.stop()
	_ = s.emitter.Flush(context.Background()) // it has no other error than that of the context
	n.change(func(st *state) { st.finished, st.sourceErr = true, err })
	n.leave()
}

// drained is DRAIN.
func (n *node) drained(ses *session) {
	n.change(func(s *state) { s.drained = true })
	if n.source != nil {
		n.source.end()
		return
	}
	ses.out.finish(false)
}

// leave has BYE said when nothing is in hand, in this session or the next.
func (n *node) leave() {
	n.change(func(s *state) {
		s.leaving = true
		if n.ses != nil {
			n.ses.out.finish(true)
		}
	})
}

// terminate is SIGTERM.
func (n *node) terminate() {
	n.change(func(s *state) { s.terminated = true })
	if n.source != nil {
		n.source.end()
		return
	}
	n.leave()
}

// wait returns when the process may end.
func (n *node) wait(term <-chan os.Signal, served <-chan struct{}) error {
	alone := time.NewTimer(patience)
	defer alone.Stop()
	connected := false
	for {
		n.mu.Lock()
		s := n.state
		n.mu.Unlock()
		if over, err := n.over(s); over {
			return err
		}
		if s.connected != connected {
			connected = s.connected
			alone.Reset(patience)
		}
		timeout := alone.C
		if connected {
			timeout = nil
		}
		select {
		case <-n.news:
		case <-term:
			n.terminate()
		case <-served:
			return fmt.Errorf("cannot go on: the plugin server of %s ended", n.id)
		case <-timeout:
			if s.parted {
				return s.sourceErr
			}
			return fmt.Errorf("cannot go on: dsatd was away for %v", patience)
		}
	}
}

// over reports whether that state is the end.
func (n *node) over(s state) (bool, error) {
	switch {
	case s.fatal != nil:
		return true, s.fatal
	case s.parted && s.terminated, s.parted && s.finished && !s.drained:
		return true, s.sourceErr
	case s.terminated && !s.connected:
		return true, n.unaccepted()
	}
	return false, nil
}

// unaccepted is the error of an end without dsatd, with messages that it never confirmed.
func (n *node) unaccepted() error {
	e := n.emitter()
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if left := e.emitted - e.accepted; left > 0 {
		return fmt.Errorf("cannot hand over %d messages: dsatd is away", left)
	}
	return nil
}
