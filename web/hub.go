package web

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/web/control"
)

// hubKeep is how many events stay in memory for those who ask what happened, or who come back after a broken connection.
const hubKeep = 4096

// Hub numbers events, keeps the newest ones and hands them to whoever follows. Publishing never waits: a subscriber that
// falls behind by more than the hub keeps is told so by a gap in the numbers.
type Hub struct {
	epoch uint32
	keep  int

	mu   sync.Mutex
	next uint64 // sequence number of the next event, from 1
	ring []control.Event
	wake chan struct{} // closed and replaced whenever an event is added
}

// NewHub returns an empty hub. Event ids carry the epoch, so that an id of an earlier daemon is known as such.
func NewHub(epoch uint32) *Hub {
	return &Hub{epoch: epoch, keep: hubKeep, next: 1, wake: make(chan struct{})}
}

// Publish numbers the event, stamps it when it has no time, and keeps it. It never blocks.
func (h *Hub) Publish(e control.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Seq = h.next
	h.next++
	if len(h.ring) < h.keep {
		h.ring = append(h.ring, e)
	} else {
		h.ring[(e.Seq-1)%uint64(h.keep)] = e
	}
	close(h.wake)
	h.wake = make(chan struct{})
}

// Since returns the kept events with a number greater than seq, oldest first, and a channel that is closed when there is
// a newer one.
func (h *Hub) Since(seq uint64) ([]control.Event, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq >= h.next-1 {
		return nil, h.wake
	}
	first := max(seq+1, h.next-uint64(len(h.ring)))
	events := make([]control.Event, 0, h.next-first)
	for n := first; n < h.next; n++ {
		events = append(events, h.ring[(n-1)%uint64(h.keep)])
	}
	return events, h.wake
}

// Changed returns a channel that is closed with the next event.
func (h *Hub) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wake
}

// Newest returns the newest n kept events, oldest first.
func (h *Hub) Newest(n uint64) []control.Event {
	h.mu.Lock()
	newest := h.next - 1
	h.mu.Unlock()
	events, _ := h.Since(newest - min(newest, n))
	return events
}

// ID is the event's id on the wire: EPOCH-SEQ.
func (h *Hub) ID(seq uint64) string { return fmt.Sprintf("%d-%d", h.epoch, seq) }

// ParseID reads an id (or a bare sequence number) into the number to go on from. An id of another epoch is from another
// daemon: the caller gets everything that is kept.
func (h *Hub) ParseID(id string) (uint64, error) {
	epoch, seq, ok := strings.Cut(id, "-")
	if !ok {
		epoch, seq = strconv.FormatUint(uint64(h.epoch), 10), id
	}
	e, err1 := strconv.ParseUint(epoch, 10, 32)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("cannot read %q as an event id: want EPOCH-SEQ or SEQ", id)
	}
	if uint32(e) != h.epoch {
		return 0, nil
	}
	return n, nil
}
