package bus

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/topology"
)

// The part of the model that is about disks: every hop of a durable queue is noted with the record that begins it and the one that
// ends it. After a kill with any part of the log on disk, the next tracker must have just those whose beginning is there and whose
// end is not.

// scribed is a durable hop as the log must tell it.
type scribed struct {
	hop                    *mhop
	begin, end             uint64 // records; end 0: it is open
	gives, fails, crashes  []uint64
	attempts, failed, died int // before begin
	body                   string
	origin                 string // of its task
}

// opens begins with a log.
func (m *model) opens(l *fakeLog) {
	m.log = l
	m.t.writeTo(l)
	m.t.scroll.dead.segment, m.t.scroll.dead.grain = 600, 200
}

// record is the sequence of the record in the making.
func (m *model) record() uint64 { return m.log.seq + 1 }

func (m *model) payload(task uint64) []byte { return fmt.Appendf(nil, "of task %d", task) }

func (m *model) entries(s int) int {
	n := 0
	for _, id := range m.entering {
		if m.hops[id].step == s {
			n++
		}
	}
	return n
}

// enter begins a durable hop: it is in no queue until its record is on disk.
func (m *model) enter(id uint64) {
	x := m.hops[id]
	x.entering = true
	m.entering = append(m.entering, id)
	m.disk[id] = &scribed{hop: x, begin: m.record(), origin: m.tasks[x.task].origin, body: string(m.payload(x.task))}
}

func (m *model) noteEmit() {
	m.t.scroll.source(topology.Ref{Name: "source"}, 1, uint64(len(m.emitted)+1))
	m.emitted = append(m.emitted, m.record())
}

func (m *model) noteGive(h *hop) {
	if d := m.disk[h.id]; d != nil && d.end == 0 {
		d.gives = append(d.gives, m.record())
	}
	if string(h.body.data) != string(m.payload(h.task)) {
		m.failf("hop %d was delivered with the payload %q", h.id, h.body.data)
	}
}

func (m *model) noteFail(id uint64) {
	if d := m.disk[id]; d != nil && m.hops[id].fails <= m.t.steps[m.hops[id].step].cfg.retries {
		d.fails = append(d.fails, m.record())
	}
}

func (m *model) noteCrash(id uint64) {
	if d := m.disk[id]; d != nil {
		d.crashes = append(d.crashes, m.record())
	}
}

func (m *model) noteEnd(id uint64, how state) {
	d := m.disk[id]
	known := d != nil && d.end == 0
	if known {
		if d.end = m.record(); d.begin == d.end && how != quarantined {
			delete(m.disk, id) // nobody ever knew
		}
	}
	if how == quarantined && (known || m.t.steps[m.hops[id].step].cfg.durable) {
		m.aside[id] = m.record()
	}
}

// turn ends a turn of the loop.
func (m *model) turn() {
	m.t.collect(m.now)
	m.t.scroll.seal(m.t)
}

// sync brings a part of what was written to disk, or all.
func (m *model) sync() {
	m.syncTo(m.log.committed + uint64(m.rnd.IntN(int(m.log.seq-m.log.committed)+1)))
}

func (m *model) syncAll() {
	m.turn()
	m.syncTo(m.log.seq)
}

func (m *model) syncTo(seq uint64) {
	m.log.committed = seq
	m.t.commit(seq, nil)
	m.entering = slices.DeleteFunc(m.entering, func(id uint64) bool {
		x := m.hops[id]
		if m.disk[id].begin > seq {
			return false
		}
		if x.entering = false; x.delayed {
			x.held = true
		} else {
			m.enqueue(x.step, id)
		}
		return true
	})
}

// reclass writes what became durable and forgets what is not any more.
func (m *model) reclass() {
	m.reclassIDs()
	for _, id := range slices.Sorted(maps.Keys(m.hops)) {
		x := m.hops[id]
		d := m.disk[id]
		switch durable := m.t.steps[x.step].cfg.durable; {
		case durable && x.pin == nil && (d == nil || d.end > 0):
			m.disk[id] = &scribed{hop: x, begin: m.record(), origin: m.tasks[x.task].origin, body: string(m.payload(x.task)), attempts: x.attempts, failed: x.fails, died: x.crashes}
		case !durable && d != nil && d.end == 0 && !m.spills(x.step) && (!x.out || !m.away(id)):
			d.end, x.out = m.record(), false
		}
	}
}

