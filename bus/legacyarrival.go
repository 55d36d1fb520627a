package bus

import (
	"fmt"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/topology"
)

// arrival is a vector that is to be admitted.
type arrival struct {
	to     *step
	m      message
	parent *flight // its task is that of what its sender handles; nil: a new one
}

// arrive takes what is for the orchester: an INIT or BOUNCE goes to the step that its type names.
func (l *legacy) arrive(p *legacyPort, v *v1.Vector, raw []byte, address string) {
	if !l.here(p, v, address) {
		return
	}
	if err := v.Routable(); err != nil {
		l.refuse(p, address, reasonOf(err), err.Error())
		return
	}
	to := l.o.byName[string(v.Type)]
	switch {
	case to == nil:
		l.refuse(p, address, "type", fmt.Sprintf("no step is called %.60q (emitter %.60q)", v.Type, v.Emitter))
		return
	case to.source:
		l.refuse(p, address, "type", fmt.Sprintf("%s is a source, and takes no messages (emitter %.60q)", to.name, v.Emitter))
		return
	case l.unreachable(to):
		l.refuse(p, address, "type", fmt.Sprintf("no link of [bus.v1] leads to %s (emitter %.60q)", to.name, v.Emitter))
		return
	}
	l.announce(v1.Acknowledged(*v, l.pid))
	a := arrival{to: to, m: l.message(to, v, raw)}
	if life := l.lives[string(v.PID)]; life != nil {
		a.m.from = int16(life.of.step.index)
		a.parent = life.handling()
	}
	l.take(p, a)
}

func reasonOf(err error) string {
	if m, ok := err.(*v1.Malformed); ok { //nolint:errorlint // v1 returns it bare
		return string(m.Reason)
	}
	return string(v1.ReasonField)
}

// here refuses what is for another host.
func (l *legacy) here(p *legacyPort, v *v1.Vector, address string) bool {
	if string(v.Where) == l.conf.Where {
		return true
	}
	l.refuse(p, address, "where", fmt.Sprintf("it is for host %.60q, and this one is called %q (emitter %.60q)", v.Where, l.conf.Where, v.Emitter))
	return false
}

// message is a vector as a hop of a step has it: whole for one that speaks v1, else its payload.
func (l *legacy) message(to *step, v *v1.Vector, raw []byte) message {
	m := message{from: outside, hops: max(v.Hops(), 1)}
	if to.sat.Speaks == topology.SpeaksV1 {
		m.codec, m.body = codecVector, l.o.t.bodies.copy(raw)
	} else {
		m.codec, m.body = uint16(codecOf(v)), l.o.t.bodies.copy(v.Payload)
	}
	return m
}

// take admits an arrival, or does with it what [bus.v1] says when its queue is full.
func (l *legacy) take(p *legacyPort, a arrival) {
	t := l.o.t
	switch full := a.to.blocked(); {
	case len(p.pending) > 0 || t.frozen || full && l.conf.Full == topology.V1Block:
		l.wait(p, a)
	case full && l.conf.Full == topology.V1Drop:
		t.decline(l.o.now, a.to, a.m, false, shutOut(a.to))
	case full:
		t.decline(l.o.now, a.to, a.m, true, shutOut(a.to))
	default:
		l.admit(a)
	}
}

// shutOut is why an arrival is not let in.
func shutOut(to *step) string {
	why := "queue full"
	switch {
	case to.shut:
		why = "its queue is drained, and lets nothing in"
	case to.stuck:
		why = "the disk takes nothing more for its queue"
	}
	return why + ", and it came from a satellite of DSAT 0.6, which cannot be held up alone"
}

// wait keeps an arrival and reads nothing more from its socket.
func (l *legacy) wait(p *legacyPort, a arrival) {
	p.pending = append(p.pending, a)
	p.kept += len(a.m.body.data)
	l.carrier.pause(p.peer.v1, true)
}

