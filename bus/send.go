package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/wire"
)

// Sent is what became of a message from outside.
type Sent struct {
	Task    string
	State   string   // accepted; with wait: done or failed; of a call also expired
	Results []Result // with wait: what the last steps put out
	Repeat  bool     // its id was taken already: Task and State are those of the first one
	Omitted int      // outputs that were left out, because nobody took those before them
	Reason  string   // of a failure
}

// Result is one output of a last step, one without links.
type Result struct {
	Codec   string
	Payload []byte
	Format  string // of a struct: codec.Spec.Text; "": nobody knows
}

// resultOf is an output as it is kept for who waits, with a copy of its payload.
func (o *orchester) resultOf(out *wire.Output) Result {
	return Result{Codec: codecName(uint16(out.Codec)), Payload: slices.Clone(out.Payload), Format: o.t.formats.text(uint16(out.Codec))}
}

// JSON is the payload as one line of JSON, for people.
func (r *Result) JSON() []byte {
	spec := codec.Spec{Name: r.Codec}
	if r.Format != "" {
		spec, _ = codec.ParseText(r.Format) // ours
	}
	c, err := codec.New(spec)
	if err != nil {
		c = nil
	}
	return codec.Render(c, r.Payload)
}

// sending is one message from outside on its way, or a call of a satellite.
type sending struct {
	to           *step
	m            message
	wait         bool
	lasting      bool  // its task goes on when nobody waits for it any more
	due          int64 // then the wait is over, ns since the start; 0: never
	timed        int32 // its number among those with a deadline; 0: it has none
	waiter       int32 // its number among those who wait, once it is admitted
	task         int32 // slot of its task, likewise
	sent         Sent
	session      string        // the session it belongs to; "": none
	owner        *session      // whose that is; nil: somebody's outside
	conversation *conversation // the same, once it is in it
	by           asker
	over         bool // it has its answer
}

// asker is who is to be told what became of a sending.
type asker interface {
	// result is one output of a last step.
	result(o *orchester, out *wire.Output)
	// answer is the end, told once.
	answer(o *orchester, sent Sent, err error)
}

func (o *orchester) answer(s *sending, sent Sent, err error) {
	if !s.over {
		s.over = true
		o.timing.remove(s)
		if s.conversation != nil {
			s.conversation.answered(o, s)
		}
		s.by.answer(o, sent, err)
	}
}

// Send admits a message to a step's queue as a new task. While the queue is full and blocks, it waits. With wait it returns
// when the task has ended, with the outputs of its last steps. Errors are *Error; ctx's end is KindTimeout, and what was
// admitted goes on: then Sent.Task is its id, and "" when nothing was admitted.
func (b *Bus) Send(ctx context.Context, to, written string, payload []byte, wait bool) (Sent, error) {
	return b.SendWith(ctx, to, written, payload, SendOptions{Wait: wait})
}

// SendWith is Send with what else may be asked of a message.
func (b *Bus) SendWith(ctx context.Context, to, codec string, payload []byte, opt SendOptions) (Sent, error) {
	out := newOutsider()
	s := &sending{wait: opt.Wait, lasting: true, by: out}
	if err := opt.apply(&s.m); err != nil {
		return Sent{}, err
	}
	if err := b.hand(s, to, codec, payload); err != nil {
		return Sent{}, err
	}
	sent, err := out.wait(ctx, b, s, nil)
	if !errors.Is(err, errGaveUp) {
		return sent, err
	}
	if sent.Task != "" {
		return sent, &Error{KindTimeout, fmt.Sprintf("cannot wait longer for task %s, which goes on: %v", sent.Task, context.Cause(ctx))}
	}
	return Sent{}, &Error{KindTimeout, fmt.Sprintf("cannot send: the queue is full: %v", context.Cause(ctx))}
}

