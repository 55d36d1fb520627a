package bus

// mtask is a task as the specification sees it: it ends when none of its hops is open, once, and then who wants to hear of it is told
// how many hops it had and how many were not done.
type mtask struct {
	open, count, failed uint32
	origin              string // the step with hooks where it began; "": none has
	told                bool
	toldCount           uint32
	toldFailed          uint32
}

// begins makes a task whose first hops follow.
func (m *model) begins(task uint64, s *step) {
	t := &mtask{}
	if hooked(s.sat) {
		t.origin = s.name
	}
	m.tasks[task] = t
}

func (m *model) join1(task uint64) { m.tasks[task].open++ }

func (m *model) endOf(id uint64, how state) {
	t := m.tasks[m.hops[id].task]
	t.open--
	t.count++
	if how != done && how != diverted {
		t.failed++
	}
}

// hooked is the tracker's sink.
func (m *model) hooked(s *step, t *task) {
	x := m.tasks[t.id]
	switch {
	case x == nil || x.told:
		m.failf("task %d has ended twice", t.id)
		return
	case x.origin != s.name:
		m.failf("%s is told the end of task %d, which began at %q", s.name, t.id, x.origin)
	}
	x.told, x.toldCount, x.toldFailed = true, t.count, t.failed
}

// tasksAgree: all tasks without an open hop are over, and those that have to be were told.
func (m *model) tasksAgree() {
	open := 0
	for id, x := range m.tasks {
		if x.open > 0 {
			open++
			if x.told {
				m.failf("task %d was told to have ended, with %d hops open", id, x.open)
			}
			continue
		}
		if x.told != (x.origin != "") {
			m.failf("task %d has ended: told %v, it began at %q", id, x.told, x.origin)
		}
		if x.told && (x.count != x.toldCount || x.failed != x.toldFailed) {
			m.failf("task %d had %d hops, %d failed, and %d and %d were told", id, x.count, x.failed, x.toldCount, x.toldFailed)
		}
		delete(m.tasks, id)
		delete(m.lapsed, id)
	}
	if m.t.tasks.live != open {
		m.failf("%d tasks, want %d", m.t.tasks.live, open)
	}
}

// rebegin renames the origins of tasks with their steps; those of steps that are gone have none.
func (m *model) rebegin(origin map[string]string) {
	became := map[string]string{}
	for name, old := range origin {
		became[old] = name
	}
	for _, x := range m.tasks {
		if x.open > 0 {
			x.origin = became[x.origin]
		}
	}
	for _, d := range m.disk {
		d.origin = became[d.origin]
	}
}

func (m *model) topic(*worker, uint64, string) {}

// let reports whether nobody wants a hop any more, how is how it ends then, or by its age.
func (m *model) let(id uint64) bool { return m.lapsed[m.hops[id].task] }

func (m *model) how(id uint64) state {
	if m.outlived(id) || !m.let(id) {
		return expired
	}
	return cancelled
}

// lapse lets a task lapse; what of it is open ends at once, or when somebody looks.
func (m *model) lapse() {
	for p := range m.t.tasks.pages {
		for k := range m.t.tasks.pages[p] {
			if x := &m.t.tasks.pages[p][k]; x.open > 0 && m.rnd.IntN(3) == 0 {
				m.lapsed[x.id] = true
				m.t.lapse(int32(p)<<pageBits+int32(k), cancelled, "nobody wants it")
			}
		}
	}
	if m.rnd.IntN(2) == 0 {
		return
	}
	m.sweep()
}

// lapsedAs is how a hop ends whose task has lapsed.
func (m *model) lapsedAs(id uint64) state {
	if m.let(id) {
		return cancelled
	}
	return expired
}

func (m *model) sweep() {
	m.endAll(func(id uint64) bool { return m.let(id) || m.over(id) }, m.lapsedAs)
	m.t.lapsed.due = 0
	if next := m.t.sweep(m.now); next != 0 || len(m.cancelling) > 0 {
		m.failf("the sweep is not over, or did not tell the workers of %v", m.cancelling)
	}
	clear(m.lapsed)
}
