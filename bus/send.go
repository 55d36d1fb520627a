package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// Sent is what became of a message from outside.
type Sent struct {
	Task    string
	State   string   // accepted; with wait: done or failed
	Results []Result // with wait: what the last steps put out
	Reason  string   // of a failure
}

// Result is one output of a last step, one without links.
type Result struct {
	Codec   string
	Payload []byte
}

// resultBytes bounds what is kept for one waiting sender.
const resultBytes = 16 << 20

// sending is one Send on its way.
type sending struct {
	to    *step
	m     message
	wait  bool
	sent  Sent
	bytes int
	c     chan answer
	gave  bool // the caller has given up
}

type answer struct {
	sent Sent
	err  error
}

func (s *sending) answer(sent Sent, err error) {
	if !s.gave {
		s.gave = true
		s.c <- answer{sent, err}
	}
}

// Send admits a message to a step's queue as a new task. While the queue is full and blocks, it waits. With wait it returns
// when the task has ended, with the outputs of its last steps. Errors are *Error; ctx's end is KindTimeout, and what was
// admitted goes on: then Sent.Task is its id, and "" when nothing was admitted.
func (b *Bus) Send(ctx context.Context, to, codec string, payload []byte, wait bool) (Sent, error) {
	c, err := wire.ParseCodec(codec)
	if err != nil {
		return Sent{}, &Error{KindInvalid, err.Error()}
	}
	if len(payload) > wire.MaxBody {
		return Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot send %d bytes: a message has at most %d", len(payload), wire.MaxBody)}
	}
	s := &sending{wait: wait, c: make(chan answer, 1)}
	b.mail.post(func(o *orchester) { o.send(s, to, c, payload) })
	select {
	case a := <-s.c:
		return a.sent, a.err
	case <-b.done:
		return Sent{}, errClosed
	case <-ctx.Done():
	}
	return b.giveUp(ctx, s)
}

// giveUp ends the wait of s and says how far it came. A loop that does not answer this either is not waited for.
func (b *Bus) giveUp(ctx context.Context, s *sending) (Sent, error) {
	b.mail.post(func(o *orchester) { o.forget(s) })
	stuck := time.NewTimer(loopPatience)
	defer stuck.Stop()
	select {
	case a := <-s.c:
		if errors.Is(a.err, errGaveUp) {
			if a.sent.Task != "" {
				return a.sent, &Error{KindTimeout, fmt.Sprintf("cannot wait longer for task %s, which goes on: %v", a.sent.Task, context.Cause(ctx))}
			}
			return Sent{}, &Error{KindTimeout, fmt.Sprintf("cannot send: the queue is full: %v", context.Cause(ctx))}
		}
		return a.sent, a.err
	case <-stuck.C:
		return Sent{}, &Error{KindTimeout, "cannot tell whether the message was taken: the bus does not answer"}
	case <-b.done:
		return Sent{}, errClosed
	}
}

var errGaveUp = &Error{KindTimeout, "gave up"}