// hand gives a sending to the loop.
func (b *Bus) hand(s *sending, to, written string, payload []byte) error {
	c, spec, err := writtenAs(written)
	if err != nil {
		return &Error{KindInvalid, err.Error()}
	}
	if len(payload) > wire.MaxBody {
		return &Error{KindInvalid, fmt.Sprintf("cannot send %d bytes: a message has at most %d", len(payload), wire.MaxBody)}
	}
	b.mail.post(func(o *orchester) {
		if spec.Format != "" {
			c = wire.Codec(o.t.formats.of(spec))
		}
		o.send(s, to, c, payload)
	})
	return nil
}

// writtenAs reads the codec of a message from outside: a name, or a struct with its format, as codec.Spec.Text writes it.
func writtenAs(text string) (wire.Codec, codec.Spec, error) {
	if !strings.HasPrefix(text, "{") {
		c, err := wire.ParseCodec(text)
		return c, codec.Spec{}, err
	}
	spec, ok := codec.ParseText(text)
	if !ok {
		return 0, spec, fmt.Errorf("cannot use codec %.200q: want a name, or one like %s", text, codec.Spec{Name: "struct", Format: "<Id", Fields: []string{"n", "load"}}.Text())
	}
	if _, err := codec.New(spec); err != nil {
		return 0, spec, err
	}
	c, err := wire.ParseCodec(spec.Name)
	return c, spec, err
}

var errGaveUp = &Error{KindTimeout, "gave up"}

