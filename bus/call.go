package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// Call is a message whose sender wants to know how its task ends.
type Call struct {
	To      string
	Codec   string // "": raw
	Payload []byte
	Within  time.Duration // then the answer is "expired"; 0: there is no deadline
	Session string        // all messages of one go to the same instance, one after the other; "": none. When that is gone Sent.State is "lost"
	Lasting bool          // the task goes on when nobody waits for it any more; else it ends, and nothing of it is dispatched
}

// callDefault is how long a call may take that does not say.
const callDefault = 30 * time.Second

// stateLost is Sent.State of a call in a session whose instance is gone.
const stateLost = "lost"

// resultBytes bounds the outputs that a caller has not taken yet.
const resultBytes = 16 << 20

// Call sends a message and waits for the end of its task. There is exactly one answer: Sent.State is done, failed (why is in Reason) or
// expired, when the deadline came first. each, unless it is nil, gets every output of a last step as it comes; else they are in
// Sent.Results. The outputs are those of hops that are done: what a failed attempt has put out is not among them.
//
// The end of ctx is that of the caller: its call is forgotten, and the error is of KindTimeout. So it is with an error of each, which
// is returned as it is. Other errors are *Error, and then nothing was sent: KindNotFound, KindInvalid, KindUnavailable.
func (b *Bus) Call(ctx context.Context, c Call, each func(Result) error) (Sent, error) {
	out := newOutsider()
	s := &sending{wait: true, lasting: c.Lasting, session: c.Session, by: out}
	if err := checkSession(c.Session); err != nil {
		return Sent{}, err
	}
	if c.Within > 0 {
		s.due = b.now() + int64(c.Within)
	}
	if err := b.hand(s, c.To, c.Codec, c.Payload); err != nil {
		return Sent{}, err
	}
	sent, err := out.wait(ctx, b, s, each)
	if errors.Is(err, errGaveUp) {
		return sent, &Error{KindTimeout, fmt.Sprintf("cannot wait longer for the answer of %s: %v", c.To, context.Cause(ctx))}
	}
	return sent, err
}

// outsider is a caller in a goroutine of its own.
type outsider struct {
	news chan struct{} // capacity 1: there is more

	mu      sync.Mutex
	results []Result // not taken yet
	bytes   int      // of them
	omitted int
	end     bool
	sent    Sent
	err     error
}

func newOutsider() *outsider { return &outsider{news: make(chan struct{}, 1)} }

func (c *outsider) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *outsider) result(o *orchester, out *wire.Output) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+len(out.Payload) > resultBytes {
		c.omitted++
		return
	}
	c.bytes += len(out.Payload)
	c.results = append(c.results, o.resultOf(out))
	c.tell()
}

func (c *outsider) answer(_ *orchester, sent Sent, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end, c.sent, c.err = true, sent, err
	c.tell()
}

// take returns what came since the last time, and whether it was the end.
func (c *outsider) take() (results []Result, sent Sent, err error, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	results, c.results, c.bytes = c.results, nil, 0
	c.sent.Omitted = c.omitted
	return results, c.sent, c.err, c.end
}

// wait returns when s has its answer, which it has soon after the end of ctx. A loop that does not answer is not waited for.
func (c *outsider) wait(ctx context.Context, b *Bus, s *sending, each func(Result) error) (Sent, error) {
	var all []Result
	gone := ctx.Done()
	var stuck <-chan time.Time
	for {
		select {
		case <-c.news:
			results, sent, err, end := c.take()
			for _, r := range results {
				if each == nil {
					all = append(all, r)
				} else if refused := each(r); refused != nil {
					b.mail.post(func(o *orchester) { o.forget(s) })
					return sent, refused
				}
			}
			if end {
				sent.Results = all
				return sent, err
			}
			if each == nil {
				c.keep(results)
			}
		case <-gone:
			gone = nil
			b.mail.post(func(o *orchester) { o.forget(s) })
			timer := time.NewTimer(loopPatience)
			defer timer.Stop()
			stuck = timer.C
		case <-stuck:
			return Sent{}, &Error{KindTimeout, "cannot tell whether the message was taken: the bus does not answer"}
		case <-b.done:
			return Sent{}, errClosed
		}
	}
}