func (o *orchester) send(s *sending, to string, codec wire.Codec, payload []byte) {
	s.to = o.byName[to]
	switch {
	case o.shut:
		s.answer(Sent{}, &Error{KindUnavailable, "cannot send: the daemon is stopping"})
	case s.to == nil && o.bus.topology.Load().Satellite(to) != nil:
		s.answer(Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot send to %s: it does not speak to the bus", to)})
	case s.to == nil:
		s.answer(Sent{}, &Error{KindNotFound, fmt.Sprintf("cannot send to %q: no such satellite", to)})
	case s.to.source:
		s.answer(Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot send to %s: it is a source, and takes no messages", to)})
	default:
		s.m = message{codec: uint16(codec), from: outside, body: o.t.bodies.copy(payload)}
		if o.t.frozen || s.to.blocked() {
			o.sends = append(o.sends, s)
			return
		}
		o.inject(s)
	}
}

func (o *orchester) inject(s *sending) {
	waiter := none
	if s.wait {
		o.waiter++
		waiter = o.waiter
		o.waiters[waiter] = s
	}
	s.sent.Task = formatID(o.t.peekID())
	s.sent.State = "accepted"
	o.t.inject(o.now, s.to, s.m, waiter)
	if !s.wait {
		s.answer(s.sent, nil)
	}
}

// forget answers a sender that waits no longer.
func (o *orchester) forget(s *sending) {
	for i, x := range o.sends {
		if x == s {
			o.sends = append(o.sends[:i], o.sends[i+1:]...)
			o.t.bodies.drop(s.m.body)
			break
		}
	}
	s.answer(s.sent, errGaveUp)
}

// result is the tracker's sink: an output of a last step.
func (o *orchester) result(waiter int32, out *wire.Output) {
	s := o.waiters[waiter]
	if s == nil || s.gave {
		return
	}
	if s.bytes += len(out.Payload); s.bytes > resultBytes {
		return
	}
	s.sent.Results = append(s.sent.Results, Result{Codec: out.Codec.String(), Payload: append([]byte(nil), out.Payload...)})
}

// taskEnded is the tracker's sink: the task somebody waits for is over.
func (o *orchester) taskEnded(waiter int32, t *task) {
	s := o.waiters[waiter]
	if s == nil {
		return
	}
	delete(o.waiters, waiter)
	s.sent.State = "done"
	if t.failed > 0 {
		s.sent.State, s.sent.Reason = "failed", t.reason
	}
	s.answer(s.sent, nil)
}

// TaskStatus is a message and all that descends from it.
type TaskStatus struct {
	ID     string
	State  string // running, done, failed
	Open   int    // hops not yet terminal
	Hops   []HopStatus
	Reason string
}

// HopStatus is one message on one link.
type HopStatus struct {
	ID       string // EPOCH.NUMBER
	Step     string
	State    string // waiting, in_flight, held, done, quarantined, expired, cancelled, dropped
	Instance string // who has it in hand
	Attempts int
	Age      time.Duration // since its admission; of an ended one, up to its end
	Reason   string
	Retry    time.Duration // held: until it is tried again
	Failures []string      // of an open one: what became of each attempt that failed, oldest first: "attempt 1 at csv:0: the process ended: ..."
}

// Task says what is known of a task; ended ones are remembered for a while. Errors are *Error.
func (b *Bus) Task(ctx context.Context, id string) (TaskStatus, error) {
	n, err := parseID(id)
	if err != nil {
		return TaskStatus{}, err
	}
	return ask(ctx, b, func(o *orchester) (TaskStatus, error) {
		st, ok := o.t.findTask(o.now, n)
		if !ok {
			return st, notFoundTask(id)
		}
		return st, nil
	})
}

// loopPatience is how long those who set no deadline wait for the loop, which answers in less than a millisecond when it works.
const loopPatience = 2 * time.Second

// Ledger is the law of conservation over all steps; zero when the bus is closed or its loop does not answer.
func (b *Bus) Ledger() Ledger {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	l, err := ask(ctx, b, func(o *orchester) (Ledger, error) { return o.t.ledger(), nil })
	if err != nil {
		return Ledger{}
	}
	return l
}

// Stats is all that can be counted, at one moment. Errors are *Error: the bus is closed, or its loop did not answer before
// ctx ended.
func (b *Bus) Stats(ctx context.Context) (Stats, error) {
	return ask(ctx, b, func(o *orchester) (Stats, error) {
		return Stats{Queues: o.t.queues(o.now), Ledger: o.t.ledger(), Tasks: o.t.tasks.live, Strays: o.strays, Evicted: o.t.aside.evicted}, nil
	})
}

// Stats is a snapshot of the whole bus.
type Stats struct {
	Queues  []QueueStatus // all steps that speak to the bus, in file order
	Ledger  Ledger
	Tasks   int    // not ended
	Strays  uint64 // frames refused
	Evicted uint64 // quarantined messages given up for room
}
