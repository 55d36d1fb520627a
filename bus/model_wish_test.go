package bus

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// mseen is a message with an id that was let in.
type mseen struct {
	id  msgID
	at  int64
	rec uint64 // the record that tells of it; of none: the highest number
}

// wish makes up what a message asks for, as a new task.
func (m *model) wish(s *step, task uint64) (level uint8, w *wish) {
	level = uint8(m.rnd.IntN(4))
	w = &wish{}
	if m.rnd.IntN(3) == 0 {
		w.id = msgID{1, uint64(1 + m.rnd.IntN(5))}
	}
	if m.rnd.IntN(4) == 0 {
		w.delay = int64(m.rnd.IntN(8)) * int64(time.Second)
	}
	if m.rnd.IntN(4) == 0 {
		w.ttl = int64(1+m.rnd.IntN(12)) * int64(time.Second)
	}
	if limit := s.cfg.task; limit > 0 || w.ttl > 0 {
		if w.ttl > 0 && (limit == 0 || w.ttl < limit) {
			limit = w.ttl
		}
		m.ends[task] = m.now + limit
	}
	if *w == (wish{}) {
		w = nil
	}
	return level, w
}

func (g *mguard) repeats(now int64, id msgID) bool {
	d := g.sat.Queue.Dedup
	g.seen = slices.DeleteFunc(g.seen, func(s mseen) bool { return s.at+int64(d.Window) <= now })
	return id != (msgID{}) && slices.ContainsFunc(g.seen, func(s mseen) bool { return s.id == id })
}

// place puts a new hop where it has to wait.
func (m *model) place(s int, id uint64, w *wish) {
	x, g := m.hops[id], m.guards[s]
	if w != nil && w.id != (msgID{}) && g.sat.Queue.Dedup.Window > 0 {
		x := mseen{w.id, m.now, math.MaxUint64}
		if m.t.steps[s].cfg.durable {
			x.rec = m.record()
			g.ever = append(g.ever, x)
		}
		g.seen = append(g.seen, x)
		g.seen = g.seen[max(0, len(g.seen)-g.sat.Queue.Dedup.Max):]
	}
	if w != nil && w.delay > 0 {
		x.delayed, x.due = true, m.now+w.delay
	}
	m.spill(s, id)
	switch {
	case m.t.steps[s].cfg.durable:
		m.enter(id)
	case x.delayed:
		x.held = true
	default:
		m.enqueue(s, id)
	}
}

// line puts a hop after all of its level and above, back before all of its level and below.
func (m *model) line(s int, id uint64) {
	q := m.queues[s]
	at := len(q)
	for at > 0 && m.level(q[at-1]) < m.level(id) {
		at--
	}
	m.queues[s] = slices.Insert(slices.Clone(q), at, id)
}

func (m *model) back(s int, id uint64) {
	q := m.queues[s]
	at := 0
	for at < len(q) && m.level(q[at]) > m.level(id) {
		at++
	}
	m.queues[s] = slices.Insert(slices.Clone(q), at, id)
}

// level is that of the line a hop waits in.
func (m *model) level(id uint64) int {
	x := m.hops[id]
	if m.keyed(x.step) {
		return 0 // keys have an order of their own
	}
	return min(int(x.level), m.guards[x.step].sat.Queue.Priority)
}

func (m *model) dropLowest(s int) {
	q := m.queues[s]
	if len(q) == 0 {
		m.lined[s] = slices.Clone(m.lined[s])
		m.endFirst(&m.lined[s], dropped)
		return
	}
	lowest := m.level(q[len(q)-1])
	at := slices.IndexFunc(q, func(id uint64) bool { return m.level(id) == lowest })
	m.queues[s] = slices.Delete(slices.Clone(q), at, at+1)
	m.end(q[at], dropped)
}

func (m *model) wakeDelayed(s int) {
	var due []uint64
	for id, x := range m.hops {
		if x.held && x.delayed && x.step == s && x.due <= m.now {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(m.hops[a].due, m.hops[b].due), cmp.Compare(a, b))
	})
	for _, id := range due {
		x := m.hops[id]
		x.held, x.delayed, x.admitted = false, false, x.due
		m.enqueue(s, id)
	}
}

// expireLines ends what has waited too long at the head of each line.
func (m *model) expireLines(q *[]uint64, one bool) {
	level := -1
	for k := 0; k < len(*q); {
		id := (*q)[k]
		l := m.level(id)
		if (one || l == level) && k > 0 || !m.outlived(id) {
			level, k = l, k+1
			continue
		}
		*q = slices.Delete(slices.Clone(*q), k, k+1)
		m.end(id, expired)
	}
}

// over reports whether the time of a hop's task is over.
func (m *model) over(id uint64) bool {
	end, has := m.ends[m.hops[id].task]
	return has && end <= m.now
}

// nothingIsOver: what the clock has to do is done, or the loop will be woken for it.
func (m *model) nothingIsOver() {
	next := m.t.next()
	by := func(at int64, what string, args ...any) {
		if next == 0 || next > max(at, m.now) {
			m.failf(what+fmt.Sprintf(" at %d, and the loop sleeps until %d", at, next), args...)
		}
	}
	for id, x := range m.hops {
		if end, has := m.ends[x.task]; has {
			by(end+int64(m.t.tasks.live+1)*sweepShare, "the time of hop %d is over", id)
		}
		switch g := m.guards[x.step]; {
		case x.held && x.delayed:
			by(x.due, "hop %d is delayed and due", id)
		case x.held && g.beside.every == 0:
			by(x.due, "hop %d is held and due", id)
		case x.held:
			by(max(x.due, m.now)+g.beside.every, "hop %d is held, due, and in its budget", id)
		}
	}
	for i, g := range m.guards {
		s := m.t.steps[i]
		if len(m.queues[i])+len(m.suspect[i]) == 0 || g.paused || m.gated(i) || len(s.workers) == 0 {
			continue
		}
		switch {
		case g.broken() && g.state == open:
			by(g.until, "the breaker of %s may be half open", s.name)
		case !g.rate.may(m.now) && (!g.broken() || g.state == closed) && g.sat.Work.Concurrency == 0:
			by(m.now+g.rate.every, "%s may be given more", s.name)
		}
	}
}
