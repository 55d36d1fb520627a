package bus

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dsat/dsat/topology"
)

// apply changes the topology at random: steps come, go (with what they hold, or not at all) and move, links and limits change.
// What the tracker makes of it is compared with what the model does to its lists.
func (m *model) apply() {
	next := &topology.Topology{Name: "test"}
	opt := ApplyOptions{Moved: map[string]string{}, Discard: map[string]bool{}}
	now := map[string]int{}
	for i, s := range m.t.steps {
		now[s.name] = i
	}
	origin := map[string]string{} // new name -> old one
	for _, i := range m.rnd.Perm(len(m.topo.Satellites)) {
		c := *m.topo.Satellites[i]
		switch m.rnd.IntN(6) {
		case 0:
			if len(m.topo.Satellites) > 2 {
				if m.rnd.IntN(2) == 0 {
					opt.Discard[c.Name] = true
				}
				continue
			}
		case 1:
			m.renames++
			name := fmt.Sprintf("%s%d", c.Name[:1], m.renames)
			opt.Moved[c.Name], origin[name] = name, c.Name
			c.Name = name
		case 2:
			c.Queue.MaxMessages = 1 + m.rnd.IntN(6)
			c.Work.Deadline = time.Duration(m.rnd.IntN(2)) * time.Hour
			c.Queue.Priority = m.rnd.IntN(3)
		case 3:
			if c.Queue.Delivery = topology.DeliveryDurable; m.rnd.IntN(2) == 0 {
				c.Queue.Delivery = topology.DeliveryTracked
			}
		case 4:
			if c.Work.Key = hashKey; m.rnd.IntN(2) == 0 {
				c.Work.Key = ""
			}
		case 5:
			if m.rnd.IntN(2) == 0 {
				c.Queue.Full = m.policy()
			}
		}
		if origin[c.Name] == "" {
			origin[c.Name] = c.Name
		}
		next.Satellites = append(next.Satellites, &c)
	}
	if m.rnd.IntN(2) == 0 || len(next.Satellites) == 0 {
		m.renames++
		s := sat(fmt.Sprintf("n%d", m.renames))
		s.Work.Hops = 4
		next.Satellites = append(next.Satellites, s)
	}
	m.relinks(next, opt)
	m.goOver(next, opt, now, origin)
}

// relinks keeps links where it can, under new names, and changes some.
func (m *model) relinks(next *topology.Topology, opt ApplyOptions) {
	for _, s := range next.Satellites {
		var to []topology.Link
		seen := map[string]bool{}
		add := func(name, when string) {
			if next.Satellite(name) != nil && !seen[name] {
				seen[name] = true
				to = append(to, topology.Link{To: name, When: when})
			}
		}
		for _, l := range s.To {
			name := l.To
			if moved, ok := opt.Moved[name]; ok {
				name = moved
			}
			if m.rnd.IntN(6) > 0 {
				add(name, l.When)
			}
		}
		if m.rnd.IntN(4) == 0 {
			add(next.Satellites[m.rnd.IntN(len(next.Satellites))].Name, m.condition())
		}
		s.To = to
	}
}

func (m *model) goOver(next *topology.Topology, opt ApplyOptions, now map[string]int, origin map[string]string) {
	held := map[string]bool{}
	stays := map[string]bool{}
	for _, old := range origin {
		stays[old] = true
	}
	refused := false
	for name, i := range now {
		if stays[name] {
			continue
		}
		n := m.size(i)
		for _, w := range m.t.steps[i].workers {
			n += len(m.workers[w].n)
		}
		held[name] = n > 0
		refused = refused || n > 0 && !opt.Discard[name]
	}
	refused = refused || m.rekeysOnDisk(next, now, origin)
	p, err := m.t.plan(m.topo, next, opt)
	if (err != nil) != refused {
		m.failf("apply: %v, want it refused: %v (held %v, discard %v)", err, refused, held, opt.Discard)
	}
	if err != nil {
		return
	}
	had := map[string]bool{}
	m.cancelling = map[uint64]bool{}
	for name, i := range now {
		had[name] = m.keyed(i)
		if !stays[name] {
			m.forgetStep(i)
		}
	}
	m.syncAll() // the file and the journal are of one mind whenever it is killed
	spoken := func(s *step) bool { return len(s.workers) > 0 || m.rnd.IntN(2) == 0 }
	m.t.reshape(m.now, p, spoken)
	if len(m.cancelling) > 0 {
		m.failf("workers were not told to let go of %v", slices.Collect(maps.Keys(m.cancelling)))
	}
	m.topo = next
	m.rebegin(origin)
	m.permute(now, origin)
	m.rekey(had, origin)
	m.reclass()
	m.syncAll()
}

// forgetStep cancels what a step holds.
func (m *model) forgetStep(i int) {
	for _, w := range m.t.steps[i].workers {
		for _, n := range m.workers[w].n {
			m.cancelling[n] = true
		}
		delete(m.workers, w)
		m.order = slices.DeleteFunc(m.order, func(x *worker) bool { return x == w })
	}
	m.lined[i] = nil // nobody of it goes on
	for id, x := range m.hops {
		if x.step == i {
			m.entering = slices.DeleteFunc(m.entering, func(e uint64) bool { return e == id })
			m.end(id, cancelled)
		}
	}
	m.past.add(m.counts[i])
}

func (m *model) cancel(_ *worker, n uint64) {
	if !m.cancelling[n] {
		m.failf("CANCEL of dispatch %d, which is wanted", n)
	}
	delete(m.cancelling, n)
}

// permute brings the model's lists into the order of the new steps.
func (m *model) permute(now map[string]int, origin map[string]string) {
	n := len(m.t.steps)
	queues, suspect, lined, counts, guards := make([][]uint64, n), make([][]uint64, n), make([][]uint64, n), make([]Ledger, n), make([]*mguard, n)
	became := map[int]int{}
	for i, s := range m.t.steps {
		if s.index != i || s.name != m.topo.Satellites[i].Name {
			m.failf("step %d is %s with index %d", i, s.name, s.index)
		}
		if old, ok := now[origin[s.name]]; ok {
			queues[i], suspect[i], lined[i], counts[i], guards[i] = m.queues[old], m.suspect[old], m.lined[old], m.counts[old], m.guards[old]
			became[old] = i
		} else {
			guards[i] = newGuardModel(s.sat)
		}
	}
	for _, x := range m.hops {
		x.step = became[x.step]
		if from, stays := became[x.from]; stays {
			x.from = from
		} else {
			x.from = outside
		}
	}
	m.queues, m.suspect, m.lined, m.counts, m.guards = queues, suspect, lined, counts, guards
	for i, s := range m.t.steps {
		m.guards[i].sat = s.sat
		m.queues[i] = slices.Clone(m.queues[i])
		slices.SortStableFunc(m.queues[i], func(a, b uint64) int { return m.level(b) - m.level(a) })
	}
}
