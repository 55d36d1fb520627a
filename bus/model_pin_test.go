package bus

import "slices"

// pinned admits a message of a session with some worker.
func (m *model) pinned() {
	w, _ := m.worker()
	if w == nil || w.step.index == outside || w.step.cfg.durable || m.full(w.step.index) {
		return
	}
	task := m.id()
	m.begins(task, w.step)
	id := m.id()
	m.hops[id] = &mhop{step: w.step.index, from: outside, admitted: m.now, task: task, pin: w}
	m.counts[w.step.index].Admitted++
	m.join1(task)
	m.bound = append(m.bound, id)
	m.t.inject(m.now, w.step, message{from: outside, pin: &pin{worker: w, name: "s"}, body: m.t.bodies.copy(m.payload(task))}, none)
}

// boundOf is the hops of a step that wait for a worker of theirs.
func (m *model) boundOf(s int) []uint64 {
	m.bound = slices.DeleteFunc(m.bound, func(id uint64) bool { return m.hops[id] == nil })
	var all []uint64
	for _, id := range m.bound {
		if m.hops[id].step == s {
			all = append(all, id)
		}
	}
	return all
}

// deliverBound takes a hop that was delivered to its worker out of those that wait.
func (m *model) deliverBound(w *worker, id uint64) {
	x := m.hops[id]
	if x.pin != w {
		m.failf("hop %d was delivered to another worker than its own", id)
	}
	for _, other := range m.boundOf(x.step) {
		if other == id {
			break
		}
		if m.hops[other].pin == w {
			m.failf("hop %d overtakes %d of its worker", id, other)
		}
	}
	m.bound = slices.DeleteFunc(m.bound, func(b uint64) bool { return b == id })
}

// unpinned ends what is pinned to a worker that is gone.
func (m *model) unpinned(w *worker) {
	m.cancelling = map[uint64]bool{}
	mw := m.workers[w]
	for i := 0; i < len(mw.ids); {
		if m.hops[mw.ids[i]].pin != w {
			i++
			continue
		}
		m.cancelling[mw.n[i]] = true
		m.end(mw.ids[i], cancelled)
		m.drop(mw, i)
	}
	for id, x := range m.hops {
		if x.pin == w {
			m.end(id, cancelled)
		}
	}
}

// purgeBound ends what dispatch found expired, or unwanted.
func (m *model) purgeBound() {
	for _, id := range m.bound {
		if m.hops[id] != nil && (m.outlived(id) || m.let(id)) && m.slot(id) == none {
			m.end(id, m.how(id))
		}
	}
}

// expireBound ends those at the head of the line of a step that are too old.
func (m *model) expireBound(s int) {
	for _, id := range m.boundOf(s) {
		if !m.outlived(id) {
			return
		}
		m.end(id, expired)
	}
}

// boundAgree compares the lines, and looks for a worker that could have what waits for it.
func (m *model) boundAgree(s *step) {
	m.same(s.name+" bound", []*fifo{&s.bound}, m.boundOf(s.index))
	if m.gated(s.index) || m.may(s) <= 0 {
		return
	}
	for _, id := range m.boundOf(s.index) {
		w := m.hops[id].pin
		alone := slices.ContainsFunc(m.workers[w].ids, func(id uint64) bool { return m.hops[id].crashes > 0 })
		if len(m.workers[w].n) < w.messages && !alone {
			m.failf("%s: %d waits for a worker of its own, which has %d of %d in hand", s.name, id, len(m.workers[w].n), w.messages)
		}
	}
}
