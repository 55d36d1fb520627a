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
	want := m.endAll(func(id uint64) bool { return m.hops[id].task == task }, func(uint64) state { return cancelled })
	if got := m.t.cancelTask(m.now, task); got != want || len(m.cancelling) > 0 {
		m.failf("%d hops of task %d were cancelled, want %d; not told: %v", got, task, want, m.cancelling)
	}
}
