package bus

import (
	"errors"
	"fmt"

	"github.com/dsat/dsat/bus/rules"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// router chooses the links of a message. A step all of whose links are plain has none, and pays nothing.
type router struct {
	mode     topology.RouteMode
	by       *rules.Rule // of RouteHash
	byFlow   flow        // errors of by
	links    []*link     // in the order of the file
	unrouted uint64
}

// link is what a link of the topology does here.
type link struct {
	spec   topology.Link
	to     *step
	move   *step // nil: nothing moves
	mirror []*step
	when   *rules.Rule
	key    *rules.Rule // in place of the receiver's
	n      uint64      // messages that came to one_in
	seed   uint64      // of its name, for RouteHash

	flow, moveFlow *flow
	mirrorFlows    []*flow
}

// conditions makes the router of a step, with what the rules before it remember as far as they are the same.
func (s *step) conditions(by map[string]*step) {
	was := s.router
	s.router = nil
	plain := s.sat.Route.Mode != topology.RouteFirst && s.sat.Route.Mode != topology.RouteHash
	for _, l := range s.sat.To {
		plain = plain && l.Plain()
	}
	if plain {
		return
	}
	r := &router{mode: s.sat.Route.Mode}
	if was == nil {
		was = &router{}
	}
	r.unrouted, r.byFlow = was.unrouted, was.byFlow
	r.by = ruleFor(s.sat.Route.By, rules.Key, was.by)
	for _, spec := range s.sat.To {
		to := by[spec.To]
		if to == nil {
			continue
		}
		l := &link{spec: spec, to: to, move: by[spec.Move.To], seed: rules.Sum(spec.To), flow: s.flowTo(spec.To), moveFlow: s.flowTo(spec.Move.To)}
		for _, name := range spec.Mirror {
			if x := by[name]; x != nil {
				l.mirror, l.mirrorFlows = append(l.mirror, x), append(l.mirrorFlows, s.flowTo(name))
			}
		}
		old := was.link(to)
		if old == nil {
			old = &link{}
		}
		if old.spec.OneIn == spec.OneIn && old.spec.When == spec.When {
			l.n = old.n
		}
		l.when, l.key = ruleFor(spec.When, rules.Bool, old.when), ruleFor(spec.Key, rules.Key, old.key)
		r.links = append(r.links, l)
	}
	s.router = r
}

// ruleFor compiles an expression, or keeps the rule that says the same. New and Apply have checked it.
func ruleFor(text string, want rules.Want, was *rules.Rule) *rules.Rule {
	if text == "" {
		return nil
	}
	if was != nil && was.Text() == text {
		return was
	}
	r, err := rules.Compile(text, want)
	if err != nil {
		return nil
	}
	return r
}

// misruled says which expressions of a topology cannot be compiled; nil: none.
func misruled(t *topology.Topology) error {
	var first error
	check := func(what, text string, want rules.Want) {
		if text == "" || first != nil {
			return
		}
		if err := rules.Check(text, want); err != nil {
			first = &Error{KindInvalid, fmt.Sprintf("cannot use %s = %q: %v", what, text, err)}
		}
	}
	for _, s := range t.Satellites {
		check(s.Name+".work.key", s.Work.Key, rules.Key)
		check(s.Name+".route.by", s.Route.By, rules.Key)
		for _, l := range s.To {
			check(s.Name+".to."+l.To+".when", l.When, rules.Bool)
			check(s.Name+".to."+l.To+".key", l.Key, rules.Key)
		}
	}
	return first
}

// CheckExpression says what is wrong with an expression of a topology, a condition or a key: at which byte, what, and what to do
// about it. wrong is "" when it is right.
func CheckExpression(text string, key bool) (off int, wrong, hint string) {
	want := rules.Bool
	if key {
		want = rules.Key
	}
	_, err := rules.Compile(text, want)
	if err == nil {
		return 0, "", ""
	}
	var f *rules.Fault
	if !errors.As(err, &f) {
		return 0, err.Error(), ""
	}
	return f.Off, f.Text, f.Hint
}

func (r *router) link(to *step) *link {
	for _, l := range r.links {
		if l.to == to {
			return l
		}
	}
	return nil
}

// over is the link by which messages come to a step; copies come by none.
func (r *router) over(to *step) *link {
	if r == nil {
		return nil
	}
	for _, l := range r.links {
		if l.to == to || l.move == to {
			return l
		}
	}
	return nil
}

// without forgets links to steps that are gone.
func (r *router) without() {
	if r == nil {
		return
	}
	keep := r.links[:0]
	for _, l := range r.links {
		if l.to.index != outside {
			if l.move != nil && l.move.index == outside {
				l.move = nil
			}
			l.mirror, l.mirrorFlows = nil, nil
			keep = append(keep, l)
		}
	}
	r.links = keep
}

// fan admits m to the links of port, and reports whether there was one that took it.
func (t *tracker) fan(now int64, s *step, port uint16, task int32, m message) bool {
	if !s.looks {
		t.plain(now, s, port, task, m)
		return true
	}
	taken := true
	t.show(now, s, task, &m)
	if s.router == nil {
		t.plain(now, s, port, task, m)
	} else {
		taken = t.route(now, s, port, task, m)
	}
	t.seen.forget()
	return taken
}

// plain admits m to all links, or to the one of port.
func (t *tracker) plain(now int64, s *step, port uint16, task int32, m message) {
	if port != wire.AllLinks {
		s.portFlows[port].taken++
		t.admit(now, s.routes[port], task, m)
		return
	}
	for i, to := range s.to {
		s.flows[i].taken++
		t.admit(now, to, task, m)
	}
}

// route admits m to those links that are meant.
func (t *tracker) route(now int64, s *step, port uint16, task int32, m message) bool {
	r := s.router
	if port != wire.AllLinks { // its satellite has decided
		if l := r.link(s.routes[port]); l != nil {
			t.take(now, l, task, m)
		} else {
			s.portFlows[port].taken++
			t.admit(now, s.routes[port], task, m)
		}
		return true
	}
	if t.choose(now, r, false, task, m) || t.choose(now, r, true, task, m) {
		return true
	}
	r.unrouted++
	return false
}

// choose admits m to the links that match, either the fallbacks or the others, as the mode says, and reports whether there was one.
func (t *tracker) choose(now int64, r *router, fallbacks bool, task int32, m message) bool {
	var best *link
	var most, by uint64
	if r.mode == topology.RouteHash {
		by = t.hashBy(r)
	}
	for _, l := range r.links {
		if l.spec.Fallback != fallbacks || !t.matches(l) {
			continue
		}
		switch r.mode {
		case topology.RouteFirst:
			t.take(now, l, task, m)
			return true
		case topology.RouteHash: // rendezvous (Thaler, Ravishankar 1998): the one whose name and the value hash highest
			if w := rules.Mix(by ^ l.seed); best == nil || w > most {
				best, most = l, w
			}
		default:
			t.take(now, l, task, m)
			best = l
		}
	}
	if best != nil && r.mode == topology.RouteHash {
		t.take(now, best, task, m)
	}
	return best != nil
}

// hashBy is the value that decides, and the task where there is none.
func (t *tracker) hashBy(r *router) uint64 {
	if r.by == nil {
		return t.seen.task
	}
	h, has, err := r.by.Hash(&t.seen.m)
	switch {
	case err != nil:
		r.byFlow.fail(err)
		return t.seen.task
	case !has:
		return t.seen.task
	}
	return h
}

// matches reports whether the link is meant.
func (t *tracker) matches(l *link) bool {
	t.seen.m.Step = l.spec.To
	if l.when != nil {
		ok, err := l.when.Match(&t.seen.m)
		if err != nil {
			l.flow.fail(err)
			ok = l.spec.Errors
		}
		if !ok {
			l.flow.skipped++
			return false
		}
	}
	if l.spec.Sample > 0 && !rules.Share(t.seen.task, l.spec.Sample) {
		l.flow.skipped++
		return false
	}
	if l.spec.OneIn > 1 {
		if l.n++; (l.n-1)%uint64(l.spec.OneIn) != 0 {
			l.flow.skipped++
			return false
		}
	}
	return true
}

// movedSeed tells the share that moves from the one that is sampled: they are drawn from the same tasks.
const movedSeed = 0x6d6f7665

// take admits m over a link: to its end or to the one its share has moved to, and the copies.
func (t *tracker) take(now int64, l *link, task int32, m message) {
	to, f := l.to, l.flow
	if l.move != nil && rules.Share(t.shareBy(l)^movedSeed, l.spec.Move.Percent) {
		to, f = l.move, l.moveFlow
	}
	f.taken++
	t.admit(now, to, task, m)
	for i, x := range l.mirror {
		l.mirrorFlows[i].taken++
		t.admit(now, x, task, m)
	}
}

// shareBy is what decides where a message goes that may move: its key, so that all of one key stay together, or its task.
func (t *tracker) shareBy(l *link) uint64 {
	rule, f := l.key, l.flow
	if rule == nil && l.to.keys != nil {
		rule, f = l.to.keys.rule, &l.to.keys.flow
	}
	if rule != nil {
		t.seen.m.Step = l.to.name
		if key, has := t.seen.tell(rule, f); has {
			return key
		}
	}
	return t.seen.task
}
