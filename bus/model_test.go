package bus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// model is what the tracker promises, written as plainly as possible: maps and slices of numbers. Random streams of events
// are played to both; after each event they must agree on every hop, every queue and every term of the ledger.
type model struct {
	t          *tracker
	rnd        *rand.Rand
	now        int64
	ids        uint64
	lastN      uint64
	hops       map[uint64]*mhop
	queues     [][]uint64 // waiting, by step
	suspect    [][]uint64
	lined      [][]uint64 // standing in line for their keys, by step
	counts     []Ledger
	workers    map[*worker]*mworker
	order      []*worker
	fails      []string
	topo       *topology.Topology
	past       Ledger // of steps that were removed
	guards     []*mguard
	ends       map[uint64]int64 // when tasks must have ended
	renames    int
	round      int             // of dispatches
	cancelling map[uint64]bool // dispatches whose workers have to be told
	tasks      map[uint64]*mtask
	lapsed     map[uint64]bool // tasks nobody wants any more
	bound      []uint64        // hops that wait for a worker of their own
	rekeyed    bool            // a step got keys while it had messages

	// What must be on disk: see model_durable_test.go.
	epoch    uint32
	log      *fakeLog
	disk     map[uint64]*scribed
	aside    map[uint64]uint64 // messages in quarantine that are on disk: the record that says so
	entering []uint64          // in no queue until they are on disk
	emitted  []uint64          // the record of every EMIT of the one source that counts
	broken   int               // crashes
}

type mhop struct {
	pin                      *worker // the one it is for; nil: any
	step, from, hops         int
	fails, crashes, attempts int
	admitted, due            int64
	task                     uint64
	held                     bool
	entering                 bool
	delayed                  bool // not tried yet
	unplaced                 bool // it was just admitted
	out                      bool // its payload leaves memory, or has
	level                    uint8
	party                    int // how many suspects may be tried together with it
}

type mworker struct {
	n, ids []uint64
	round  int // of the dispatch in which it was given a party of suspects,
	joins  int // and how many may still join it in that one
}

func (m *model) failf(format string, args ...any) {
	m.fails = append(m.fails, fmt.Sprintf(format, args...))
}

// The model is the tracker's sink: every delivery has to be one that the rules allow.
func (m *model) deliver(w *worker, h *hop, n uint64) {
	m.purgeAll()
	s := w.step.index
	if s == outside {
		m.failf("hop %d was delivered to a step that is gone", h.id)
		return
	}
	x, mw := m.hops[h.id], m.workers[w]
	if x == nil || x.held || x.entering {
		m.failf("hop %d was delivered in no state to be", h.id)
		return
	}
	if n <= m.lastN {
		m.failf("dispatch %d after %d", n, m.lastN)
	}
	m.lastN = n
	m.restrained(w.step, n)
	if !w.open || len(mw.n) >= w.messages || m.gated(s) {
		m.failf("hop %d was delivered beyond credit or gate", h.id)
	}
	party := x.crashes > 0 && x.party > 1 && mw.round == m.round && mw.joins > 0
	for _, id := range mw.ids {
		if m.hops[id].crashes > 0 && !party {
			m.failf("hop %d joins the suspect %d", h.id, id)
		}
	}
	if x.pin != nil {
		m.deliverBound(w, h.id)
	} else if x.crashes > 0 {
		switch {
		case len(mw.n) == 0:
			mw.round, mw.joins = m.round, min(x.party, w.concurrency, w.messages)-1
		case party:
			mw.joins--
		default:
			m.failf("the suspect %d is not alone", h.id)
		}
		m.pop(&m.suspect[s], h.id)
	} else {
		m.pop(&m.queues[s], h.id)
	}
	m.alone(h.id)
	if int(h.from) != x.from || (h.from != outside && w.step.port(h.from) != wire.AllLinks && w.step.origins[w.step.port(h.from)] != m.t.steps[h.from]) {
		m.failf("hop %d comes from step %d by port %d, want step %d", h.id, h.from, w.step.port(h.from), x.from)
	}
	if x.attempts++; x.attempts > 1 {
		m.counts[s].Redelivered++
	} else {
		m.guards[s].firsts++
	}
	if m.lapsed[x.task] {
		m.failf("hop %d was delivered, and nobody wants it", h.id)
	}
	if ttl := w.step.cfg.ttl; ttl > 0 && m.now-x.admitted >= ttl {
		m.failf("hop %d was delivered after its ttl", h.id)
	}
	mw.n, mw.ids = append(mw.n, n), append(mw.ids, h.id)
	x.out = false
	m.noteGive(h)
}

// pop takes id, which must be the first but for expired ones.
func (m *model) pop(q *[]uint64, id uint64) {
	for len(*q) > 0 && (*q)[0] != id && (m.outlived((*q)[0]) || m.let((*q)[0])) {
		m.endFirst(q, m.how((*q)[0]))
	}
	if len(*q) == 0 || (*q)[0] != id {
		m.failf("hop %d was delivered out of order: the queue is %v", id, *q)
		return
	}
	*q = (*q)[1:]
}

