package bus

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// ApplyOptions says what a new topology cannot: what became of steps whose names it does not have.
type ApplyOptions struct {
	Moved   map[string]string // old name -> new name: what waits for the old one is the new one's
	Discard map[string]bool   // steps that are removed with all they hold: it ends as cancelled
}

// Apply goes over to another topology: all of it, in one turn of the loop, or nothing. Steps and links come, go and change
// their limits. Hops that are admitted stay where they are; what is emitted or put out from now on takes the new links.
// Sessions of steps that stay go on, and are told of new links and limits. Sessions of steps that go are drained; what such a
// source has still to say takes its old links as far as they exist. Sessions of a step that moved go on under the name they
// began with.
//
// A step that holds messages, or whose workers do, is removed only when Discard names it; its workers are told to let go of
// what they have in hand. What was set aside in quarantine stays there under its name.
//
// Errors are *Error, and then nothing has changed: KindInvalid when the options do not fit the topologies, KindConflict when a
// step that goes still holds messages, KindUnavailable while the bus is frozen, KindTimeout when ctx ended first.
func (b *Bus) Apply(ctx context.Context, next *topology.Topology, opt ApplyOptions) error {
	const (
		began  = 1
		gaveUp = 2
	)
	if err := b.lateDisk(ctx, next); err != nil {
		return err
	}
	if err := b.shelf.prepare(next); err != nil {
		return &Error{KindInvalid, err.Error()}
	}
	var at atomic.Int32
	c := make(chan error, 1)
	b.mail.post(func(o *orchester) {
		if at.CompareAndSwap(0, began) {
			c <- o.apply(next, opt)
		}
	})
	ended := ctx.Done()
	for {
		select {
		case err := <-c:
			if err == nil {
				b.renameRestraints(context.WithoutCancel(ctx))
			}
			return err
		case <-b.done:
			return errClosed
		case <-ended:
			if at.CompareAndSwap(0, gaveUp) {
				return &Error{KindTimeout, "cannot change the bus: its loop did not answer: " + context.Cause(ctx).Error()}
			}
			ended = nil // it is at it, and a turn is short
		}
	}
}

// Waiting says what a step holds: messages that wait, those held for their retry, those in the hands of its workers, and those
// in quarantine under its name. All are 0 for what is no step, and when the bus is closed.
func (b *Bus) Waiting(name string) (waiting, held, inHand, quarantined int) {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	_, _ = ask(ctx, b, func(o *orchester) (struct{}, error) {
		quarantined = o.t.aside.count(name)
		if s := o.byName[name]; s != nil {
			waiting, held, inHand = s.queued()+s.entering, s.holds(), s.inHand()
		}
		return struct{}{}, nil
	})
	return waiting, held, inHand, quarantined
}

// inHand is how many messages the workers of s hold.
func (s *step) inHand() int {
	n := 0
	for _, w := range s.workers {
		n += w.hand.live
	}
	return n
}

// apply is Apply in the loop.
func (o *orchester) apply(next *topology.Topology, opt ApplyOptions) error {
	p, err := o.t.plan(o.bus.topology.Load(), next, opt)
	if err == nil {
		err = o.legacy.fits(next)
	}
	if err != nil {
		return err
	}
	before := make(map[*step]wire.RoutesBody, len(o.t.steps))
	for _, s := range o.t.steps {
		before[s] = s.routing()
	}
	spoken := o.spoken()
	for _, s := range p.gone {
		if n := s.queued() + s.entering + s.holds() + s.inHand(); n > 0 {
			o.tellEvent(s.name, topology.Ref{}, 0, fmt.Sprintf("removed from the topology; %d messages it held are cancelled", n))
		}
	}
	if o.t.scroll != nil {
		o.seal()
	}
	o.t.reshape(o.now, p, func(s *step) bool { return spoken[s] })
	now := o.bus.topology.Load()
	o.bus.topology.Store(next)
	clear(o.byName)
	for _, s := range o.t.steps {
		o.byName[s.name] = s
	}
	if !sameRoutes(now, next) {
		o.version++
	}
	for _, i := range o.instances {
		o.follow(i, before[i.step])
	}
	if o.legacy != nil {
		o.legacy.follow(next)
	}
	o.rejoin = true
	o.joinStreams()
	o.turnAway()
	return nil
}

// spoken is the steps with sessions, whose ports have to keep their meaning; those count that are dead and have still words on
// their way.
func (o *orchester) spoken() map[*step]bool {
	all := make(map[*step]bool)
	for _, i := range o.instances {
		all[i.step] = all[i.step] || i.sess != nil
	}
	for _, l := range o.leaving {
		all[l.inst.step] = true
	}
	for _, s := range o.gated {
		all[s.step] = true
	}
	return all
}

// follow takes an instance along into the new topology. before is what its session knew.
func (o *orchester) follow(i *instance, before wire.RoutesBody) {
	if i.step.index == outside {
		if !i.draining {
			i.draining = true
			if i.sess != nil {
				o.startDrain(i.sess)
			}
		}
		return
	}
	s := i.sess
	if s == nil {
		return
	}
	s.messages = min(s.wants, s.step.cfg.inHand)
	now := s.step.routing()
	same := slices.Equal(now.Routes, before.Routes) && slices.Equal(now.From, before.From) && slices.Equal(now.Calls, before.Calls) &&
		now.InHand == before.InHand && now.DeadlineMS == before.DeadlineMS
	if same || s.filter || s.bye || s.peer.refused {
		return
	}
	o.sendRoutes(s)
}

