package bus

import "slices"

// cancelTask cancels the task of some hop, or one that is not there.
func (m *model) cancelTask() {
	var tasks []uint64
	for _, x := range m.hops {
		tasks = append(tasks, x.task)
	}
	slices.Sort(tasks)
	task := uint64(1)
	if len(tasks) > 0 {
		task = tasks[m.rnd.IntN(len(tasks))]
	}
	m.cancelling = map[uint64]bool{}
	want := 0
	for _, w := range m.order {
		mw := m.workers[w]
		for i := 0; i < len(mw.ids); {
			if m.hops[mw.ids[i]].task != task {
				i++
				continue
			}
			m.cancelling[mw.n[i]] = true
			m.drop(mw, i)
		}
	}
	for id, x := range m.hops {
		if x.task != task {
			continue
		}
		want++
		other := func(i uint64) bool { return i == id }
		m.queues[x.step] = slices.DeleteFunc(m.queues[x.step], other)
		m.suspect[x.step] = slices.DeleteFunc(m.suspect[x.step], other)
		m.entering = slices.DeleteFunc(m.entering, other)
		m.end(id, cancelled)
	}
	if got := m.t.cancelTask(m.now, task); got != want || len(m.cancelling) > 0 {
		m.failf("%d hops of task %d were cancelled, want %d; not told: %v", got, task, want, m.cancelling)
	}
}
