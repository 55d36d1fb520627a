package bus

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/dsat/dsat/topology"
)

// mguard is what bounds a step beyond credit, as plainly as possible: lists of what happened, and when.
type mguard struct {
	sat          *topology.Satellite
	paused, shut bool
	firsts, paid int     // first attempts; those that have paid for retries
	saved        float64 // retries paid for and not made
	beside, rate mbucket

	seen     []mseen
	ever     []mseen // all that the journal was told of
	repeated uint64

	answers      []manswer // since the breaker was closed last
	state        breakerState
	until        int64
	first        uint64
	passed       int
	row, tripped int
	died         bool // a process has, and nobody came since
	diedAt       int64
}

type manswer struct {
	at  int64
	bad bool
}

// mbucket is tokens in nanoseconds.
type mbucket struct {
	every, most, has, at int64
}

func newBucketModel(r topology.Rate, burst int64) mbucket {
	if r.N == 0 {
		return mbucket{}
	}
	every := int64(r.Per) / int64(r.N)
	return mbucket{every: every, most: every * burst, has: every * burst}
}

func (b *mbucket) may(now int64) bool {
	if b.every == 0 {
		return true
	}
	b.has, b.at = min(b.most, b.has+now-b.at), now
	return b.has >= b.every
}

func (b *mbucket) take() { b.has -= b.every }

func newGuardModel(s *topology.Satellite) *mguard {
	rate := s.Work.Budget.Rate
	burst := int64(1)
	if rate.N > 0 {
		burst = max(int64(10*time.Second)*int64(rate.N)/int64(rate.Per), 1)
	}
	return &mguard{sat: s, beside: newBucketModel(rate, burst), rate: newBucketModel(s.Work.Rate, int64(max(s.Work.Burst, 1)))}
}

// restrain gives some steps breakers, budgets, rates and limits.
func (m *model) restrain(a, b, loop, back *topology.Satellite) {
	then := []topology.BreakerThen{topology.BreakerOff, topology.BreakerHold, topology.BreakerQuarantine, topology.BreakerFail, topology.BreakerFallback}
	for _, s := range []*topology.Satellite{a, loop} {
		s.Breaker = topology.Breaker{Then: then[m.rnd.IntN(len(then))], Consecutive: 1 + m.rnd.IntN(3), Ratio: 0.5, Samples: 3, Window: 10 * time.Second,
			Open: time.Second, Max: 6 * time.Second, Close: 1 + m.rnd.IntN(4)}
		if s.Breaker.Then == topology.BreakerFallback {
			s.Breaker.Fallback = "back"
		}
	}
	if m.rnd.IntN(2) == 0 {
		b.Work.Rate, b.Work.Burst = topology.Rate{N: 1 + m.rnd.IntN(3), Per: time.Second}, 1+m.rnd.IntN(3)
	}
	back.Work.Concurrency = m.rnd.IntN(4)
	a.Queue.Priority, loop.Queue.Priority = m.rnd.IntN(3), m.rnd.IntN(2)
	b.Queue.Dedup = topology.Dedup{Window: time.Duration(m.rnd.IntN(2)) * 6 * time.Second, Max: 1 + m.rnd.IntN(3)}
	for _, s := range []*topology.Satellite{a, b} {
		if m.rnd.IntN(2) == 0 {
			s.Work.Budget = topology.Budget{Share: 0.25, Rate: topology.Rate{N: 1 + m.rnd.IntN(4), Per: time.Minute}}
		}
	}
}

// restraint is somebody who pauses, resumes, drains or purges.
func (m *model) restraint() {
	i := m.rnd.IntN(len(m.t.steps))
	s, g := m.t.steps[i], m.guards[i]
	switch m.rnd.IntN(6) {
	case 0:
		s.paused, g.paused = true, true
	case 1:
		m.t.shutStep(s, true)
		g.shut = true
	case 2:
		waits := func(id uint64) bool {
			x := m.hops[id]
			return x.step == i && (x.held || slices.Contains(m.lined[i], id) || slices.Contains(m.queues[i], id) || slices.Contains(m.suspect[i], id) || slices.Contains(m.bound, id))
		}
		want := m.endAll(waits, func(uint64) state { return cancelled })
		if got := m.t.purge(m.now, s); got != want {
			m.failf("%d messages of %s were purged, want %d", got, s.name, want)
		}
	default:
		s.paused, s.dirty, g.paused = false, true, false
		m.t.shutStep(s, false)
		g.shut = false
	}
}

func (g *mguard) broken() bool {
	return g.sat.Breaker.Then != topology.BreakerOff && g.sat.Breaker.Then != ""
}

// good and bad are answers; n is of the dispatch.
func (m *model) good(s int, n uint64) {
	g := m.guards[s]
	if !g.broken() {
		return
	}
	g.row = 0
	switch {
	case g.state == closed:
		g.answers = append(g.answers, manswer{m.now, false})
	case g.state == halfOpen && n >= g.first:
		if g.passed++; g.passed == g.sat.Breaker.Close {
			g.state, g.answers, g.tripped = closed, nil, 0
		}
	}
}