// crash kills the daemon: what is committed is on disk, and maybe some of what comes after.
func (m *model) crash() {
	seq := m.log.committed + uint64(m.rnd.IntN(int(m.log.seq-m.log.committed)+1))
	log := newFakeLog(func() int64 { return m.now })
	r := m.recallFor(&log)
	for _, rec := range m.log.records {
		if rec.Seq > seq {
			break
		}
		if err := r.record(rec); err != nil {
			m.failf("%v", err)
			return
		}
		log.records = append(log.records, rec)
		log.seq, log.at = rec.Seq, rec.At+journal.Position(len(rec.Body)+recordOverhead)
	}
	log.seq = seq
	log.committed = seq
	m.epoch++
	m.ids, m.lastN, m.broken = 0, 0, m.broken+1
	m.t = newTracker(m.epoch, buildSteps(m.topo), m, time.Unix(0, 0))
	accepted := uint64(0)
	for _, rec := range m.emitted {
		if rec <= seq {
			accepted++
		}
	}
	if got := r.sources[topology.Ref{Name: "source"}].Accepted; got != accepted {
		m.failf("after record %d the source is at %d, want %d", seq, got, accepted)
	}
	m.emitted = slices.DeleteFunc(m.emitted, func(rec uint64) bool { return rec > seq })
	m.opens(log)
	for ref, s := range r.sources {
		m.t.scroll.sources[ref] = sourceMark{inc: topology.Incarnation(s.Inc), accepted: s.Accepted}
	}
	tasks := map[uint64]int32{}
	m.t.recollect(m.now, r, tasks)
	m.t.closeTasks(tasks)
	m.survives(seq)
	m.takesOver()
	m.turn()
	m.tick() // the time of some tasks was over meanwhile
}

// survives is what the model makes of a kill: tracked messages are gone, durable ones are where the log says.
func (m *model) survives(seq uint64) {
	n := len(m.t.steps)
	m.queues, m.suspect, m.lined, m.counts = make([][]uint64, n), make([][]uint64, n), make([][]uint64, n), make([]Ledger, n)
	m.past, m.entering = Ledger{}, nil
	m.tasks = map[uint64]*mtask{}
	clear(m.lapsed)
	m.survivesIDs(seq)
	m.hops, m.workers, m.order = map[uint64]*mhop{}, map[*worker]*mworker{}, nil
	by := map[string]int{}
	for i, s := range m.t.steps {
		by[s.name] = i
	}
	upTo := func(list []uint64) int {
		k, _ := slices.BinarySearch(list, seq+1)
		return k
	}
	disk := map[uint64]*scribed{}
	for _, id := range slices.Sorted(maps.Keys(m.disk)) {
		d := m.disk[id]
		if d.begin > seq || d.end > 0 && d.end <= seq {
			continue
		}
		x := *d.hop
		x.party = 0
		x.attempts, x.fails, x.crashes = d.attempts+upTo(d.gives), d.failed+upTo(d.fails), d.died+upTo(d.crashes)
		if x.entering, x.held = false, false; x.delayed && x.due <= m.now {
			x.delayed, x.admitted = false, x.due
		}
		if slot := m.slot(id); slot == none {
			m.failf("hop %d was begun by record %d, and is not there after %d", id, d.begin, seq)
		} else {
			m.recovered(id, &x, slot, d)
		}
		m.hops[id] = &x
		disk[id] = &scribed{hop: &x, begin: d.begin, attempts: x.attempts, failed: x.fails, died: x.crashes, body: d.body, origin: d.origin}
		if !m.t.steps[x.step].cfg.durable && !m.spills(x.step) {
			disk[id].end = m.record()
		}
		m.counts[x.step].Admitted++
		m.rejoin(&x, d.origin)
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.hops), m.byArrival) {
		switch x := m.hops[id]; {
		case x.held:
		case x.crashes > 0:
			m.suspect[x.step] = append(m.suspect[x.step], id)
		default:
			x.unplaced = true
			m.queues[x.step] = append(m.queues[x.step], id)
		}
	}
	for i := range m.queues {
		m.comeAnew(i)
	}
	m.disk = disk
	maps.DeleteFunc(m.ends, func(task uint64, _ int64) bool { return m.tasks[task] == nil })
	m.survivesAside(seq, by)
}

