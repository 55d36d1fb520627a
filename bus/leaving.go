package bus

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// patience is how long the two halves of an end may be apart: the kernel's word that a process is gone, and the end of what
// it had sent.
const patience = int64(250 * time.Millisecond)

// leaving is an instance of whose end one half is known.
type leaving struct {
	inst  *instance
	ended bool   // its input is read to the end
	due   int64  // when the other half is not waited for any more
	why   string // what the carrier said
}

func (o *orchester) leave(i *instance) *leaving {
	for _, l := range o.leaving {
		if l.inst == i {
			return l
		}
	}
	l := &leaving{inst: i, due: o.now + patience}
	o.leaving = append(o.leaving, l)
	return l
}

// gone: the process was reaped.
func (o *orchester) gone(ref topology.Ref, inc topology.Incarnation, cause string, last []string) {
	i := o.find(ref, inc)
	if i == nil || i.gone {
		return
	}
	i.gone, i.cause, i.last = true, cause, last
	if i.sat.Speaks == topology.SpeaksBus {
		dir := o.bus.pluginDir(ref, inc)
		o.bus.group.Go(func() { _ = os.RemoveAll(dir) })
	}
	if i.life != nil {
		o.legacy.dying(i.life)
	}
	l := o.leave(i)
	l.due = o.now + patience
	if i.sat.Mode == topology.ModeSource {
		l.due = o.now + int64(sourceWords) + patience
	}
	if i.peer == nil {
		l.ended = true
	} else if !l.ended {
		i.peer.carrier.finish(i.peer)
	}
	o.settleLeaving(l)
}

// inputEnded: nothing more will come from the peer.
func (o *orchester) inputEnded(p *peer, err error) {
	if p.port != nil {
		o.legacy.emptied(p.port)
		return
	}
	i := o.instanceOf(p)
	if i == nil {
		o.dismiss(p)
		return
	}
	l := o.leave(i)
	if err != nil && l.why == "" {
		l.why = err.Error()
	}
	var v violation
	if errors.As(err, &v) && !i.gone {
		o.refuse(p, wire.ErrProtocol, l.why)
	}
	var c complaint
	l.ended = l.ended || !errors.As(err, &c)
	o.settleLeaving(l)
}

// instanceOf returns the instance a peer belongs to, if its end is still of interest.
func (o *orchester) instanceOf(p *peer) *instance {
	if p.sess != nil {
		return p.sess.inst
	}
	if p.bound {
		return o.find(p.ref, p.inc)
	}
	return nil
}

// settleLeaving buries an instance when both halves of its end are known.
func (o *orchester) settleLeaving(l *leaving) {
	i := l.inst
	if !i.gone || !l.ended {
		return
	}
	for k, x := range o.leaving {
		if x == l {
			o.leaving = append(o.leaving[:k], o.leaving[k+1:]...)
			break
		}
	}
	if o.instances[i.ref] == i {
		delete(o.instances, i.ref)
	}
	if p := i.peer; p != nil {
		o.dismiss(p)
	}
	if i.life != nil {
		o.legacy.gone(i.life)
	}
	o.rejoin = true
	s := i.sess
	if s == nil {
		if !i.draining {
			o.t.suffered(o.now, i.step, math.MaxUint64)
		}
		return
	}
	if n := s.hand.live; n == 1 {
		o.tellEvent(i.ref.Name, i.ref, i.inc, "the message it had in hand goes back to the queue: "+i.cause)
	} else if n > 1 {
		o.tellEvent(i.ref.Name, i.ref, i.inc, fmt.Sprintf("%d messages it had in hand go back to the queue: %s", n, i.cause))
	}
	s.staged = nil
	s.unanswered()
	o.hangUp(s)
	if !s.filter {
		o.discard(s)
	}
	o.loseSessions(&s.worker, i.cause)
	o.t.bury(o.now, &s.worker, !s.draining && !s.bye, i.cause, i.last)
}

// reason is why the session of a process that lives on is over.
func (l *leaving) reason(s *session) string {
	switch {
	case l.why != "":
		return l.why
	case s != nil && s.filter:
		return "it closed its standard output"
	default:
		return "its session ended without BYE"
	}
}

// discard forgets the EMITs of a dead source that were not accepted: nobody was told that they are in. What a filter wrote is
// kept: its program could not know.
func (o *orchester) discard(s *session) {
	if len(s.pending) == 0 {
		return
	}
	o.tellEvent(s.step.name, s.inst.ref, s.inst.inc, fmt.Sprintf("%d messages it emitted were not accepted when it ended", len(s.pending)))
	for _, e := range s.pending {
		o.t.bodies.drop(e.m.body)
	}
	s.pending, s.held = nil, 0
}

// departures gives up waiting for second halves that are overdue and returns when the next one is; 0: none.
func (o *orchester) departures() int64 {
	next := int64(0)
	for k := 0; k < len(o.leaving); k++ {
		l := o.leaving[k]
		switch {
		case l.due > o.now || l.due == 0:
		case l.inst.gone:
			l.ended = true
			o.settleLeaving(l)
			k--
			continue
		default:
			l.due = 0
			if s := l.inst.sess; s == nil || !s.bye {
				if s != nil {
					s.open = false
				}
				o.tellFault(l.inst.ref, l.inst.inc, l.reason(s))
			}
		}
		if l.due > 0 && (next == 0 || l.due < next) {
			next = l.due
		}
	}
	return next
}

// drain is somebody who waits until an instance has finished what it has in hand.
type drain struct {
	inst *instance
	done chan struct{}
}

func (o *orchester) drain(ref topology.Ref, inc topology.Incarnation, done chan struct{}) {
	i := o.find(ref, inc)
	if i == nil {
		close(done)
		return
	}
	if !i.draining {
		i.draining = true
		if i.sess != nil {
			o.startDrain(i.sess)
		}
		if i.life != nil {
			i.life.of.refresh()
		}
	}
	o.drains = append(o.drains, &drain{i, done})
}

func (o *orchester) startDrain(s *session) {
	s.draining, s.open, o.rejoin = true, false, true
	o.post(s.peer, &wire.Header{Kind: wire.Drain}, nil)
}

func (o *orchester) checkDrains() {
	keep := o.drains[:0]
	for _, d := range o.drains {
		if d.inst.drained() {
			close(d.done)
		} else {
			keep = append(keep, d)
		}
	}
	clear(o.drains[len(keep):])
	o.drains = keep
}

func (i *instance) drained() bool {
	s := i.sess
	if i.life != nil {
		return i.life.drained()
	}
	if i.gone || s == nil || s.bye {
		return true
	}
	return s.filter && s.hand.live == 0 && len(s.pending) == 0
}

// late is the tracker's word that a running hop has missed its deadline.
func (o *orchester) late(w *worker, h *hop, n uint64) {
	s := w.sess
	limit := time.Duration(w.step.cfg.deadline)
	why := fmt.Sprintf("no answer for %v on task %s", limit, formatID(h.task))
	d := w.hand.at(w.hand.find(n))
	if limit == 0 || d.since+int64(limit) > o.now {
		why = fmt.Sprintf("no PROGRESS for %v on task %s", time.Duration(w.step.cfg.heartbeat), formatID(h.task))
	} else if s.filter {
		why = fmt.Sprintf("wrote 1 line, got none within %v: output buffered?", limit)
	}
	o.tellFault(s.inst.ref, s.inst.inc, why)
}
