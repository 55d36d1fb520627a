package satellites

import (
	"context"
	"sync"
	"time"
)

// hop is the context of the message a handler is at: it ends on CANCEL and with the session. One is used for message
// after message, as long as nobody asked for its Done channel: then nobody can be waiting on it.
type hop struct {
	context.Context // values only

	mu   *sync.Mutex // that of its slot: one lock a message begins, one ends it
	done chan struct{}
	err  error
}

// Deadline says that there is none of ours.
func (h *hop) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is made when it is asked for.
func (h *hop) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done == nil {
		h.done = make(chan struct{})
		if h.err != nil {
			close(h.done)
		}
	}
	return h.done
}

// Err is context.Canceled after the end.
func (h *hop) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// end ends the context. Whoever calls holds mu.
func (h *hop) end() {
	if h.err == nil {
		h.err = context.Canceled
		if h.done != nil {
			close(h.done)
		}
	}
}

// slot is what one handler goroutine is at, so that CANCEL finds it.
type slot struct {
	mu      sync.Mutex
	session *session
	n       uint64
	running bool
	hop     *hop // nil: the last one may be held by somebody who waits on it
}

// begin makes n the hop in hand and returns its context.
func (s *slot) begin(ctx context.Context, ses *session, n uint64) *hop {
	s.mu.Lock()
	if s.hop == nil {
		s.hop = &hop{Context: ctx, mu: &s.mu}
	}
	h := s.hop
	h.err = nil
	s.session, s.n, s.running = ses, n, true
	s.mu.Unlock()
	return h
}

// over ends the context of the hop in hand.
func (s *slot) over() {
	s.mu.Lock()
	s.running = false
	if s.hop.end(); s.hop.done != nil {
		s.hop = nil
	}
	s.mu.Unlock()
}

// cancel ends the context if the slot is at a hop of that session which is meant.
func (s *slot) cancel(ses *session, meant func(n uint64) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running && s.session == ses && meant(s.n) {
		s.hop.end()
	}
}