func (m *model) bad(s int, n uint64) {
	g := m.guards[s]
	if !g.broken() {
		return
	}
	b := g.sat.Breaker
	g.row++
	trip := g.state == halfOpen && n >= g.first
	if g.state == closed {
		g.answers = append(g.answers, manswer{m.now, true})
		tenth := int64(b.Window) / 10
		bad, all := 0, 0
		for _, a := range g.answers {
			if m.now/tenth-a.at/tenth < 10 {
				all++
				if a.bad {
					bad++
				}
			}
		}
		trip = g.row >= b.Consecutive || all >= b.Samples && float64(bad) >= b.Ratio*float64(all)
	}
	if trip {
		m.trip(g)
	}
}

func (m *model) trip(g *mguard) {
	b := g.sat.Breaker
	wait := b.Open
	for range g.tripped {
		wait = min(2*wait, b.Max)
	}
	g.tripped++
	g.state, g.until = open, m.now+int64(wait)
}

// missWorkers opens the breakers of steps whose process died and which have had none since for as long as a breaker is open.
func (m *model) missWorkers() {
	for i, g := range m.guards {
		if g.broken() && g.state == closed && g.died && len(m.t.steps[i].workers) == 0 && g.diedAt+int64(g.sat.Breaker.Open) <= m.now {
			g.died = false
			m.trip(g)
		}
	}
}

// look is what a breaker that is not closed does at a dispatch.
func (m *model) look(s *step) {
	g := m.guards[s.index]
	if !g.broken() || g.state == closed {
		return
	}
	if g.state == open && g.until <= m.now {
		g.state, g.first, g.passed = halfOpen, m.t.n+1, 0
	}
	stay := 0
	if g.state == halfOpen {
		stay = max(g.passed+1-m.trials(s), 0)
	}
	if len(s.workers) == 0 {
		stay = 0
	}
	if g.sat.Breaker.Then == topology.BreakerHold {
		return
	}
	q := m.queues[s.index]
	kept := min(stay, len(q))
	for len(m.queues[s.index]) > kept {
		id := m.queues[s.index][kept]
		how := expired
		if !m.outlived(id) {
			if how = m.elsewhere(s, id); how == free {
				break
			}
		}
		m.queues[s.index] = slices.Delete(slices.Clone(m.queues[s.index]), kept, kept+1)
		m.end(id, how)
	}
}

// elsewhere is how a hop ends that the breaker does not let wait; free: it has to.
func (m *model) elsewhere(s *step, id uint64) state {
	if m.guards[s.index].sat.Breaker.Then != topology.BreakerFail && m.away(id) {
		return free
	}
	switch b := m.guards[s.index].sat.Breaker; b.Then {
	case topology.BreakerQuarantine:
		return quarantined
	case topology.BreakerFail:
		return dropped
	default:
		to := slices.IndexFunc(m.t.steps, func(x *step) bool { return x.name == b.Fallback })
		if to < 0 || m.blocks(to) {
			return free
		}
		x := m.hops[id]
		from := &step{index: outside}
		if x.from != outside {
			from = m.t.steps[x.from]
		}
		m.admit(from, m.t.steps[to], x.task, x.hops+1, x.level, nil)
		return diverted
	}
}

func (m *model) trials(s *step) int {
	n := 0
	for _, w := range s.workers {
		for _, d := range m.workers[w].n {
			if d >= m.guards[s.index].first {
				n++
			}
		}
	}
	return n
}

// may is how many may be given to the workers of s now, apart from their credit.
func (m *model) may(s *step) int {
	g := m.guards[s.index]
	n := math.MaxInt
	if g.paused {
		return 0
	}
	if c := g.sat.Work.Concurrency; c > 0 {
		n = c
		for _, w := range s.workers {
			n -= len(m.workers[w].n)
		}
	}
	if !g.rate.may(m.now) {
		n = 0
	}
	switch {
	case g.broken() && g.state == open:
		n = 0
	case g.broken() && g.state == halfOpen:
		n = min(n, g.passed+1-m.trials(s))
	}
	return n
}

// restrained checks that a delivery is within all bounds.
func (m *model) restrained(s *step, n uint64) {
	if m.may(s) <= 0 {
		m.failf("dispatch %d of %s is beyond its bounds: %+v", n, s.name, m.guards[s.index])
	}
	if g := m.guards[s.index]; g.rate.every > 0 {
		g.rate.take()
	}
}

// dueRetries are those whose back-off is over and for which the budget has room.
func (m *model) dueRetries(s int) (due []uint64) {
	g := m.guards[s]
	for id, x := range m.hops {
		if x.held && !x.delayed && x.step == s && x.due <= m.now {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b uint64) int { return cmp.Compare(m.hops[a].due, m.hops[b].due) })
	for k := range due {
		g.saved = min(g.saved+g.sat.Work.Budget.Share*float64(g.firsts-g.paid), mostSaved)
		g.paid = g.firsts
		switch {
		case g.saved >= 1:
			g.saved--
		case g.beside.may(m.now):
			g.beside.take()
		default:
			return due[:k]
		}
	}
	return due
}

// upgradeGuards: a breaker forgets what was answered, buckets are full again.
func (m *model) upgradeGuards() {
	for i, g := range m.guards {
		fresh := newGuardModel(g.sat)
		fresh.paused, fresh.shut, fresh.passed, fresh.row, fresh.tripped, fresh.seen, fresh.ever = g.paused, g.shut, g.passed, g.row, g.tripped, g.seen, g.ever
		fresh.beside.at, fresh.rate.at = m.now, m.now
		if fresh.state, fresh.until = g.state, g.until; g.state == halfOpen {
			fresh.first = 0
		}
		m.guards[i] = fresh
	}
}

func (m *model) note(*step, string) {}