func (l *legacy) admit(a arrival) {
	t := l.o.t
	if a.to.index == outside { // it was removed while this waited
		task := t.begin(l.o.now, none)
		t.strand(l.o.now, a.to, task, a.m)
		t.close(task)
		t.bodies.drop(a.m.body)
		return
	}
	if f := a.parent; f != nil {
		if pos := f.of.sess.hand.find(f.n); f.of.sess.hand.holds(f.n) {
			t.scroll.forgetBody()
			t.admit(l.o.now, a.to, t.hops.at(f.of.sess.hand.at(pos).slot).tslot, a.m)
			t.bodies.drop(a.m.body)
			return
		}
	}
	t.inject(l.o.now, a.to, a.m, none)
}

// letIn admits what has waited for room, in order of each socket.
func (l *legacy) letIn() {
	for _, p := range l.ports {
		k := 0
		for k < len(p.pending) && !l.o.t.frozen && !p.pending[k].to.blocked() {
			p.kept -= len(p.pending[k].m.body.data)
			l.admit(p.pending[k])
			k++
		}
		l.admitted(p, k)
	}
}

// takeIn admits all that waits: nobody could repeat it.
func (l *legacy) takeIn() {
	for _, p := range l.ports {
		for _, a := range p.pending {
			l.admit(a)
		}
		p.kept = 0
		n := len(p.pending)
		clear(p.pending)
		p.pending = p.pending[n:]
	}
}

func (l *legacy) admitted(p *legacyPort, k int) {
	if k == 0 {
		return
	}
	clear(p.pending[:k])
	if p.pending = p.pending[k:]; len(p.pending) == 0 {
		p.pending = nil
		l.carrier.pause(p.peer.v1, false)
	}
}

// waiting reports whether anything waits for room.
func (l *legacy) waiting() bool {
	for _, p := range l.ports {
		if len(p.pending) > 0 {
			return true
		}
	}
	return false
}

// output takes what a satellite that speaks v1 sends to one that does not, at whose end we stand. It is an output of what its sender
// has in hand, and counts with its HAPPY_END; of a sender that has nothing in hand it is a new task.
func (l *legacy) output(p *legacyPort, v *v1.Vector, raw []byte, address string) {
	if !l.here(p, v, address) {
		return
	}
	if _, err := v1.Read(string(v.Serialization)); err != nil {
		l.refuse(p, address, reasonOf(err), err.Error())
		return
	}
	to := l.o.byName[p.end]
	if to == nil {
		l.refuse(p, address, "type", fmt.Sprintf("no step is called %q", p.end))
		return
	}
	from := l.steps[string(v.Step)]
	if from == nil && len(p.others) == 1 {
		from = l.steps[p.others[0]]
	}
	a := arrival{to: to, m: l.message(to, v, raw)}
	if from == nil {
		l.take(p, a)
		return
	}
	a.m.from = int16(from.step.index)
	if f := from.owing(from.life(v), l.key(v), to.name); f != nil {
		f.outs = append(f.outs, a)
		from.complete(f)
		return
	}
	from.late++
	l.take(p, a)
}

// decline ends a message at the door of a full queue: in quarantine, or dropped. It is admitted, as all that ends.
func (t *tracker) decline(now int64, to *step, m message, keep bool, reason string) {
	task := t.begin(now, none)
	i, h := t.hops.take(to.index)
	tk := t.tasks.at(task)
	tk.open++
	h.id, h.task, h.tslot, h.admitted = t.nextID(), tk.id, task, now
	h.codec, h.hops, h.from, h.body = m.codec, m.hops, m.from, m.body
	to.count.admitted++
	to.count.bytesIn += uint64(len(m.body.data))
	t.hops.setState(i, waiting)
	if keep { // the reference to the body is the hop's now
		t.setAside(now, i, reason)
	} else {
		t.finish(now, i, dropped, reason)
	}
	t.close(task)
}
