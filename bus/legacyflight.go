package bus

import (
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/bus/wire"
)

// elder is a step whose satellite speaks v1. Its processes pull from one socket, and which of them has what is known only when it says
// ACK: so they have one session together, whose credit grows with their number.
type elder struct {
	legacy   *legacy
	step     *step
	sess     *session
	out      *legacyPort // nil: nothing can be sent to it
	forwards []string    // satellites at whose ends we stand: each has an output of every message it handles

	lives    []*legacyLife
	flights  []*flight            // sent and not ended, in order of their numbers
	byKey    map[string][]*flight // likewise
	pushed   uint64               // vectors given to the socket
	unfit    []unfit
	taken    int64 // when one of them last said ACK
	quiet    int64 // ns: until then nothing is sent, for somebody has just died; 0: nobody has
	emptying bool  // the carrier is asked for what it has not sent
	doubt    doubt

	errors, late, twice, seen uint64
}

// flight is a message on its way. On the wire nothing tells one from another for sure: emitter, type, channel and task_id are the
// source's, and may come twice. Equal ones are told apart by who handles them and by their order; it makes no difference which of two
// equal ones is done first.
type flight struct {
	of     *elder
	n      uint64 // dispatch
	key    string
	place  uint64 // among the vectors of its socket
	sent   int64
	acked  bool
	since  int64       // when it was acknowledged
	life   *legacyLife // who has it; nil: not known
	errors int
	happy  bool
	due    int64 // happy: when its outputs are not waited for any more
	outs   []arrival
}

// unfit is a dispatch that cannot be sent.
type unfit struct {
	n   uint64
	why string
}

// outputPatience is how long after HAPPY_END the outputs of a message are waited for: they travel by other sockets.
const outputPatience = int64(10 * time.Second)

// key is what all reports about a message have in common. It is valid until the next call.
func (l *legacy) key(v *v1.Vector) []byte {
	b := append(l.scratch[:0], v.Emitter...)
	for _, f := range [...][]byte{v.Type, v.Channel, v.TaskID} {
		b = append(append(b, ':'), f...)
	}
	l.scratch = b
	return b
}

// push sends a vector as dispatch n.
func (e *elder) push(v *v1.Vector, n uint64) {
	l := e.legacy
	e.pushed++
	f := &flight{of: e, n: n, key: string(l.key(v)), place: e.pushed, sent: l.o.now}
	e.flights = append(e.flights, f)
	e.byKey[f.key] = append(e.byKey[f.key], f)
	l.send(e.out, v.Append(nil))
}

// end takes a flight out of all lists.
func (e *elder) end(f *flight) {
	e.flights = without(e.flights, f)
	if rest := without(e.byKey[f.key], f); len(rest) > 0 {
		e.byKey[f.key] = rest
	} else {
		delete(e.byKey, f.key)
	}
	if f.life != nil {
		f.life.let(f, e.legacy.o.now)
	}
	for _, a := range f.outs {
		e.legacy.o.t.bodies.drop(a.m.body)
	}
	f.outs = nil
}

