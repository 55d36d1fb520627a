package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/dsat/dsat/bus/codec"
)

// The quarantine in memory is bounded; when it is full the oldest go, counted.
const (
	quarantineMessages = 10_000
	quarantineBytes    = 64 << 20
)

// quarantine is the messages set aside, oldest first.
type quarantine struct {
	list    []*setAside
	bytes   int
	evicted uint64
	scroll  *scroll // nil: nothing of it is on disk
}

// setAside is one message with the evidence why.
type setAside struct {
	id, task uint64
	step     string
	at       time.Time
	reason   string
	attempts int
	crashes  int
	codec    uint16
	payload  []byte
	evidence []string

	onDisk, sealed bool      // the journal has it, and in which extent
	ext            uint32    // of the journal
	away           int       // bytes of a payload that is on disk only
	was            *recalled // while a journal is read: the hop it was
}

func (m *setAside) size() int64 { return int64(len(m.payload) + m.away + overhead) }

// setAside ends a hop in quarantine, where its payload and evidence stay.
func (t *tracker) setAside(now int64, i int32, reason string) {
	h := t.hops.at(i)
	q := &setAside{id: h.id, task: h.task, step: t.steps[t.hops.step(i)].name, at: t.started.Add(time.Duration(now)), reason: reason,
		attempts: int(h.attempts), crashes: int(h.crashes), codec: h.codec, payload: append([]byte(nil), h.body.data...)}
	if e := t.evidence[i]; e != nil {
		q.evidence = e.lines
	}
	if s := t.steps[t.hops.step(i)]; t.scroll != nil && (s.cfg.durable || s.disk && t.known(i)) {
		t.scroll.aside(t, i, h, q)
	}
	t.aside.add(q)
	t.finish(now, i, quarantined, reason)
}

func (q *quarantine) add(m *setAside) {
	q.list = append(q.list, m)
	q.bytes += len(m.payload)
	for len(q.list) > quarantineMessages || q.bytes > quarantineBytes {
		q.bytes -= len(q.list[0].payload)
		q.gone(q.list[0])
		q.list[0] = nil
		q.list = q.list[1:]
		q.evicted++
	}
}

// take removes the message with this id and returns it, or nil.
func (q *quarantine) take(id uint64) *setAside {
	for i, m := range q.list {
		if m.id == id {
			q.list = append(q.list[:i], q.list[i+1:]...)
			q.bytes -= len(m.payload)
			q.gone(m)
			return m
		}
	}
	return nil
}

// gone forgets a message on disk.
func (q *quarantine) gone(m *setAside) {
	if q.scroll != nil {
		q.scroll.taken(m)
	}
}

func (q *quarantine) get(id uint64) *setAside {
	for _, m := range q.list {
		if m.id == id {
			return m
		}
	}
	return nil
}

// count is the number of messages of one step.
func (q *quarantine) count(step string) int {
	n := 0
	for _, m := range q.list {
		if m.step == step {
			n++
		}
	}
	return n
}

// retry admits a message of the quarantine again, as a task of its own with attempts from zero.
func (t *tracker) retry(now int64, to *step, m *setAside) {
	t.inject(now, to, message{codec: m.codec, from: outside, body: t.bodies.copy(m.payload)}, none)
}

func (m *setAside) public(full bool) Quarantined {
	q := Quarantined{ID: formatID(m.id), Step: m.step, Task: formatID(m.task), Time: m.at, Reason: m.reason, Attempts: m.attempts,
		Crashes: m.crashes, Size: len(m.payload), Codec: codecName(m.codec), Evidence: m.evidence}
	if full {
		q.Payload = m.payload
	}
	return q
}

// Quarantined is a message set aside, with the evidence why.
type Quarantined struct {
	ID       string // EPOCH.NUMBER
	Step     string
	Task     string
	Time     time.Time
	Reason   string
	Attempts int
	Crashes  int
	Size     int
	Codec    string
	Evidence []string // what happened at each attempt, with the last log lines of processes that ended
	Payload  []byte   // only of QuarantineGet and QuarantineEdit
	reader   codec.Codec
}

// Quarantine lists what was set aside, oldest first; step "" is all.
func (b *Bus) Quarantine(ctx context.Context, step string) ([]Quarantined, error) {
	return ask(ctx, b, func(o *orchester) ([]Quarantined, error) {
		list := []Quarantined{}
		for _, m := range o.t.aside.list {
			if step == "" || m.step == step {
				list = append(list, m.public(false))
			}
		}
		return list, nil
	})
}

// QuarantineGet returns one message with its payload. An id is EPOCH.NUMBER, as the list has it.
func (b *Bus) QuarantineGet(ctx context.Context, id string) (Quarantined, error) {
	n, err := parseID(id)
	if err != nil {
		return Quarantined{}, err
	}
	return ask(ctx, b, func(o *orchester) (Quarantined, error) {
		m := o.t.aside.get(n)
		if m == nil {
			return Quarantined{}, notAside(id)
		}
		return o.shown(m), nil
	})
}

// QuarantineRetry admits a message of the quarantine again, as a new task, and takes it out. While its queue is full it stays: an
// Error of KindConflict, so that no policy of a full queue loses what was kept.
func (b *Bus) QuarantineRetry(ctx context.Context, id string) error {
	return b.withAside(ctx, id, func(o *orchester, m *setAside) error {
		to := o.byName[m.step]
		if to == nil {
			return &Error{KindConflict, fmt.Sprintf("cannot retry message %s: the topology has no satellite %s on the bus any more", id, m.step)}
		}
		if to.full() {
			return &Error{KindConflict, fmt.Sprintf("cannot retry message %s: the queue of %s is full; try again when it has room", id, m.step)}
		}
		o.t.aside.take(m.id)
		o.t.retry(o.now, to, m)
		return nil
	})
}

// QuarantineDrop forgets a message of the quarantine. In the ledger it stays quarantined.
func (b *Bus) QuarantineDrop(ctx context.Context, id string) error {
	return b.withAside(ctx, id, func(o *orchester, m *setAside) error {
		o.t.aside.take(m.id)
		return nil
	})
}

func (b *Bus) withAside(ctx context.Context, id string, do func(*orchester, *setAside) error) error {
	n, err := parseID(id)
	if err != nil {
		return err
	}
	_, err = ask(ctx, b, func(o *orchester) (struct{}, error) {
		m := o.t.aside.get(n)
		switch {
		case m == nil:
			return struct{}{}, notAside(id)
		case o.t.frozen:
			return struct{}{}, errFrozen("change the quarantine")
		}
		return struct{}{}, do(o, m)
	})
	return err
}

func notAside(id string) error {
	return &Error{KindNotFound, fmt.Sprintf("cannot find message %s in quarantine", id)}
}