// endFirst ends the first of a queue; the next of its key may come into it.
func (m *model) endFirst(q *[]uint64, how state) {
	id := (*q)[0]
	*q = (*q)[1:]
	m.end(id, how)
}

func (m *model) outlived(id uint64) bool {
	x := m.hops[id]
	ttl := m.t.steps[x.step].cfg.ttl
	return ttl > 0 && m.now-x.admitted >= ttl
}

func (m *model) taskEnded(int32, *task)     {}
func (m *model) result(int32, *wire.Output) {}
func (m *model) late(*worker, *hop, uint64) {}
func (m *model) size(s int) int {
	return len(m.queues[s]) + len(m.suspect[s]) + len(m.lined[s]) + len(m.boundOf(s)) + m.held(s) + m.entries(s)
}
func (m *model) full(s int) bool {
	if m.spills(s) {
		return m.crowded(s) && m.outs(s) >= m.mostOut(s)
	}
	return m.size(s) >= m.t.steps[s].cfg.messages
}
func (m *model) blocks(s int) bool {
	return m.guards[s].shut || (m.t.steps[s].cfg.full == topology.FullBlock || m.spills(s)) && m.full(s)
}
func (m *model) id() uint64 { m.ids++; return uint64(wire.NewID(m.epoch, m.ids)) }
func (m *model) gated(s int) bool {
	for _, to := range m.t.steps[s].to {
		if m.blocks(to.index) && !reaches(to, m.t.steps[s], map[*step]bool{}) {
			return true
		}
	}
	return false
}

func (m *model) held(s int) int {
	n := 0
	for _, x := range m.hops {
		if x.held && x.step == s {
			n++
		}
	}
	return n
}

func (m *model) end(id uint64, how state) {
	c := &m.counts[m.hops[id].step]
	switch how {
	case done:
		c.Done++
	case quarantined:
		c.Quarantined++
	case expired:
		c.Expired++
	case dropped:
		c.Dropped++
	case cancelled:
		c.Cancelled++
	case diverted:
		c.Diverted++
	}
	m.endOf(id, how)
	m.noteEnd(id, how)
	x := m.hops[id]
	delete(m.hops, id)
	m.next(x)
}

func (m *model) admit(from, to *step, task uint64, hops int, level uint8, w *wish) {
	s := to.index
	if w != nil && m.guards[s].repeats(m.now, w.id) {
		m.guards[s].repeated++
		return
	}
	id := m.id()
	m.hops[id] = &mhop{step: s, from: from.index, admitted: m.now, task: task, hops: hops, level: level, unplaced: true}
	m.counts[s].Admitted++
	m.join1(task)
	switch {
	case hops >= to.cfg.hops:
		m.end(id, quarantined)
	case !m.full(s) || to.cfg.full == topology.FullBlock || m.spills(s):
		m.place(s, id, w)
	case to.cfg.full == topology.FullQuarantine:
		m.end(id, quarantined)
	case to.cfg.full == topology.FullDropOldest && len(m.queues[s])+len(m.lined[s]) > 0:
		m.dropLowest(s)
		m.place(s, id, w)
	default:
		m.end(id, dropped)
	}
}

// agree compares everything.
func (m *model) agree() {
	by := m.t.walk()
	total := m.past
	for i, s := range m.t.steps {
		got, want := s.ledger(&by[i]), m.counts[i]
		want.Held = uint64(m.size(i))
		for _, w := range s.workers {
			want.InFlight += uint64(len(m.workers[w].n))
		}
		total.add(want)
		if got != want || !got.Balanced() {
			m.failf("%s: ledger\n %+v, want\n %+v", s.name, got, want)
		}
		m.same(s.name+" waiting", s.lines()[:len(s.above)+1], m.queues[i])
		m.same(s.name+" suspects", []*fifo{&s.suspect}, m.suspect[i])
		m.linesAgree(s)
		m.boundAgree(s)
		m.idle(s)
	}
	if got := m.t.ledger(); got != total || !got.Balanced() {
		m.failf("ledger of all\n %+v, want\n %+v", got, total)
	}
	m.tasksAgree()
	m.spilledAgree()
	m.nothingIsOver()
	m.fails = append(m.fails, m.t.audit()...)
}

func (m *model) same(what string, lines []*fifo, want []uint64) {
	var got []uint64
	count := 0
	for _, q := range lines {
		for i := q.head; i != none; i = m.t.hops.at(i).next {
			got = append(got, m.t.hops.at(i).id)
		}
		count += q.count
	}
	if !slices.Equal(got, want) || count != len(want) {
		m.failf("%s: %v (%d), want %v", what, got, count, want)
	}
}