// keep counts results that were taken only to be kept.
func (c *outsider) keep(results []Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range results {
		c.bytes += len(r.Payload)
	}
}

// timing is the calls with a deadline.
type timing struct {
	calls map[int32]*sending // by number
	last  int32
	line  heap // of their numbers; those that have their answer too, for a while

	expired, dropped uint64
}

// CallCounts is the calls, and the sends that wait.
type CallCounts struct {
	Waiting  int    // for the end of their task, or for room
	Expired  uint64 // by their deadline
	Replies  int    // to detached calls: kept, or awaited
	GivenUp  uint64 // of those, for their age or for room
	Sessions int    // that live, and those whose end is to be told
	Lost     uint64 // sessions that ended with their instance
	Dropped  uint64 // whose satellite was gone, or was cancelled by it, before the answer
}

func (o *orchester) callCounts() CallCounts {
	return CallCounts{Waiting: len(o.waiters) + len(o.sends) + o.talks.next, Expired: o.timing.expired, Dropped: o.timing.dropped,
		Replies: len(o.replies.by), GivenUp: o.replies.given, Sessions: len(o.talks.by), Lost: o.talks.gone}
}

func (t *timing) add(s *sending) {
	if t.calls == nil {
		t.calls = map[int32]*sending{}
	}
	t.last++
	s.timed = t.last
	t.calls[s.timed] = s
	t.line.push(s.due, s.timed)
}

// remove forgets one that has its answer. A line most of which is forgotten is made anew.
func (t *timing) remove(s *sending) {
	if s.timed == 0 {
		return
	}
	delete(t.calls, s.timed)
	if len(t.line) < 2*len(t.calls)+64 {
		return
	}
	old := t.line
	t.line = make(heap, 0, len(t.calls))
	for _, r := range old {
		if t.calls[r.slot] != nil {
			t.line.push(r.due, r.slot)
		}
	}
}

// expireCalls answers those whose deadline is over and sees to it that nothing is done for them any more. It returns when it wants to
// be called again; 0: not.
func (o *orchester) expireCalls() int64 {
	if o.t.frozen {
		return 0
	}
	next := int64(0)
	for line := &o.timing.line; len(*line) > 0; {
		if next = (*line)[0].due; next > o.now {
			break
		}
		next = 0
		if s := o.timing.calls[line.pop()]; s != nil {
			o.expire(s)
		}
	}
	return sooner(sooner(sooner(next, o.expireReplies()), o.idleSessions()), o.t.sweep(o.now))
}

func (o *orchester) expire(s *sending) {
	const reason = "the deadline of its caller is over"
	s.sent.Reason = "no answer in time"
	if s.sent.Task == "" {
		s.sent.Reason = fmt.Sprintf("no answer in time: the queue of %s was full, and nothing was sent", s.to.name)
	} else if s.lasting {
		s.sent.Reason = "no answer in time; the task goes on"
	}
	s.sent.State = "expired"
	o.timing.expired++
	o.withdraw(s, expired, reason)
	o.answer(s, s.sent, nil)
}

// endCalls ends all calls that are not lasting: the daemon is about to be replaced, and the next one would not know who asked.
func (o *orchester) endCalls() {
	for _, s := range o.waiters {
		if _, kept := s.by.(*keptReply); !kept && !s.lasting {
			o.withdraw(s, cancelled, "its caller lost dsatd")
			o.answer(s, s.sent, &Error{KindUnavailable, "cannot wait for the answer: dsatd is being replaced; ask again"})
		}
	}
	o.t.lapsed.due = 0
	o.t.sweepAll(o.now)
}