// turnAway answers those who wait to send to steps that are gone.
func (o *orchester) turnAway() {
	o.sends = slices.DeleteFunc(o.sends, func(s *sending) bool {
		if s.to.index != outside {
			return false
		}
		o.t.bodies.drop(s.m.body)
		o.answer(s, Sent{}, &Error{KindNotFound, fmt.Sprintf("cannot send to %s: it was removed from the topology", s.to.name)})
		return true
	})
}

// cancel is the tracker's word that a dispatch is not wanted any more.
func (o *orchester) cancel(w *worker, n uint64) {
	if s := w.sess; s != nil && s.elder != nil {
		s.elder.forget(n)
	} else if s != nil && !s.bye && !s.peer.refused {
		o.unstage(s, n)
		o.post(s.peer, &wire.Header{Kind: wire.Cancel, N: n}, nil)
	}
}

// note is the tracker's word about a step, for people.
func (o *orchester) note(s *step, text string) { o.tellEvent(s.name, topology.Ref{}, 0, text) }

// plan is what a new topology makes of the steps.
type plan struct {
	steps []*step               // in the new order; those that stay are the present ones
	sats  []*topology.Satellite // of steps
	gone  []*step
}

// plan finds what becomes of each step, or all reasons why it cannot be done.
func (t *tracker) plan(now, next *topology.Topology, opt ApplyOptions) (*plan, error) {
	if t.frozen {
		return nil, errFrozen("change the bus")
	}
	if wrong := misfits(now, next, opt); len(wrong) > 0 {
		return nil, &Error{KindInvalid, "cannot change the bus: " + strings.Join(wrong, "; ")}
	}
	if err := misruled(next); err != nil {
		return nil, err
	}
	byName, was := map[string]*step{}, map[string]string{}
	for _, s := range t.steps {
		byName[s.name] = s
	}
	for from, to := range opt.Moved {
		was[to] = from
	}
	p := &plan{}
	stays := map[*step]bool{}
	var rekeyed []string
	for _, sat := range next.Satellites {
		if !speaks(sat) {
			continue
		}
		name := sat.Name
		if from, moved := was[name]; moved {
			name = from
		}
		s := byName[name]
		if s == nil {
			s = newStep(sat)
		}
		if s.spill != nil && s.spill.messages > 0 && keyed(next, sat) && (s.keys == nil || s.sat.Work.Key != sat.Work.Key) {
			rekeyed = append(rekeyed, fmt.Sprintf("%s has %d messages on disk", s.name, s.spill.messages))
		}
		stays[s] = true
		p.steps, p.sats = append(p.steps, s), append(p.sats, sat)
	}
	if len(p.steps) > math.MaxInt16 {
		return nil, &Error{KindInvalid, fmt.Sprintf("cannot change the bus: %d steps, and it takes %d", len(p.steps), math.MaxInt16)}
	}
	if len(rekeyed) > 0 {
		return nil, &Error{KindConflict, "cannot give keys to messages that are on disk: " + strings.Join(rekeyed, "; ") + "; let them be worked off, or start dsatd anew"}
	}
	var kept []string
	for _, s := range t.steps {
		if stays[s] {
			continue
		}
		p.gone = append(p.gone, s)
		if n := s.queued() + s.entering + s.holds(); (n > 0 || s.inHand() > 0) && !opt.Discard[s.name] {
			kept = append(kept, fmt.Sprintf("%s holds messages (%d wait, %d are in hand)", s.name, n, s.inHand()))
		}
	}
	if len(kept) > 0 {
		return nil, &Error{KindConflict, "cannot remove steps with messages: " + strings.Join(kept, "; ") +
			"; let them be worked off, say where they moved, or discard them"}
	}
	return p, nil
}

// misfits says where the options name what the topologies do not have.
func misfits(now, next *topology.Topology, opt ApplyOptions) []string {
	var wrong []string
	to := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(opt.Moved)) {
		name := opt.Moved[from]
		switch {
		case now.Satellite(from) == nil:
			wrong = append(wrong, fmt.Sprintf("%s is to move to %s, and there is no %s", from, name, from))
		case next.Satellite(name) == nil:
			wrong = append(wrong, fmt.Sprintf("%s is to move to %s, which the new topology does not have", from, name))
		case next.Satellite(from) != nil && opt.Moved[from] != from && !slices.Contains(slices.Collect(maps.Values(opt.Moved)), from):
			wrong = append(wrong, fmt.Sprintf("%s is to move to %s, and the new topology has a %s still", from, name, from))
		case now.Satellite(name) != nil && !movesAway(name, opt):
			wrong = append(wrong, fmt.Sprintf("%s is to move to %s, which is there already", from, name))
		case to[name] != "":
			wrong = append(wrong, fmt.Sprintf("%s and %s are both to move to %s", to[name], from, name))
		}
		to[name] = from
	}
	for _, name := range slices.Sorted(maps.Keys(opt.Discard)) {
		if !opt.Discard[name] {
			continue
		}
		_, moved := opt.Moved[name]
		switch sat := next.Satellite(name); {
		case now.Satellite(name) == nil:
			wrong = append(wrong, fmt.Sprintf("%s is to be discarded, and there is none", name))
		case moved:
			wrong = append(wrong, fmt.Sprintf("%s is to be discarded, and to move", name))
		case sat != nil && speaks(sat):
			wrong = append(wrong, fmt.Sprintf("%s is to be discarded, and the new topology has it", name))
		}
	}
	return wrong
}

// movesAway reports whether a name gets free: its step takes another.
func movesAway(name string, opt ApplyOptions) bool {
	_, moves := opt.Moved[name]
	return moves
}