// idle: nothing waits that could be worked on.
func (m *model) idle(s *step) {
	if m.gated(s.index) || len(m.queues[s.index]) == 0 || m.may(s) <= 0 || m.waitsForDisk(s.index) {
		return
	}
	for _, w := range s.workers {
		alone := slices.ContainsFunc(m.workers[w].ids, func(id uint64) bool { return m.hops[id].crashes > 0 })
		if len(m.workers[w].n) < w.messages && !alone && w != s.kept {
			m.failf("%s: %v wait, and a worker with %d of %d in hand has nothing to do", s.name, m.queues[s.index], len(m.workers[w].n), w.messages)
		}
	}
}

func newModel(seed uint64) *model {
	m := &model{rnd: rand.New(rand.NewPCG(seed, 1)), hops: map[uint64]*mhop{}, epoch: 7, disk: map[uint64]*scribed{}, aside: map[uint64]uint64{}, tasks: map[uint64]*mtask{}, lapsed: map[uint64]bool{}, workers: map[*worker]*mworker{}, ends: map[uint64]int64{}}
	limit := func(name string, n int, full topology.Full, to ...string) *topology.Satellite {
		s := sat(name, to...)
		s.Queue.MaxMessages, s.Queue.Full = n, full
		s.Queue.Spill.MaxMessages = 1 + m.rnd.IntN(4)
		s.Work.Retries, s.Work.Crashes, s.Work.Hops, s.Work.Backoff = m.rnd.IntN(3), 1+m.rnd.IntN(3), 4, time.Second
		if m.rnd.IntN(2) == 0 {
			keep(s)
		}
		if m.rnd.IntN(3) == 0 {
			s.Work.Key = hashKey
		}
		return s
	}
	a, b := limit("a", 4, m.policy(), "b"), limit("b", 3, m.policy())
	loop, back := limit("loop", 3, m.policy(), "back", "b"), limit("back", 5, m.policy(), "loop")
	b.Queue.TTL = time.Duration(m.rnd.IntN(2)) * 5 * time.Second
	a.Work.Then = []topology.Then{topology.ThenDrop, topology.ThenQuarantine}[m.rnd.IntN(2)]
	gen := sat("gen", "a", "b", "loop")
	gen.OnDone, b.OnFailed = &topology.TaskHook{To: "b"}, &topology.TaskHook{To: "b"}
	m.topo = topo(gen, a, b, loop, back)
	m.restrain(a, b, loop, back)
	for _, s := range m.topo.Satellites {
		for i := range s.To {
			s.To[i].When = m.condition()
		}
	}
	steps := buildSteps(m.topo)
	m.t = newTracker(7, steps, m, time.Unix(0, 0))
	m.opens(newFakeLog(func() int64 { return m.now }))
	m.queues, m.suspect, m.lined, m.counts = make([][]uint64, len(steps)), make([][]uint64, len(steps)), make([][]uint64, len(steps)), make([]Ledger, len(steps))
	for _, s := range steps {
		m.guards = append(m.guards, newGuardModel(s.sat))
	}
	return m
}

func (m *model) policy() topology.Full {
	policies := []topology.Full{topology.FullBlock, topology.FullSpill, topology.FullSpill, topology.FullDropNewest, topology.FullDropOldest, topology.FullQuarantine}
	return policies[m.rnd.IntN(len(policies))]
}

func (m *model) event() string {
	events := []struct {
		name   string
		weight int
		do     func()
	}{{"emit", 8, m.emit}, {"join", 2, m.join}, {"done", 8, m.done}, {"fail", 3, m.fail}, {"die", 1, m.die}, {"pass", 2, m.pass}, {"apply", 1, m.apply}, {"upgrade", 1, m.upgrade}, {"cancel", 1, m.cancelTask},
		{"restraint", 2, m.restraint}, {"lapse", 1, m.lapse}, {"session", 2, m.pinned}, {"sync", 6, m.sync}, {"crash", 1, m.crash}, {"read", 5, m.read}}
	k := m.rnd.IntN(44)
	for _, e := range events {
		if k -= e.weight; k < 0 {
			e.do()
			return e.name
		}
	}
	return ""
}

func TestTrackerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	runs := 100_000
	if testing.Short() || raceEnabled {
		runs = 5_000
	}
	for seed := range uint64(runs) {
		m := newModel(seed)
		var story []string
		for range 10 + int(seed%50) {
			story = append(story, m.event())
			m.dispatch()
			m.turn()
			m.agree()
			if len(m.fails) > 0 {
				t.Fatalf("seed %d after %v:\n%v", seed, story, m.fails)
			}
		}
		if seed%4 > 0 {
			continue
		}
		if m.empties(); len(m.fails) > 0 {
			t.Fatalf("seed %d after %v, and its end:\n%v", seed, story, m.fails)
		}
	}
}
