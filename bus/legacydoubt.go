package bus

import (
	"slices"
	"time"
)

// doubt is about what was sent before a process died and nobody has acknowledged: it may lie in the pipes of those who live, or have been
// lost with the dead. Each process takes in order. So when all who live have either acknowledged something that was sent later, or have
// been idle for a while, the rest was the dead's, and is sent again.
type doubt struct {
	since int64  // 0: there is none
	place uint64 // the last vector that is in doubt
}

const (
	// deadQuiet is how long nothing is sent after a death: ZeroMQ learns of it on its own, and what it puts into a dead pipe is lost.
	deadQuiet = int64(50 * time.Millisecond)
	// idleProof is how long a living process must be idle to prove that its pipe is empty.
	idleProof = int64(250 * time.Millisecond)
	// newcomerProof is the same for one that has never acknowledged anything: it may be on its way to its first message.
	newcomerProof = int64(5 * time.Second)
	// doubtPatience is how long proof is waited for where work has no deadline.
	doubtPatience = int64(60 * time.Second)
)

// doubtful begins the doubt about what was sent before a death.
func (e *elder) doubtful(now int64) {
	e.doubt = doubt{since: now, place: e.out.peer.v1.taken.Load()}
	if len(e.lives) == 0 && e.unacked() > 0 {
		e.emptying = true // nobody is there for what is not sent
		e.legacy.carrierOf().drop(e.out.peer)
	}
	e.refresh()
}

// emptied: what was given to a socket and not sent will never be.
func (l *legacy) emptied(p *legacyPort) {
	for _, e := range l.steps {
		if e.out == p && e.emptying {
			e.emptying = false
			e.back(e.pushed)
			e.refresh()
		}
	}
}

// prove looks whether all who live have shown that they hold nothing of what is in doubt.
func (e *elder) prove(now int64) (due int64) {
	patience := doubtPatience
	if d := e.step.cfg.deadline; d > 0 {
		patience = d
	}
	if now < e.doubt.since+patience {
		for _, l := range e.lives {
			switch {
			case !l.survivor || l.furthest > e.doubt.place:
			case len(l.flights) > 0:
				due = sooner(due, e.doubt.since+patience)
			default:
				proof := idleProof
				if !l.spoke {
					proof = newcomerProof
				}
				if at := max(l.idle, e.doubt.since) + proof; at > now {
					due = sooner(due, at)
				}
			}
		}
		if due > 0 && slices.ContainsFunc(e.flights, func(f *flight) bool { return !f.acked && f.place <= e.doubt.place }) {
			return due
		}
	}
	e.back(e.doubt.place)
	e.doubt = doubt{}
	for _, l := range e.lives {
		l.survivor = false
	}
	return 0
}

// back returns to the queue what nobody has acknowledged, up to a place.
func (e *elder) back(place uint64) {
	for _, f := range slices.Backward(slices.Clone(e.flights)) {
		if !f.acked && f.place <= place {
			e.end(f)
			e.legacy.o.t.recall(e.legacy.o.now, &e.sess.worker, f.n, false, "", "", nil)
		}
	}
}
