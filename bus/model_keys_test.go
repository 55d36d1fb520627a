package bus

import (
	"slices"

	"github.com/dsat/dsat/bus/rules"
)

// hashKey makes one of three keys of every message.
const hashKey = `hash(payload, 3)`

// keyOf is the key of the messages of a task, where there are keys.
func (m *model) keyOf(task uint64) uint64 { return rules.Sum(string(m.payload(task))) % 3 }

func (m *model) keyed(s int) bool { return m.t.steps[s].sat.Work.Key != "" }

// onWay counts the hops of a key at a step that are on their way: admitted and let in, and not standing in line.
func (m *model) onWay(s int, key, except uint64) int {
	n := 0
	for id, x := range m.hops {
		if id != except && x.step == s && x.pin == nil && !x.entering && !x.delayed && !x.unplaced && m.keyOf(x.task) == key && !slices.Contains(m.lined[s], id) {
			n++
		}
	}
	return n
}

// enqueue lets a hop wait: in its queue, or in line while another of its key is on its way.
func (m *model) enqueue(s int, id uint64) {
	x := m.hops[id]
	x.unplaced = false
	if m.keyed(s) && m.onWay(s, m.keyOf(x.task), id) > 0 {
		m.lined[s] = append(slices.Clone(m.lined[s]), id)
		return
	}
	m.line(s, id)
}

// next lets the next of a key go when x, which has ended, was the last on its way.
func (m *model) next(x *mhop) {
	if !m.keyed(x.step) || x.pin != nil || m.onWay(x.step, m.keyOf(x.task), 0) > 0 {
		return
	}
	for k, id := range m.lined[x.step] {
		if m.keyOf(m.hops[id].task) == m.keyOf(x.task) {
			m.lined[x.step] = slices.Delete(slices.Clone(m.lined[x.step]), k, k+1)
			m.line(x.step, id)
			return
		}
	}
}

// alone: of a key one is on its way, but for those that were when the key was set. Messages of sessions have no key, though the tracker
// once counted those for one that were in hand when keys came.
func (m *model) alone(id uint64) {
	x := m.hops[id]
	if m.keyed(x.step) && !m.rekeyed && x.pin == nil && m.onWay(x.step, m.keyOf(x.task), id) > 0 {
		m.failf("hop %d of key %d was delivered, and another of it is on its way", id, m.keyOf(x.task))
	}
}

// linesAgree compares who stands in line, key by key, and what is counted of it.
func (m *model) linesAgree(s *step) {
	want := m.lined[s.index]
	if s.keys == nil {
		if m.keyed(s.index) || len(want) > 0 {
			m.failf("%s has no keyring, and %v stand in line", s.name, want)
		}
		return
	}
	got, bytes := 0, int64(0)
	for _, l := range s.keys.lines {
		var is, shall []uint64
		for _, i := range l.queue.all(&m.t.hops) {
			is = append(is, m.t.hops.at(i).id)
			bytes += size(m.t.hops.at(i))
		}
		for _, id := range want {
			if len(is) > 0 && m.keyOf(m.hops[id].task) == m.keyOf(m.t.hops.at(l.queue.head).task) {
				shall = append(shall, id)
			}
		}
		if !slices.Equal(is, shall) {
			m.failf("%s: %v stand in line for a key, want %v", s.name, is, shall)
		}
		got += len(is)
	}
	if got != len(want) || s.keys.count != got || s.keys.bytes != bytes {
		m.failf("%s: %d stand in line (%d, %d bytes of %d), want %v", s.name, got, s.keys.count, s.keys.bytes, bytes, want)
	}
	if i := s.keys.oldest(&m.t.hops); len(want) > 0 && (i == none || m.t.hops.at(i).id != want[0]) || len(want) == 0 && i != none {
		m.failf("%s: the oldest in line is in slot %d, want %v", s.name, i, want)
	}
	open := 0
	for _, x := range m.hops {
		if x.step == s.index && x.pin == nil && !x.entering && !x.delayed {
			open++
		}
	}
	if len(s.keys.of) != open || len(s.keys.lines) > 3 {
		m.failf("%s: %d hops have one of %d keys, and %d are open", s.name, len(s.keys.of), len(s.keys.lines), open)
	}
}

// openAt is the hops of a step that are meant, in the order in which they are taken out of it. Those in line come first: nobody waits for
// them.
func (m *model) openAt(s *step, meant func(uint64) bool) []uint64 {
	ids := slices.Concat(m.lined[s.index], m.queues[s.index], m.suspect[s.index], m.boundOf(s.index))
	for _, r := range s.allHeld() {
		ids = append(ids, m.t.hops.at(r.slot).id)
	}
	for _, id := range m.entering {
		if m.hops[id].step == s.index {
			ids = append(ids, id)
		}
	}
	for _, w := range s.workers {
		ids = append(ids, m.workers[w].ids...)
	}
	return slices.DeleteFunc(ids, func(id uint64) bool { return !meant(id) })
}

// endAll ends all hops that are meant, wherever they are, and notes which workers must be told. All are taken out before the first one
// ends: a specification that ended them one by one let the next of a key into the queue it was purging, and blamed the tracker.
func (m *model) endAll(meant func(uint64) bool, how func(uint64) state) int {
	m.cancelling = map[uint64]bool{}
	var all []uint64
	for _, s := range m.t.steps {
		all = append(all, m.openAt(s, meant)...)
	}
	for _, w := range m.order {
		mw := m.workers[w]
		for i := len(mw.ids) - 1; i >= 0; i-- {
			if meant(mw.ids[i]) {
				m.cancelling[mw.n[i]] = true
				m.drop(mw, i)
			}
		}
	}
	for s := range m.queues {
		for _, list := range []*[]uint64{&m.lined[s], &m.queues[s], &m.suspect[s]} {
			*list = slices.DeleteFunc(slices.Clone(*list), meant)
		}
	}
	m.entering = slices.DeleteFunc(m.entering, meant)
	for _, id := range all {
		m.end(id, how(id))
	}
	return len(all)
}

// rekey does what a change of work.key does to those that are there; had says which steps had keys.
func (m *model) rekey(had map[string]bool, origin map[string]string) {
	for i, s := range m.t.steps {
		switch was, is := had[origin[s.name]], m.keyed(i); {
		case was && !is:
			line := m.lined[i]
			m.lined[i] = nil
			slices.SortFunc(line, m.byArrival)
			for _, id := range line {
				m.line(i, id)
			}
		case is && !was:
			m.rekeyed = true
			m.comeAnew(i)
		}
	}
}

// comeAnew lets all that wait at a step come again, in the order of their admission, behind what is on its way otherwise.
func (m *model) comeAnew(i int) {
	all := slices.Concat(m.queues[i], m.lined[i])
	slices.SortFunc(all, m.byArrival)
	m.queues[i], m.lined[i] = nil, nil
	for _, id := range all {
		m.hops[id].unplaced = true
	}
	for _, id := range all {
		m.enqueue(i, id)
	}
}
