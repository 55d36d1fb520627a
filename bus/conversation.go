package bus

import (
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// A session that a caller has with one instance of a step (in the wire's words a conversation) begins with its first message, which
// chooses the instance, and takes its messages there one after the other: the next when the task of the one before has ended. When the
// instance ends, so does the session: what was unanswered is lost, and so is the next message, if nothing was; the one after that begins a
// new session. A session nobody uses ends too.
const (
	mostConversations = 10_000
	conversationIdle  = 5 * time.Minute // then it ends, and for as long again it is remembered that it did
)

// conversation is one of them.
type conversation struct {
	key     conversationKey
	worker  *worker    // nil: no instance was there yet
	current *sending   // on its way
	next    []*sending // wait for it
	used    int64      // when it was used last, ns since the start
	ready   bool       // it is among those to be looked at
	lost    string     // why it is over, which nobody was told; "": it lives
	owner   *session   // the satellite whose it is; nil: somebody's outside
}

type conversationKey struct {
	step *step
	name string
}

// conversations is all of them.
type conversations struct {
	by    map[conversationKey]*conversation
	next  int             // messages that wait for those before them, or for an instance
	ready []*conversation // that may be able to go on
	gone  uint64          // lost with their instances
	look  int64           // when those that are not used are looked for
}

// converse gives a sending to its session.
func (o *orchester) converse(s *sending, codec wire.Codec, payload []byte) {
	all := &o.talks
	key := conversationKey{s.to, s.session}
	c := all.by[key]
	switch {
	case s.to.cfg.durable:
		o.answer(s, Sent{}, &Error{KindInvalid, fmt.Sprintf("cannot hold a session with %s: its queue is durable, and a session ends with its instance", s.to.name)})
		return
	case c == nil && len(all.by) >= mostConversations:
		o.answer(s, Sent{}, &Error{KindUnavailable, fmt.Sprintf("cannot begin another session: there are %d", len(all.by))})
		return
	case c == nil:
		c = &conversation{key: key, owner: s.owner}
		if all.by == nil {
			all.by = map[conversationKey]*conversation{}
		}
		all.by[key] = c
		if all.look == 0 {
			all.look = o.now + int64(conversationIdle)
		}
	case c.lost != "":
		delete(all.by, key)
		o.answer(s, Sent{State: stateLost, Reason: c.lost}, nil)
		return
	}
	c.used, s.conversation = o.now, c
	s.m.codec, s.m.from, s.m.body = uint16(codec), outside, o.t.bodies.copy(payload)
	if s.due > 0 {
		o.timing.add(s)
	}
	c.next = append(c.next, s)
	all.next++
	o.goesOn(c)
}

// goesOn has a session looked at before the end of the turn.
func (o *orchester) goesOn(c *conversation) {
	if !c.ready {
		c.ready = true
		o.talks.ready = append(o.talks.ready, c)
	}
}

// proceed lets the next message of a session go, if none is on its way and there is an instance, and reports whether it did; if it
// could not yet, the session is looked at again.
func (o *orchester) proceed(c *conversation) bool {
	to := c.key.step
	if c.current != nil || len(c.next) == 0 {
		return false
	}
	if to.index == outside {
		o.loseSession(c, "its session is lost: its step was removed from the topology")
		return false
	}
	if c.worker == nil && !o.t.frozen {
		c.worker = o.host(to)
	}
	if c.worker == nil || o.t.frozen || to.blocked() {
		o.goesOn(c)
		return false
	}
	s := c.next[0]
	c.next = slices.Delete(c.next, 0, 1)
	o.talks.next--
	c.current = s
	s.m.pin = &pin{c.worker, c.key.name}
	o.inject(s)
	return true
}

// converseOn lets the sessions go on that can, and reports whether any did.
func (o *orchester) converseOn() (some bool) {
	list := o.talks.ready
	o.talks.ready = nil
	for _, c := range list {
		c.ready = false
		some = o.proceed(c) || some
	}
	return some
}

// host is the instance with the fewest sessions, or nil.
func (o *orchester) host(st *step) *worker {
	count := map[*worker]int{}
	for _, c := range o.talks.by {
		count[c.worker]++
	}
	var best *worker
	for _, w := range st.workers {
		if w.open && w.messages > 0 && (best == nil || count[w] < count[best] || count[w] == count[best] && w.hand.live < best.hand.live) {
			best = w
		}
	}
	return best
}

// idleSessions ends those that are not used, and returns when it wants to be called again; 0: not.
func (o *orchester) idleSessions() int64 {
	all := &o.talks
	if len(all.by) == 0 {
		all.look = 0
	}
	if all.look == 0 || o.now < all.look {
		return all.look
	}
	all.look = o.now + int64(conversationIdle)/4
	for key, c := range all.by {
		switch idle := o.now - c.used; {
		case c.current != nil || len(c.next) > 0 || idle < int64(conversationIdle):
		case c.lost == "":
			c.lost, c.worker = fmt.Sprintf("its session was not used for %v", conversationIdle), nil
		case idle >= 2*int64(conversationIdle):
			delete(all.by, key)
		}
	}
	return all.look
}

// answered takes a sending that has its answer out of its session.
func (c *conversation) answered(o *orchester, s *sending) {
	c.used = o.now
	if c.current == s {
		c.current = nil
		o.goesOn(c)
		return
	}
	if k := slices.Index(c.next, s); k >= 0 {
		c.next = slices.Delete(c.next, k, k+1)
		o.talks.next--
		o.t.bodies.drop(s.m.body)
	}
}

// loseSessions ends all sessions with an instance that is gone.
func (o *orchester) loseSessions(w *worker, why string) {
	for _, c := range o.talks.by {
		if c.worker == w {
			o.loseSession(c, fmt.Sprintf("its session with %s is lost: %s", w.name, why))
		}
	}
}

// loseSession answers all that is unanswered; if nothing is, the next one will be told.
func (o *orchester) loseSession(c *conversation, why string) {
	c.worker = nil
	o.talks.gone++
	open := slices.Clone(c.next)
	if c.current != nil {
		open = append([]*sending{c.current}, open...)
	}
	if len(open) == 0 {
		c.lost = why
		return
	}
	delete(o.talks.by, c.key)
	for _, s := range open {
		s.sent.State, s.sent.Reason = stateLost, why
		o.withdraw(s, cancelled, why)
		o.answer(s, s.sent, nil)
	}
}

// endSessions ends all: the daemon is about to be replaced.
func (o *orchester) endSessions() {
	for _, c := range o.talks.by {
		o.loseSession(c, "its session is lost: dsatd was replaced")
	}
	clear(o.talks.by)
}

// dropSessions forgets those of a satellite that is gone. Its calls are forgotten already.
func (o *orchester) dropSessions(s *session) {
	for key, c := range o.talks.by {
		if c.owner == s {
			delete(o.talks.by, key)
		}
	}
}

// topic is the tracker's sink.
func (o *orchester) topic(w *worker, n uint64, session string) {
	if s := w.sess; s != nil && s.topics {
		o.post(s.peer, &wire.Header{Kind: wire.Topic, N: n}, wire.AppendJSON(nil, &wire.TopicBody{Session: session}))
	}
}

// checkSession says what is wrong with the name of a session.
func checkSession(name string) error {
	ok := len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return &Error{KindInvalid, fmt.Sprintf("cannot use %.80q as a session: want letters, digits, dots, - and _, 64 at most", name)}
	}
	return nil
}