func (o *orchester) send(s *sending, to string, codec wire.Codec, payload []byte) {
	s.to = o.byName[to]
	switch {
	case o.shut:
		o.answer(s, Sent{}, &Error{KindUnavailable, "cannot send: the daemon is stopping"})
	case s.to == nil && o.bus.topology.Load().Satellite(to) != nil:
		o.answer(s, Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot send to %s: it does not speak to the bus", to)})
	case s.to == nil:
		o.answer(s, Sent{}, &Error{KindNotFound, fmt.Sprintf("cannot send to %q: no such satellite", to)})
	case o.legacy.unreachable(s.to):
		o.answer(s, Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot send to %s: no link of [bus.v1] leads from dsatd to it", to)})
	case s.to.source:
		o.answer(s, Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot send to %s: it is a source, and takes no messages", to)})
	case s.to.shut:
		o.answer(s, Sent{}, &Error{KindUnavailable, fmt.Sprintf("cannot send to %s: its queue is drained, and lets nothing in; dsatctl queue resume %s ends that", to, to)})
	default:
		if _, kept := s.by.(*keptReply); kept {
			if err := o.noRoom(); err != nil {
				o.answer(s, Sent{}, err)
				return
			}
		}
		o.take(s, o.meant(s.to, codec), payload)
	}
}

// take admits a sending, now or when there is room.
func (o *orchester) take(s *sending, codec wire.Codec, payload []byte) {
	if s.session != "" {
		o.converse(s, codec, payload)
		return
	}
	s.m.codec, s.m.from, s.m.body = uint16(codec), outside, o.t.bodies.copy(payload)
	if s.due > 0 {
		o.timing.add(s)
	}
	if o.t.frozen || s.to.blocked() {
		o.sends = append(o.sends, s)
		return
	}
	o.inject(s)
}

func (o *orchester) inject(s *sending) {
	s.waiter = none
	if o.repeated(s) {
		return
	}
	if s.wait {
		o.waiter++
		s.waiter = o.waiter
		o.waiters[s.waiter] = s
	}
	s.sent.Task = formatID(o.t.peekID())
	s.sent.State = "accepted"
	k, kept := s.by.(*keptReply)
	if kept {
		k.admitted(o, o.t.peekID())
	}
	_, s.task = o.t.inject(o.now, s.to, s.m, s.waiter)
	if kept {
		k.promised(o)
	}
	if m, is := s.by.(hookMessage); is { // in the same record as the message
		o.t.scroll.paid(m.log)
	}
	if !s.wait {
		o.t.after(func() { o.answer(s, s.sent, nil) })
	}
}

// forget answers a sender that waits no longer. Unless it is lasting, its task ends.
func (o *orchester) forget(s *sending) {
	if s.over {
		return
	}
	o.withdraw(s, cancelled, "its caller is gone")
	o.answer(s, s.sent, errGaveUp)
}

// withdraw takes a sending back: out of those who wait for room, or from the end of its task, which is ended too unless it is lasting.
func (o *orchester) withdraw(s *sending, end state, why string) {
	if k := slices.Index(o.sends, s); k >= 0 {
		o.sends = slices.Delete(o.sends, k, k+1)
		o.t.bodies.drop(s.m.body)
		return
	}
	if o.waiters[s.waiter] != s {
		return
	}
	delete(o.waiters, s.waiter)
	o.t.tasks.at(s.task).waiter = none
	if !s.lasting {
		o.t.lapse(s.task, end, why)
	}
}

// result is the tracker's sink: an output of a last step.
func (o *orchester) result(waiter int32, out *wire.Output) {
	if s := o.waiters[waiter]; s != nil {
		s.by.result(o, out)
	}
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
	if _, kept := s.by.(*keptReply); kept { // what is kept of it is in the same record as its end
		o.answer(s, s.sent, nil)
		return
	}
	o.t.after(func() { o.answer(s, s.sent, nil) })
}

// TaskStatus is a message and all that descends from it.
type TaskStatus struct {
	ID     string
	State  string // running, done, failed
	Open   int    // hops not yet terminal
	Hops   []HopStatus
	Reason string
	Asked  string    // the id that was asked for, where that is of one of Hops and not of the task
	Began  time.Time // when the first of Hops was admitted: what HopStatus tells of times is counted from then
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
	Waits    []string      // of one that waits: why, in sentences; of the first 20 only
	From     string        // the step that put it out; "": it came from outside, or that is not known any more
	Admitted time.Duration // since TaskStatus.Began
	Ended    time.Duration // since TaskStatus.Began; 0: it has not
	Tries    []Try         // attempts, oldest first; not all of them where there were many
	number   uint64
	Failures []string // of an open one: what became of each attempt that failed, oldest first: "attempt 1 at csv:0: the process ended: ..."
}

// Task says what is known of a task, or of the one that a message is part of; ended ones are remembered for a while. Errors are *Error.
func (b *Bus) Task(ctx context.Context, id string) (TaskStatus, error) {
	n, err := parseID(id)
	if err != nil {
		return TaskStatus{}, err
	}
	return ask(ctx, b, func(o *orchester) (TaskStatus, error) {
		st, ok := o.t.findTask(o.now, n)
		if task := o.t.taskOf(n); !ok && task != 0 {
			st, ok = o.t.findTask(o.now, task)
			st.Asked = formatID(n)
		}
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
	stats, err := ask(ctx, b, func(o *orchester) (Stats, error) {
		return Stats{Queues: o.jams(o.t.queues(o.now)), Ledger: o.t.ledger(), Tasks: o.t.tasks.live, Strays: o.strays, Routes: o.t.routes(), Evicted: o.t.aside.evicted, Hooks: o.hooks.HookCounts, Calls: o.callCounts(), Legacy: o.legacy.status()}, nil
	})
	stats.Journal, stats.Streams = b.Journal(), b.StreamGauges()
	return stats, err
}

// Stats is a snapshot of the whole bus.
type Stats struct {
	Queues  []QueueStatus // all steps that speak to the bus, in file order
	Ledger  Ledger
	Tasks   int           // not ended
	Strays  uint64        // frames refused
	Evicted uint64        // quarantined messages given up for room
	Legacy  *LegacyStatus // nil: no [bus.v1]
	Hooks   HookCounts
	Calls   CallCounts
	Journal *JournalStats // nil: nothing is kept on disk
	Routes  []RouteStatus // of all steps with links
	Streams []StreamGauge // those that are being written
}
