package bus

import (
	"math"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// One event is one of these.

func (m *model) emit() {
	s := m.t.steps[m.rnd.IntN(2)*3%len(m.t.steps)] // gen, or a cycle's entry
	if len(s.to) == 0 {
		return
	}
	port := uint16(wire.AllLinks)
	if m.rnd.IntN(3) == 0 {
		port = uint16(slices.Index(s.routes, s.to[m.rnd.IntN(len(s.to))]))
	}
	for _, to := range s.to {
		if (port == wire.AllLinks || s.routes[port] == to) && m.blocks(to.index) {
			if s.room(port) {
				m.failf("%s has room at %d, and %s is full", s.name, port, to.name)
			}
			return
		}
	}
	if !s.room(port) {
		m.failf("%s has no room at %d", s.name, port)
		return
	}
	task := m.id()
	m.begins(task, s)
	level, w := m.wish(s, task)
	for _, to := range s.to {
		if port == wire.AllLinks && m.meant(s, to, task) || port != wire.AllLinks && s.routes[port] == to {
			m.admit(s, to, task, 1, level, w)
		}
	}
	m.t.emit(m.now, s, port, message{hops: 1, from: int16(s.index), level: level, wish: w, body: m.t.bodies.copy(m.payload(task))})
	m.noteEmit()
}

func (m *model) join() {
	if len(m.order) >= 6 {
		return
	}
	s := m.t.steps[m.rnd.IntN(len(m.t.steps))]
	w := &worker{step: s, name: s.name, concurrency: 1 + m.rnd.IntN(4), messages: 1 + m.rnd.IntN(4), bytes: 1 << 20, open: true}
	s.enlist(w)
	m.guards[s.index].died = false
	m.workers[w] = &mworker{}
	m.order = append(m.order, w)
}

func (m *model) worker() (*worker, *mworker) {
	if len(m.order) == 0 {
		return nil, nil
	}
	w := m.order[m.rnd.IntN(len(m.order))]
	return w, m.workers[w]
}

func (m *model) done() {
	w, mw := m.worker()
	if w == nil {
		return
	}
	n, to := m.lastN+1, uint64(0)
	if len(mw.n) > 0 && m.rnd.IntN(8) > 0 {
		n = mw.n[m.rnd.IntN(len(mw.n))]
	}
	if m.rnd.IntN(4) == 0 {
		to = n + uint64(m.rnd.IntN(5))
	}
	if k := slices.Index(mw.n, n); k >= 0 && to == 0 && len(w.step.to) > 0 {
		outputs := m.rnd.IntN(3)
		x := m.hops[mw.ids[k]]
		for range outputs {
			for _, t := range w.step.to {
				if m.meant(w.step, t, x.task) {
					m.admit(w.step, t, x.task, x.hops+1, x.level, nil)
				}
			}
			m.t.output(m.now, w, n, &wire.Output{Port: wire.AllLinks, Payload: m.payload(x.task)})
		}
	}
	want := false
	for i := 0; i < len(mw.n); {
		if mw.n[i] >= n && mw.n[i] <= max(n, to) {
			want = true
			m.good(w.step.index, mw.n[i])
			m.end(mw.ids[i], done)
			m.drop(mw, i)
			continue
		}
		i++
	}
	if got := m.t.done(m.now, w, n, to); got != want {
		m.failf("DONE %d to %d: %v, want %v", n, to, got, want)
	}
}

func (m *model) drop(mw *mworker, i int) {
	mw.n, mw.ids = slices.Delete(mw.n, i, i+1), slices.Delete(mw.ids, i, i+1)
}

func (m *model) fail() {
	w, mw := m.worker()
	if w == nil || len(mw.n) == 0 {
		return
	}
	i := m.rnd.IntN(len(mw.n))
	n, id := mw.n[i], mw.ids[i]
	again := m.rnd.IntN(3) > 0
	m.drop(mw, i)
	x := m.hops[id]
	x.fails++
	m.noteFail(id)
	slot := m.slot(id)
	m.bad(w.step.index, n)
	m.t.fail(m.now, w, n, again, "why")
	cfg := w.step.cfg
	switch {
	case again && x.fails <= cfg.retries:
		x.held, x.due = true, m.t.hops.at(slot).due
		if d := cfg.backoff << (x.fails - 1); x.due < m.now+d/2 || x.due > m.now+d {
			m.failf("a back-off of %d, want up to %d", x.due-m.now, d)
		}
	case cfg.then == topology.ThenDrop:
		m.end(id, dropped)
	default:
		m.end(id, quarantined)
	}
}

func (m *model) slot(id uint64) int32 {
	for p, pg := range m.t.hops.pages {
		for k := range pg.hops {
			if pg.states[k] != free && pg.hops[k].id == id {
				return int32(p)<<pageBits + int32(k)
			}
		}
	}
	return none
}

func (m *model) die() {
	w, mw := m.worker()
	if w == nil {
		return
	}
	counts := m.rnd.IntN(4) > 0
	streak := w.step.streak
	m.unpinned(w)
	m.t.bury(m.now, w, counts, "killed", []string{"last"})
	s := w.step.index
	m.guards[s].died, m.guards[s].diedAt = counts, max(m.now, 1)
	if counts {
		m.bad(s, math.MaxUint64)
	}
	var calm, sus []uint64
	ran := min(w.concurrency, len(mw.ids))
	for i, id := range mw.ids {
		if i < w.concurrency && counts {
			m.hops[id].crashes++
			m.hops[id].party = (ran + 1) / 2
			m.noteCrash(id)
		}
	}
	for i := len(mw.ids) - 1; i >= 0; i-- {
		id := mw.ids[i]
		switch x := m.hops[id]; {
		case counts && ran == 1 && i == 0 && x.crashes >= w.step.cfg.crashes && streak < brokenAfter:
			streak++
			m.end(id, quarantined)
		case x.crashes > 0:
			sus = append([]uint64{id}, sus...)
		default:
			calm = append([]uint64{id}, calm...)
		}
	}
	for i := len(calm) - 1; i >= 0; i-- {
		m.back(s, calm[i])
	}
	m.suspect[s] = append(sus, m.suspect[s]...)
	delete(m.workers, w)
	m.order = slices.DeleteFunc(m.order, func(x *worker) bool { return x == w })
}

func (m *model) pass() {
	m.now += int64(m.rnd.IntN(4)) * int64(time.Second)
	m.tick()
}

// tick is what the clock does.
func (m *model) tick() {
	m.t.tick(m.now)
	m.missWorkers()
	defer m.sweep()
	for s := range m.queues {
		var back []uint64
		for _, id := range m.dueRetries(s) {
			m.hops[id].held = false
			back = append(back, id)
		}
		slices.Sort(back)
		for i := len(back) - 1; i >= 0; i-- {
			if m.hops[back[i]].pin != nil {
				m.bound = append([]uint64{back[i]}, m.bound...)
			} else if m.hops[back[i]].crashes > 0 {
				m.suspect[s] = append([]uint64{back[i]}, m.suspect[s]...)
			} else {
				m.back(s, back[i])
			}
		}
		m.wakeDelayed(s)
		for _, q := range []*[]uint64{&m.queues[s], &m.suspect[s]} {
			m.expireLines(q, q == &m.suspect[s])
		}
		for len(m.lined[s]) > 0 && m.outlived(m.lined[s][0]) {
			m.endFirst(&m.lined[s], expired)
		}
		m.expireBound(s)
	}
}

// dispatch lets the tracker deal out its work, as the loop does at the end of a turn.
func (m *model) dispatch() {
	for again := true; again; {
		for _, s := range m.t.steps {
			s.dirty = s.dirty || m.t.unblocked
		}
		m.t.unblocked = false
		for _, s := range m.t.steps {
			if s.dirty {
				m.look(s)
				m.round++
				m.t.dispatch(m.now, s)
			}
		}
		again = m.t.unblocked
	}
	m.purgeAll()
}

// purgeAll ends what dispatch found expired.
func (m *model) purgeAll() {
	for s := range m.queues {
		m.purge(&m.queues[s])
		m.purge(&m.suspect[s])
	}
	m.purgeBound()
}

// purge ends expired heads that the tracker has ended.
func (m *model) purge(q *[]uint64) {
	for len(*q) > 0 && (m.outlived((*q)[0]) || m.let((*q)[0])) && m.slot((*q)[0]) == none {
		m.endFirst(q, m.how((*q)[0]))
	}
}
