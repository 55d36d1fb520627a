package bus

import (
	"fmt"
	"slices"

	"github.com/dsat/dsat/bus/wire"
)

// What a session may have called and have no end of yet.
const (
	callMessages = 256
	callBytes    = 4 << 20
)

// unreadReplies is how many bytes of outputs may wait for a caller that does not read; one larger output alone may, too. Those beyond
// are left out, and the call fails: its caller asks for more than it takes.
const unreadReplies = 4 << 20

// calling is the calls of one session.
type calling struct {
	last  uint64 // number of the last CALL
	open  map[uint64]*callOf
	bytes int // of their payloads
}

// callOf is one of them.
type callOf struct {
	s       *session
	n       uint64
	size    int
	sending *sending
	omitted int
}

// callSteps finds the steps that s may call; those that are not there any more keep their port.
func (s *step) callSteps(by map[string]*step) {
	s.calls = nil
	for _, name := range s.sat.Calls {
		if to := by[name]; to != nil {
			s.calls = append(s.calls, to)
		}
	}
	s.callees = places(s.callees, s.calls)
}

func (o *orchester) call(s *session, r *wire.Record) error {
	c := &s.calls
	switch {
	case r.N != c.last+1:
		return violated("CALL %d after %d", r.N, c.last)
	case int(r.Port) >= len(s.step.callees):
		return violated("CALL to step %d of %d", r.Port, len(s.step.callees))
	case r.Time < 0:
		return violated("CALL with a deadline in the past")
	case len(c.open) >= callMessages || len(c.open) > 0 && c.bytes+len(r.Body) > callBytes:
		return violated("more CALLs than the window of %d messages or %d bytes", callMessages, callBytes)
	}
	c.last = r.N
	call := &callOf{s: s, n: r.N, size: len(r.Body)}
	within := int64(callDefault)
	if r.Time > 0 {
		within = r.Time
	}
	call.sending = &sending{to: s.step.callees[r.Port], wait: true, lasting: r.Flags&wire.FlagLasting != 0, due: o.now + within, by: call}
	if r.ID > 0 {
		call.sending.session, call.sending.owner = fmt.Sprintf("%v/%d", s.inst.ref, r.ID), s
	}
	if c.open == nil {
		c.open = map[uint64]*callOf{}
	}
	c.open[r.N] = call
	c.bytes += call.size
	if why := o.callable(call, r); why != "" {
		o.answer(call.sending, Sent{}, &Error{KindConflict, why})
		return nil
	}
	o.take(call.sending, s.coded(r.Codec), r.Body)
	return nil
}

// callable is why a call cannot be.
func (o *orchester) callable(c *callOf, r *wire.Record) string {
	to, s := c.sending.to, c.s
	switch {
	case to.index == outside || !slices.Contains(s.step.calls, to):
		return fmt.Sprintf("cannot call %s: the topology does not let %s call it any more", to.name, s.step.name)
	case to.source:
		return fmt.Sprintf("cannot call %s: it is a source, and takes no messages", to.name)
	case to.shut:
		return fmt.Sprintf("cannot call %s: its queue is drained, and lets nothing in", to.name)
	case r.M > 0 && !s.hand.holds(r.M):
		return fmt.Sprintf("cannot call %s: the message that it is about is not wanted any more", to.name)
	case r.M > 0:
		c.sending.m.hops = o.t.hops.at(s.hand.at(s.hand.find(r.M)).slot).hops + 1
	}
	return ""
}

// result is an output of a last step.
func (c *callOf) result(o *orchester, out *wire.Output) {
	if waits := c.s.peer.unread(); waits > 0 && waits+len(out.Payload) > unreadReplies {
		c.omitted++
		return
	}
	o.post(c.s.peer, &wire.Header{Kind: wire.Reply, Flags: wire.FlagMore, N: c.n, Codec: c.s.peer.passes(uint16(out.Codec))}, out.Payload)
}

// answer is the end.
func (c *callOf) answer(o *orchester, sent Sent, err error) {
	open := &c.s.calls
	if open.open[c.n] != c { // it is forgotten
		return
	}
	delete(open.open, c.n)
	open.bytes -= c.size
	h := wire.Header{Kind: wire.Reply, N: c.n}
	why := sent.Reason
	switch {
	case err != nil:
		h.M, why = wire.EndRefused, err.Error()
	case sent.State == "expired":
		h.M = wire.EndExpired
	case sent.State == stateLost:
		h.M = wire.EndLost
	case sent.State != "done":
		h.M = wire.EndFailed
	case c.omitted > 0:
		h.M, why = wire.EndFailed, fmt.Sprintf("%d of its outputs were left out: more than %d bytes wait to be read", c.omitted, unreadReplies)
	}
	if id, err := parseID(sent.Task); err == nil {
		h.ID = id
	}
	if s := c.s; s.bye || s.peer.refused || s.peer.left {
		o.timing.dropped++
		return
	}
	o.post(c.s.peer, &h, []byte(why[:min(len(why), 4096)]))
}

// dropCall forgets a call nobody waits for any more.
func (o *orchester) dropCall(s *session, n uint64) error {
	if n > s.calls.last {
		return violated("CANCEL of call %d after %d", n, s.calls.last)
	}
	if c := s.calls.open[n]; c != nil {
		delete(s.calls.open, n)
		s.calls.bytes -= c.size
		o.forget(c.sending)
	}
	return nil
}

// hangUp forgets all calls of a session that is over. Their answers, if any are still to come, have nobody to go to.
func (o *orchester) hangUp(s *session) {
	open := s.calls.open
	s.calls.open, s.calls.bytes = nil, 0
	for _, c := range open {
		o.timing.dropped++
		o.forget(c.sending)
	}
	if len(o.talks.by) > 0 {
		o.dropSessions(s)
	}
}
