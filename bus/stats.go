package bus

import (
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// Ledger is the law of conservation over hops: Admitted = Done + Quarantined + Expired + Cancelled + Dropped +
// Diverted + Held + InFlight.
// The terminal terms are counters. Held (waiting in a queue or for its retry) and InFlight (dispatched, not yet answered) were
// found by walking the table of hops, so that the two sides are independent.
type Ledger struct {
	Admitted, Done, Quarantined, Expired, Cancelled, Dropped uint64
	Diverted                                                 uint64 // to a fallback step, which has admitted it
	Held, InFlight                                           uint64
	Redelivered                                              uint64 // not a term: attempts after the first
}

// Balanced reports whether the law holds.
func (l Ledger) Balanced() bool {
	return l.Admitted == l.Done+l.Quarantined+l.Expired+l.Cancelled+l.Dropped+l.Diverted+l.Held+l.InFlight
}

func (l *Ledger) add(o Ledger) {
	l.Admitted += o.Admitted
	l.Done += o.Done
	l.Quarantined += o.Quarantined
	l.Expired += o.Expired
	l.Cancelled += o.Cancelled
	l.Dropped += o.Dropped
	l.Diverted += o.Diverted
	l.Held += o.Held
	l.InFlight += o.InFlight
	l.Redelivered += o.Redelivered
}

// QueueStatus is one step: what waits for it, what its workers hold, and what became of the rest.
type QueueStatus struct {
	Step        string
	Delivery    string
	Waiting     int
	Bytes       int64 // of what waits and is held
	InFlight    int   // dispatched and not yet answered
	Held        int   // waiting for the time of their retry
	OldestAge   time.Duration
	Workers     int // sessions that may be given work
	Quarantine  int // set aside, still there
	Blocked     bool
	Stuck       bool          // the journal takes nothing, so that those who fill it wait
	Spilled     int           // of those that wait or are held: their payloads are on disk, and not in memory
	SpillBytes  int64         // of these
	Spills      uint64        // messages whose payloads went to disk for want of memory, ever
	SpillsIn    uint64        // payload bytes of these
	Paused      bool          // nothing is given to its workers, on request
	Draining    bool          // nothing is let in, on request
	Breaker     string        // closed, open, half-open; "" where there is none
	OpenFor     time.Duration // an open breaker: until it is half open
	OpenedBy    string        // why it opened last
	Opened      uint64        // how often it has
	Starved     int           // of those held: their time has come, and the budget for retries has no room
	Repeated    uint64        // messages whose id was taken already
	Delayed     int           // of those held: their first time has not come
	Budgeted    uint64        // retries that had to wait for the budget
	Refused     uint64        // answers that came late, twice or for nothing
	Failed      uint64        // FAILs
	Crashed     uint64        // running hops whose process ended
	BytesIn     uint64        // payload bytes admitted
	Converted   uint64        // payloads that were written anew for it, since dsatd started
	Misfits     uint64        // payloads that could not be, and were set aside
	MaxMessages int           // that may wait
	MaxBytes    int64         // likewise
	Full        string        // what happens to a message that finds it full
	Short, Long Rates         // over 10 s and over a minute
	BlockedBy   []string      // steps whose full queues are why it is given nothing, or what its satellites emit is not let in
	Blocks      []string      // steps that wait because it is full
	Ledger      Ledger
	Latency     Histogram     // DATA sent to answer received
	Direct      *DirectStatus // nil: nothing came directly, and nothing will
}

// The upper bounds of Histogram's buckets.
var bounds = [...]time.Duration{
	25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 60 * time.Second,
}

// Histogram counts durations by fixed buckets.
type Histogram struct {
	Counts [len(bounds) + 1]uint64 // not cumulative; the last is beyond all bounds
	Sum    time.Duration
}

// Bounds returns the upper bounds of the buckets, in seconds.
func (*Histogram) Bounds() []float64 {
	b := make([]float64, len(bounds))
	for i, d := range bounds {
		b[i] = d.Seconds()
	}
	return b
}

// Count is the number of durations.
func (h *Histogram) Count() uint64 {
	n := uint64(0)
	for _, c := range h.Counts {
		n += c
	}
	return n
}

func (h *Histogram) observe(ns int64) {
	i := 0
	for i < len(bounds) && ns > int64(bounds[i]) {
		i++
	}
	h.Counts[i]++
	h.Sum += time.Duration(ns)
}

// walk counts the hops of every step by state.
func (t *tracker) walk() [][diverted + 1]uint64 {
	by := make([][diverted + 1]uint64, len(t.steps))
	for _, p := range t.hops.pages {
		for k, st := range p.states {
			if st != free {
				by[p.steps[k]][st]++
			}
		}
	}
	return by
}

func (s *step) ledger(by *[diverted + 1]uint64) Ledger {
	c := &s.count
	return Ledger{Admitted: c.admitted, Done: c.done, Quarantined: c.quarantined, Expired: c.expired, Cancelled: c.cancelled,
		Dropped: c.dropped, Diverted: c.diverted, Held: by[waiting] + by[held], InFlight: by[dispatched], Redelivered: c.redelivered}
}

// ledger is the total over all steps, those that were removed too.
func (t *tracker) ledger() Ledger {
	sum := t.past
	by := t.walk()
	for i, s := range t.steps {
		sum.add(s.ledger(&by[i]))
	}
	return sum
}

// queues is the state of all steps, in file order.
func (t *tracker) queues(now int64) []QueueStatus {
	by := t.walk()
	out := make([]QueueStatus, len(t.steps))
	for i, s := range t.steps {
		out[i] = QueueStatus{Step: s.name, Delivery: string(s.sat.Queue.Delivery), Waiting: s.queued() + s.entering, Bytes: s.bytes(),
			InFlight: int(by[i][dispatched]), Held: s.holds(), OldestAge: t.oldest(now, s), Quarantine: t.aside.count(s.name), Blocked: s.blocked(), Stuck: s.jammed(),
			Refused: s.count.refused, Failed: s.count.failed, Crashed: s.count.crashed, BytesIn: s.count.bytesIn, Ledger: s.ledger(&by[i]), Latency: s.latency, Direct: s.directStatus(),
			Converted: s.edged.Load(), Misfits: s.count.misfits, MaxMessages: s.sat.Queue.MaxMessages, MaxBytes: s.sat.Queue.MaxBytes, Full: string(s.cfg.full), Short: s.rates(now, paceShort), Long: s.rates(now, paceLong)}
		for _, w := range s.workers {
			if w.open {
				out[i].Workers += w.processes()
			}
		}
		s.restraint(now, &out[i])
		s.spillStatus(&out[i])
	}
	return out
}

// oldest is the age of the oldest hop at the head of the queue or of a hand.
func (t *tracker) oldest(now int64, s *step) time.Duration {
	first := now
	for _, q := range s.lines() {
		if q.count > 0 {
			first = min(first, t.hops.at(q.head).admitted)
		}
	}
	if s.keys != nil { // keys take turns, so that the head need not be the oldest
		for i := s.waiting.head; i != none; i = t.hops.at(i).next {
			first = min(first, t.hops.at(i).admitted)
		}
		if i := s.keys.oldest(&t.hops); i != none {
			first = min(first, t.hops.at(i).admitted)
		}
	}
	for _, r := range s.allHeld() {
		first = min(first, t.hops.at(r.slot).admitted)
	}
	for _, w := range s.workers {
		if w.hand.live > 0 {
			first = min(first, t.hops.at(w.hand.at(w.hand.first).slot).admitted)
		}
	}
	return duration(now - first)
}

func duration(ns int64) time.Duration { return time.Duration(ns) }

func formatID(id uint64) string { return wire.ID(id).String() }

func parseID(id string) (uint64, error) {
	n, err := wire.ParseID(id)
	if err != nil {
		return 0, &Error{KindInvalid, err.Error()}
	}
	return uint64(n), nil
}

func codecName(c uint16) string {
	if c == codecVector {
		return "v1"
	}
	return onWire(c).String()
}