// rejoin opens the task of a hop that is there after a kill. What the log does not tell is how many of its hops have ended.
func (m *model) rejoin(x *mhop, origin string) {
	task := m.tasks[x.task]
	if task == nil {
		task = &mtask{}
		m.tasks[x.task] = task
		for _, pg := range m.t.tasks.pages {
			for k := range pg {
				if pg[k].open > 0 && pg[k].id == x.task {
					task.count, task.failed = pg[k].count, pg[k].failed
				}
			}
		}
		for _, s := range m.t.steps {
			if s.name == origin && s.hooked {
				task.origin = origin
			}
		}
	}
	task.open++
}

func (m *model) survivesAside(seq uint64, by map[string]int) {
	maps.DeleteFunc(m.aside, func(_, rec uint64) bool { return rec > seq })
	for _, x := range m.t.aside.list {
		if _, known := m.aside[x.id]; !known {
			m.failf("%d is in quarantine, and never came there", x.id)
		}
		if string(x.payload) != string(m.payload(x.task)) {
			m.failf("%d is in quarantine with the payload %q", x.id, x.payload)
		}
		if i, there := by[x.step]; there {
			m.counts[i].Admitted++
			m.counts[i].Quarantined++
		} else {
			m.past.Admitted++
			m.past.Quarantined++
		}
	}
	if len(m.t.aside.list) != len(m.aside) {
		m.failf("%d in quarantine, want %d", len(m.t.aside.list), len(m.aside))
	}
}

// recovered compares a hop with what it must be.
func (m *model) recovered(id uint64, x *mhop, slot int32, d *scribed) {
	h := m.t.hops.at(slot)
	if m.t.hops.pages[slot>>pageBits].states[slot&(pageSize-1)] == held {
		if x.delayed && x.due != h.due {
			m.failf("hop %d is delayed until %d, want %d", id, h.due, x.due)
		}
		x.held, x.due = true, h.due
		if x.due <= m.now {
			m.failf("hop %d is held until %d, and it is %d", id, x.due, m.now)
		}
	}
	if int(h.attempts) != x.attempts || int(h.fails) != x.fails || int(h.crashes) != x.crashes || h.task != x.task || h.admitted != x.admitted ||
		int(h.hops) != x.hops || int(h.from) != x.from || h.level != x.level || m.t.hops.step(slot) != x.step || h.body.away == 0 && string(h.body.data) != d.body {
		m.failf("hop %d is %+v with %q, want %+v", id, h, h.body.data, x)
	}
}

// survivesIDs is what becomes of the windows of ids: those of durable queues are what the journal has, which may have some more that were
// given up for room; all others are forgotten.
func (m *model) survivesIDs(seq uint64) {
	guards := make([]*mguard, len(m.t.steps))
	for i, s := range m.t.steps {
		guards[i] = newGuardModel(s.sat)
		old := m.guards[i]
		if !s.cfg.durable || s.seen == nil {
			continue
		}
		old.repeats(m.now, msgID{})
		for _, x := range old.seen {
			if _, known := s.seen.at[x.id]; !known && x.rec <= seq && s.seen.count() < s.seen.most {
				m.failf("%s has forgotten the id %d of record %d after a kill at %d", s.name, x.id.lo, x.rec, seq)
			}
		}
		for pos := s.seen.head; pos < s.seen.end; pos++ {
			x := s.seen.entry(pos)
			k := slices.IndexFunc(old.ever, func(e mseen) bool { return e.id == x.id && e.at == x.at && e.rec <= seq })
			if k < 0 {
				m.failf("%s knows the id %d of %d after a kill at %d, and was not told of it", s.name, x.id.lo, x.at, seq)
				continue
			}
			guards[i].seen = append(guards[i].seen, old.ever[k])
		}
		guards[i].ever = slices.Clone(guards[i].seen)
		for k := range guards[i].seen { // they are on disk, wherever
			guards[i].seen[k].rec, guards[i].ever[k].rec = 0, 0
		}
	}
	m.guards = guards
}

// reclassIDs writes the ids of queues that became durable, and forgets those of queues that are not any more.
func (m *model) reclassIDs() {
	for i, s := range m.t.steps {
		g := m.guards[i]
		for k := range g.seen {
			if g.seen[k].rec > m.record() || !s.cfg.durable {
				g.seen[k].rec = math.MaxUint64
			}
			if s.cfg.durable && g.seen[k].rec == math.MaxUint64 {
				g.seen[k].rec = m.record()
			}
		}
		if !s.cfg.durable {
			g.ever = nil
		}
		for _, x := range g.seen {
			if x.rec < math.MaxUint64 && !slices.Contains(g.ever, x) {
				g.ever = append(g.ever, x)
			}
		}
	}
}
