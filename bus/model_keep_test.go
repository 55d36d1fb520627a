package bus

import (
	stdcmp "cmp"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dsat/dsat/topology"
)

// upgrade hands everything over to another tracker, as an exec in place does: all that is in hand is answered, the state is
// exported, read and taken over. What can be asked of the two must be the same, and the game goes on with the new one.
func (m *model) upgrade() {
	if m.rnd.IntN(16) > 0 { // it costs as much as all other events of a run
		return
	}
	for len(m.order) > 0 {
		w := m.order[0]
		m.unpinned(w)
		m.t.unpin(m.now, w, "replaced")
		mw := m.workers[w]
		for i, n := range mw.n {
			m.good(w.step.index, n)
			m.end(mw.ids[i], done)
			m.t.done(m.now, w, n, 0)
		}
		mw.n, mw.ids = nil, nil
		w.step.remove(w)
		m.order = m.order[1:]
		delete(m.workers, w)
	}
	m.t.settle(m.now)
	m.sweep()
	m.syncAll()
	m.tick()
	m.t.frozen = true
	m.syncAll()
	k := m.t.keep(m.now)
	data, err := k.encode()
	if err != nil {
		m.failf("%v", err)
		return
	}
	back, err := decodeKept(data)
	if err != nil {
		m.failf("%v", err)
		return
	}
	t := newTracker(m.t.epoch, buildSteps(m.topo), m, time.Unix(0, 0))
	tasks := t.restore(m.now, back)
	t.writeTo(m.log)
	r := m.recallFor(&m.log)
	for _, rec := range m.log.records {
		if err := r.record(rec); err != nil {
			m.failf("%v", err)
		}
	}
	t.recollect(m.now, r, tasks)
	t.closeTasks(tasks)
	for ref, s := range r.sources {
		t.scroll.sources[ref] = sourceMark{inc: topology.Incarnation(s.Inc), accepted: s.Accepted}
	}
	was, is := m.t.queues(m.now), t.queues(m.now)
	for i, s := range t.steps {
		if s.cfg.durable { // the oldest at a head: they come back in another order
			was[i].OldestAge, is[i].OldestAge = 0, 0
		}
		if s.spill != nil || m.t.steps[i].spill != nil { // what was on disk comes back from there when its turn comes
			was[i].Spilled, is[i].Spilled, was[i].SpillBytes, is[i].SpillBytes = 0, 0, 0, 0
			was[i].Blocked, is[i].Blocked = false, false
			was[i].Blocks, is[i].Blocks = nil, nil
		}
		was[i].BlockedBy, is[i].BlockedBy = nil, nil
	}
	if diff := cmp.Diff(was, is); diff != "" {
		m.failf("queues: %s", diff)
	}
	if diff := cmp.Diff(m.t.keep(m.now), t.keep(m.now)); diff != "" {
		m.failf("what is kept of the new one: %s", diff)
	}
	for _, x := range m.hops {
		was, _ := m.t.findTask(m.now, x.task)
		is, _ := t.findTask(m.now, x.task)
		if diff := cmp.Diff(was, is, cmpopts.IgnoreUnexported(HopStatus{}), cmpopts.IgnoreFields(HopStatus{}, "Waits")); diff != "" {
			m.failf("task: %s", diff)
		}
	}
	m.upgradeGuards()
	for _, x := range m.hops {
		x.party = 0
	}
	t.ids, t.n = m.t.ids, m.t.n // of the same epoch here, so that the model can say what ids come next
	m.t = t
	m.takesOver()
	for i, s := range t.steps {
		if s.cfg.durable { // in order of admission, from disk
			slices.SortFunc(m.queues[i], func(a, b uint64) int { return stdcmp.Or(m.level(b)-m.level(a), m.byArrival(a, b)) })
			slices.SortFunc(m.suspect[i], m.byArrival)
			m.comeAnew(i)
		}
		slices.SortFunc(m.lined[i], m.byArrival)
	}
}

// byArrival is the order in which a journal gives hops back.
func (m *model) byArrival(a, b uint64) int {
	return stdcmp.Or(stdcmp.Compare(m.hops[a].admitted, m.hops[b].admitted), stdcmp.Compare(a, b))
}