func without(list []*flight, f *flight) []*flight {
	if i := slices.Index(list, f); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// ack: somebody has received it.
func (e *elder) ack(life *legacyLife, key []byte) {
	now := e.legacy.o.now
	var f *flight
	for _, x := range e.byKey[string(key)] {
		if !x.acked {
			f = x
			break
		}
	}
	if f == nil {
		e.late++
		return
	}
	f.acked, f.since = true, now
	e.taken, e.sess.heard = now, now
	if life == nil {
		return
	}
	for _, old := range slices.Clone(life.flights) {
		if old.errors > 0 && !old.happy {
			e.fail(old, fmt.Sprintf("it said ERROR %d times, and went on to the next message", old.errors))
		}
	}
	life.take(f)
}

// find returns the flight of this key that a process handles, or may handle.
func (e *elder) find(life *legacyLife, key []byte, fits func(*flight) bool) *flight {
	var maybe *flight
	for _, f := range e.byKey[string(key)] {
		if !fits(f) {
			continue
		}
		if life != nil && f.life == life {
			return f
		}
		if maybe == nil && (f.life == nil || life == nil) {
			maybe = f
		}
	}
	return maybe
}

// happyEnd: it is handled. Without outputs it is done, and so it is when they are all here. What a last step has made of it is in the
// payload, and goes where its satellite's outputs go.
func (e *elder) happyEnd(life *legacyLife, key []byte, v *v1.Vector) {
	f := e.find(life, key, func(f *flight) bool { return !f.happy })
	if f == nil {
		if life != nil && life.last == string(key) {
			e.twice++ // a last step says it twice
		} else {
			e.late++
		}
		return
	}
	f.happy = true
	if string(v.Next) == v1.Terminus {
		o := e.legacy.o
		if e.sess.hand.holds(f.n) {
			o.t.output(o.now, &e.sess.worker, f.n, &wire.Output{Port: wire.AllLinks, Codec: codecOf(v), Payload: v.Payload})
		}
		e.done(f)
		return
	}
	f.due = e.legacy.o.now + outputPatience
	e.complete(f)
}

// owing returns the flight whose output to a satellite this is: the oldest that has none yet.
func (e *elder) owing(life *legacyLife, key []byte, to string) *flight {
	return e.find(life, key, func(f *flight) bool {
		return !slices.ContainsFunc(f.outs, func(a arrival) bool { return a.to.name == to })
	})
}

// complete ends a flight that is handled and has all its outputs.
func (e *elder) complete(f *flight) {
	if f.happy && len(f.outs) >= len(e.forwards) {
		e.done(f)
	}
}

// done ends a flight with its outputs: both in one turn.
func (e *elder) done(f *flight) {
	t, now := e.legacy.o.t, e.legacy.o.now
	if e.sess.hand.holds(f.n) {
		h := t.hops.at(e.sess.hand.at(e.sess.hand.find(f.n)).slot)
		task, hops, attempts := h.tslot, h.hops+1, h.attempts
		for _, a := range f.outs {
			if port := slices.Index(e.step.routes, a.to); port >= 0 { // the link has its conditions
				t.output(now, &e.sess.worker, f.n, &wire.Output{Port: uint16(port), Codec: wire.Codec(a.m.codec), Payload: a.m.body.data})
				continue
			}
			a.m.hops, a.m.attempts = hops, attempts
			t.scroll.forgetBody()
			t.admit(now, a.to, task, a.m)
		}
		t.done(now, &e.sess.worker, f.n, 0)
	}
	if f.life != nil {
		f.life.last = f.key
	}
	e.end(f)
}

// failed: an attempt did not succeed. The worker tries again by itself, so often as it was told; then this dispatch has failed.
func (e *elder) failed(life *legacyLife, key []byte, v *v1.Vector) {
	e.errors++
	f := e.find(life, key, func(f *flight) bool { return f.acked && !f.happy })
	if f == nil {
		e.late++
		return
	}
	f.errors++
	limit := max(e.step.sat.V1.MaxRetry, 1)
	if string(v.Next) == v1.Terminus {
		limit = 1 // DSAT does not let a last step try again
	}
	if f.errors >= limit {
		e.fail(f, fmt.Sprintf("it said ERROR, at attempt %d of %d", f.errors, limit))
	}
}

func (e *elder) fail(f *flight, why string) {
	e.end(f)
	e.legacy.o.t.fail(e.legacy.o.now, &e.sess.worker, f.n, true, why)
}

// forget: dispatch n is not wanted any more. DSAT has no word for that; what is answered is late.
func (e *elder) forget(n uint64) {
	for _, f := range e.flights {
		if f.n == n {
			e.end(f)
			return
		}
	}
}

// unacked is how many flights nobody has said ACK to.
func (e *elder) unacked() int {
	n := 0
	for _, f := range e.flights {
		if !f.acked {
			n++
		}
	}
	return n
}

// report takes what satellites tell the tracker.
func (l *legacy) report(p *legacyPort, v *v1.Vector, raw []byte) {
	if !l.here(p, v, "") {
		return
	}
	if l.publish != nil {
		l.announceBytes(slices.Clone(raw))
	}
	e := l.steps[string(v.Step)]
	if e == nil {
		l.refuse(p, "", "step", fmt.Sprintf("no satellite that speaks v1 is called %.60q", v.Step))
		return
	}
	life := e.life(v)
	if life != nil {
		life.heard = l.o.now
	}
	if e.out == nil { // others send to it, and dsatd does not follow that
		e.seen++
		return
	}
	switch key := l.key(v); string(v.Event) {
	case v1.Ack:
		e.ack(life, key)
	case v1.HappyEnd:
		e.happyEnd(life, key, v)
	case v1.Failed:
		e.failed(life, key, v)
	}
}

// recall takes dispatch n back from a worker that will not answer, to the head of the queue. When it was being handled as the process
// ended, it is a suspect.
func (t *tracker) recall(now int64, w *worker, n uint64, counts bool, cause, who string, last []string) {
	if !w.hand.holds(n) {
		return
	}
	s := w.step
	pos := w.hand.find(n)
	d := *w.hand.at(pos)
	w.hand.take(pos)
	w.cost -= d.cost
	w.alone = w.alone && w.hand.live > 0
	s.dirty = true
	h := t.hops.at(d.slot)
	if counts {
		h.crashes++
		s.count.crashed++
		t.testify(d.slot, death(h.attempts, who, cause, last)...)
		t.tried(now, d.slot, d.sent, who, "the process ended: "+cause)
		if s.disk && t.known(d.slot) {
			t.scroll.crashes(h, death(h.attempts, who, cause, last))
			t.scroll.tried(now, h, t.evidence[d.slot])
		}
	}
	t.hops.setState(d.slot, waiting)
	if counts && int(h.crashes) >= s.cfg.crashes && s.streak < brokenAfter {
		s.streak++
		t.setAside(now, d.slot, fmt.Sprintf("it was being handled when %d processes ended, the last one: %s", h.crashes, cause))
		return
	}
	s.line(&t.hops, d.slot).pushFront(&t.hops, d.slot)
}
