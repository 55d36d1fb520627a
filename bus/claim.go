package bus

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// A process that outlives its dsatd may be at a message of a durable queue. When it says HELLO to the next one it names the dispatches
// that it has begun and not answered, by epoch and number. Those the journal has too, open still, are put into its hand as they are: no
// attempt begins, nothing is sent, and WELCOME says under which number their answers are expected. Until all who may have something have
// spoken, nothing is given to anybody from such a queue, so that no message is run twice for a daemon that was away.

// claimTime is how long a queue waits for those who may come back. They connect again within half a second.
const claimTime = int64(2 * time.Second)

// awaitClaims holds back what survivors may have in hand.
func (o *orchester) awaitClaims() {
	for _, e := range o.t.before {
		o.t.steps[o.t.hops.step(e.slot)].awaits = true
		o.claims = o.now + claimTime
	}
}

// claim gives a session what it says it has in hand, and returns what WELCOME has to say: "EPOCH.N NUMBER" for each.
func (o *orchester) claim(s *session, holds []string) (held []string) {
	claimed := map[int32]string{}
	for _, text := range holds {
		key, ok := parseDispatch(text)
		e, known := o.t.before[key]
		if !ok || !known || o.t.hops.at(e.slot).id != e.id || o.t.hops.step(e.slot) != s.step.index || o.t.hops.state(e.slot) == dispatched {
			continue // it has ended, or another one has it by now: the answer will not be asked for
		}
		delete(o.t.before, key)
		claimed[e.slot] = text
	}
	if len(claimed) == 0 {
		return nil
	}
	of := func(i int32) bool { _, is := claimed[i]; return is }
	for _, i := range o.t.pick(s.step, of) { // in the order of the queue, which is that in which they were given
		held = append(held, fmt.Sprintf("%s %d", claimed[i], o.t.regain(o.now, &s.worker, i)))
	}
	if len(held) > 0 {
		o.tellEvent(s.step.name, s.inst.ref, s.inst.inc, fmt.Sprintf("goes on with %d messages it had from an earlier dsatd", len(held)))
	}
	return held
}

// parseDispatch reads "EPOCH.N".
func parseDispatch(text string) (dispatchID, bool) {
	epoch, n, _ := strings.Cut(text, ".")
	e, err1 := strconv.ParseUint(epoch, 10, 32)
	k, err2 := strconv.ParseUint(n, 10, 64)
	return dispatchID{uint32(e), k}, err1 == nil && err2 == nil
}

// regain puts a hop into the hand of a worker that has it already, and returns its number there. On disk it stays what it was: should this
// daemon be killed too, the worker will say the same again.
func (t *tracker) regain(now int64, w *worker, i int32) uint64 {
	t.n++
	h := t.hops.at(i)
	t.hops.setState(i, dispatched)
	d := dispatch{n: t.n, slot: i, sent: now, cost: wire.RecordSize(h.body.size())}
	if w.hand.live < w.concurrency {
		d.since, d.beat = now, now
		if at := w.step.lateAt(&d); at > 0 {
			w.due = sooner(w.due, at)
		}
	}
	w.hand.push(d)
	w.cost += d.cost
	w.alone = h.crashes > 0
	w.last = t.n
	t.touch(w)
	return t.n
}

// heardAll lets the queues go on of which everybody has spoken who was admitted, or all of them when the time for that is over. It returns
// when that will be; 0: nobody is waited for.
func (o *orchester) heardAll() int64 {
	if o.claims == 0 {
		return 0
	}
	if o.now >= o.claims {
		o.claims = 0
	}
	left := false
	for _, s := range o.t.steps {
		if !s.awaits {
			continue
		}
		if o.claims > 0 && !o.heardOf(s) {
			left = true
			continue
		}
		s.awaits, s.dirty = false, true
	}
	if !left {
		o.claims = 0
	}
	return o.claims
}

// heardOf reports whether all instances of a step have a session, and there is one.
func (o *orchester) heardOf(s *step) bool {
	some := false
	for _, i := range o.instances {
		if i.step == s && !i.gone {
			if i.sess == nil {
				return false
			}
			some = true
		}
	}
	return some
}
