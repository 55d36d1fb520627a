package bus

import (
	"fmt"
	"slices"
	"time"
)

// removedReason is why hops of a removed step are cancelled.
const removedReason = "its step was removed from the topology"

// reshape makes the steps those of the plan. spoken reports whether a step has sessions.
func (t *tracker) reshape(now int64, p *plan, spoken func(*step) bool) {
	for _, s := range p.gone {
		t.abandon(now, s)
	}
	became := make([]int, len(t.steps)) // old index -> new one
	for i := range became {
		became[i] = outside
	}
	fresh := len(t.steps)
	for i, s := range p.steps {
		if s.index < fresh && t.steps[s.index] == s {
			became[s.index] = i
		}
	}
	t.rename(p)
	for i, s := range p.steps {
		deadline, heartbeat := s.cfg.deadline, s.cfg.heartbeat
		s.name, s.sat, s.cfg = p.sats[i].Name, p.sats[i], limitsOf(p.sats[i])
		s.disk = s.disk || s.cfg.durable
		s.spills()
		s.protect()
		s.hooked = hooked(s.sat)
		if s.cfg.deadline != deadline || s.cfg.heartbeat != heartbeat {
			t.restartDeadlines(now, s)
		}
		s.dirty = true
	}
	t.renumber(became)
	t.steps = p.steps
	relink(t.steps, spoken)
	if t.scroll != nil {
		t.reclass(now)
	}
	for _, s := range t.steps {
		s.source = s.source && len(s.from) == 0
	}
	for _, s := range p.gone {
		s.detach()
	}
	t.ringed()
	t.unblocked = true
}

// abandon cancels all that a step holds, and keeps its counters for the law of conservation.
func (t *tracker) abandon(now int64, s *step) {
	if s.keys != nil {
		s.keys.dissolve(&t.hops, s)
		s.keys = nil
	}
	var early []int32
	t.eachEntering(func(i int32) {
		if t.hops.step(i) == s.index {
			early = append(early, i)
		}
	})
	for _, i := range early {
		t.finish(now, i, cancelled, removedReason)
	}
	for _, q := range s.lines() {
		for q.count > 0 {
			t.finish(now, q.popFront(&t.hops), cancelled, removedReason)
		}
	}
	for _, r := range s.allHeld() {
		t.finish(now, r.slot, cancelled, removedReason)
	}
	s.held, s.later, s.holding = nil, nil, 0
	for _, w := range s.workers {
		for pos := w.hand.first; pos < w.hand.end; pos++ {
			d := *w.hand.at(pos)
			if d.slot == none {
				continue
			}
			w.hand.take(pos)
			t.sink.cancel(w, d.n)
			t.finish(now, d.slot, cancelled, removedReason)
		}
		w.open, w.alone, w.cost, w.due = false, false, 0, 0
	}
	t.past.add(s.ledger(&[diverted + 1]uint64{}))
	if t.scroll != nil {
		t.scroll.blind(s)
	}
}

// detach makes a step one that is not in the topology any more. Its sessions may have last words, which take its old links.
func (s *step) detach() {
	s.index, s.gates, s.from, s.kept = outside, nil, nil, nil
	s.to = slices.DeleteFunc(slices.Clone(s.to), func(to *step) bool { return to.index == outside })
	s.reflow()
	s.router.without()
	s.looks = s.router != nil
}

// strand sets aside what was addressed to a step that is gone: it may come back, or somebody may want to know.
func (t *tracker) strand(now int64, to *step, task int32, m message) {
	const reason = "it was addressed to a step that was removed from the topology"
	tk := t.tasks.at(task)
	id := t.nextID()
	t.past.Admitted++
	t.past.Quarantined++
	tk.count++
	tk.failed++
	tk.reason = to.name + ": " + reason
	q := &setAside{id: id, task: tk.id, step: to.name, at: t.started.Add(time.Duration(now)), reason: reason, codec: m.codec,
		payload: append([]byte(nil), m.body.data...), evidence: []string{fmt.Sprintf("it had passed %d steps", m.hops)}}
	if to.cfg.durable && t.scroll != nil {
		t.scroll.setDown(q)
	}
	t.aside.add(q)
	t.ended.add(&hop{id: id, task: tk.id, admitted: now}, to.name, quarantined, now, reason)
}

// rename takes what is remembered of steps that move along with them.
func (t *tracker) rename(p *plan) {
	names := map[string]string{}
	for i, s := range p.steps {
		if s.name != p.sats[i].Name {
			names[s.name] = p.sats[i].Name
		}
	}
	if len(names) == 0 {
		return
	}
	if t.scroll != nil {
		t.scroll.moves(names)
	}
	for _, m := range t.aside.list {
		if to, moved := names[m.step]; moved {
			m.step = to
		}
	}
	for i := range t.ended.hops {
		if to, moved := names[t.ended.hops[i].step]; moved {
			t.ended.hops[i].step = to
		}
	}
}

// renumber gives all hops the new numbers of their steps.
func (t *tracker) renumber(became []int) {
	same := true
	for i, to := range became {
		same = same && i == to
	}
	if same {
		return
	}
	for _, pg := range t.hops.pages {
		for k, st := range pg.states {
			if st == free {
				continue
			}
			pg.steps[k] = uint16(became[pg.steps[k]])
			if h := &pg.hops[k]; h.from != outside {
				h.from = int16(became[h.from])
			}
		}
	}
	for _, pg := range t.tasks.pages {
		for k := range pg {
			if pg[k].open > 0 && pg[k].origin != outside {
				pg[k].origin = int16(became[pg[k].origin])
			}
		}
	}
}

// restartDeadlines lets what runs have the whole of a new deadline: nobody is late by a rule that was not there when he began.
func (t *tracker) restartDeadlines(now int64, s *step) {
	for _, w := range s.workers {
		for pos := w.hand.first; pos < w.hand.end; pos++ {
			if d := w.hand.at(pos); d.slot != none && d.since != 0 {
				d.since, d.beat = now, now
			}
		}
		t.touch(w)
	}
}
