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

	mu   sync.Mutex
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

// end ends the context and reports whether it may serve again.
func (h *hop) end() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = context.Canceled
		if h.done != nil {
			close(h.done)
		}
	}
	return h.done == nil
}

// again makes an ended context that nobody holds serve another message.
func (h *hop) again() {
	h.mu.Lock()
	h.err = nil
	h.mu.Unlock()
}

// slot is what one handler goroutine is at, so that CANCEL finds it.
type slot struct {
	mu      sync.Mutex
	session *session
	n       uint64
	running bool
	hop     *hop
}

// begin makes n the hop in hand and returns its context.
func (s *slot) begin(ctx context.Context, ses *session, n uint64) *hop {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hop == nil {
		s.hop = &hop{Context: ctx}
	} else {
		s.hop.again()
	}
	s.session, s.n, s.running = ses, n, true
	return s.hop
}

// over ends the context of the hop in hand.
func (s *slot) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	if !s.hop.end() {
		s.hop = nil
	}
}

// cancel ends the context if the slot is at a hop of that session which is meant.
func (s *slot) cancel(ses *session, meant func(n uint64) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running && s.session == ses && meant(s.n) {
		s.hop.end()
	}
}
