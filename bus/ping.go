package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// pinging is what one session owes an answer to. There is one PING on its way at most: whoever asks meanwhile waits for the
// same answer, so that a peer which does not read is sent no more of them.
type pinging struct {
	n      uint64 // of the last PING
	asked  bool   // it is not answered
	askers []chan error
}

// Ping asks the session of one life of an instance whether it answers and returns nil when it does. The SDK's reader answers,
// which waits for no handler: that the process is alive and reads is all it says. Errors are *Error: KindNotFound when this life
// is over or never was on the bus, KindInvalid for filters, which cannot be asked, KindUnavailable when there is no session
// yet, or when it ends meanwhile, KindTimeout when ctx ended first.
func (b *Bus) Ping(ctx context.Context, ref topology.Ref, inc topology.Incarnation) error {
	c := make(chan error, 1)
	b.mail.post(func(o *orchester) { o.ping(ref, inc, c) })
	select {
	case err := <-c:
		return err
	case <-b.done:
		return errClosed
	case <-ctx.Done():
		b.mail.post(func(o *orchester) { o.forgetPing(ref, inc, c) })
		return &Error{KindTimeout, fmt.Sprintf("cannot wait longer for an answer of %v to a ping: %v", ref, context.Cause(ctx))}
	}
}

// Progress says whether an instance makes progress: the messages it has in hand, how long ago the oldest of them was sent to it,
// and how long ago it last answered one or said PROGRESS, counted from its HELLO on when it never did. Without anything in hand
// it is idle, and not stuck. All are 0 when it has no session, and when the bus is closed.
func (b *Bus) Progress(ref topology.Ref) (inHand int, oldest, sinceLastDone time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	type progress struct {
		inHand         int
		oldest, silent time.Duration
	}
	p, err := ask(ctx, b, func(o *orchester) (progress, error) {
		i := o.instances[ref]
		if i != nil && i.life != nil {
			n, oldest, silent := i.life.progress(o.now)
			return progress{n, duration(oldest), duration(silent)}, nil
		}
		if i == nil || i.sess == nil {
			return progress{}, nil
		}
		w := &i.sess.worker
		p := progress{inHand: w.hand.live, silent: duration(o.now - w.heard)}
		if w.hand.live > 0 {
			p.oldest = duration(o.now - w.hand.at(w.hand.first).sent)
		}
		return p, nil
	})
	if err != nil {
		return 0, 0, 0
	}
	return p.inHand, p.oldest, p.silent
}

func (o *orchester) ping(ref topology.Ref, inc topology.Incarnation, c chan error) {
	i := o.find(ref, inc)
	cannot := func(kind Kind, why string) { c <- &Error{kind, fmt.Sprintf("cannot ping %v: %s", ref, why)} }
	switch {
	case i == nil || i.gone:
		cannot(KindNotFound, "this life of it is not on the bus")
	case i.sat.Speaks.Filter():
		cannot(KindInvalid, "it is a filter, and has no session that could be asked")
	case i.life != nil:
		cannot(KindInvalid, "it speaks v1, which has no question for that")
	case i.sess == nil:
		cannot(KindUnavailable, "it has not said HELLO")
	case i.sess.bye || i.sess.peer.refused:
		cannot(KindUnavailable, "its session is over")
	default:
		o.askPing(i.sess, c)
	}
}

func (o *orchester) askPing(s *session, c chan error) {
	s.ping.askers = append(s.ping.askers, c)
	if s.ping.asked {
		return
	}
	s.ping.asked = true
	s.ping.n++
	o.post(s.peer, &wire.Header{Kind: wire.Ping, N: s.ping.n}, nil)
}

// pong is the answer to a PING.
func (s *session) pong(n uint64) {
	if s.ping.asked && n == s.ping.n {
		s.ping.asked = false
		s.answerPings(nil)
	}
}

// answerPings tells all who wait.
func (s *session) answerPings(err error) {
	for _, c := range s.ping.askers {
		c <- err
	}
	s.ping.askers = nil
}

// unanswered tells those who wait for a session that is over.
func (s *session) unanswered() {
	if len(s.ping.askers) > 0 {
		s.answerPings(&Error{KindUnavailable, fmt.Sprintf("cannot ping %v: its session ended before it answered", s.inst.ref)})
	}
}

func (o *orchester) forgetPing(ref topology.Ref, inc topology.Incarnation, c chan error) {
	if i := o.find(ref, inc); i != nil && i.sess != nil {
		i.sess.ping.askers = slices.DeleteFunc(i.sess.ping.askers, func(x chan error) bool { return x == c })
	}
}
