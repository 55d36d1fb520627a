package bus

import (
	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/topology"
)

// The part of the model that is about queues that spill: which messages are on disk only, and that this changes nothing else.

func (m *model) spills(s int) bool { return m.t.steps[s].cfg.full == topology.FullSpill }

// outs is how many of a step's payloads have left memory, or are to.
func (m *model) outs(s int) int {
	n := 0
	for _, x := range m.hops {
		if x.step == s && x.out {
			n++
		}
	}
	return n
}

// mostOut is how many may.
func (m *model) mostOut(s int) int {
	if n := m.t.steps[s].sat.Queue.Spill.MaxMessages; n > 0 {
		return n
	}
	return 1 << 30
}

// crowded reports whether a queue has in memory what it may.
func (m *model) crowded(s int) bool { return m.size(s)-m.outs(s) >= m.t.steps[s].cfg.messages }

// spill lets a new hop go to disk if it has to, and may.
func (m *model) spill(s int, id uint64) {
	if !m.spills(s) || !m.crowded(s) || m.outs(s) >= m.mostOut(s) {
		return
	}
	x := m.hops[id]
	x.out = true
	if !m.t.steps[s].cfg.durable {
		m.disk[id] = &scribed{hop: x, begin: m.record(), origin: m.tasks[x.task].origin, body: string(m.payload(x.task))}
	}
}

// away reports whether the tracker has no payload of a hop.
func (m *model) away(id uint64) bool { return m.t.hops.at(m.slot(id)).body.away > 0 }

// read brings some of the payloads that were asked for.
func (m *model) read() {
	n := len(m.t.wants)
	if n == 0 {
		return
	}
	n = 1 + m.rnd.IntN(n)
	all := m.log.bring(m.t.wants[:n])
	m.t.wants = append([]wanted(nil), m.t.wants[n:]...)
	for k := range all {
		b := &all[k]
		if p, h := m.t.hops.place(b.slot), m.t.hops.at(b.slot); p == nil || p.flags&coming == 0 || h.id != b.id {
			b.data = []byte("of nobody") // it has ended, and this must not come to anybody
			continue
		}
		if b.err != nil {
			m.failf("hop %d is on disk, and cannot be read: %v", b.id, b.err)
		}
		m.hops[b.id].out = b.move
	}
	m.t.arrive(m.now, all)
}

// waitsForDisk reports whether the first of a queue is being read.
func (m *model) waitsForDisk(s int) bool {
	if len(m.queues[s]) == 0 {
		return false
	}
	i := m.slot(m.queues[s][0])
	p := m.t.hops.place(i)
	return p != nil && p.flags&coming != 0 && m.t.hops.at(i).body.away > 0
}

// spilledAgree compares what is on disk only, and that everything else is in memory.
func (m *model) spilledAgree() {
	counted := make([]int, len(m.t.steps))
	bytes := make([]int64, len(m.t.steps))
	for id, x := range m.hops {
		i := m.slot(id)
		h, flags := m.t.hops.at(i), uint8(0)
		if p := m.t.hops.place(i); p != nil {
			flags = p.flags
		}
		if is := flags&(leaves|away) != 0; is != x.out {
			m.failf("hop %d of %s is out of memory: %v, want %v", id, m.t.steps[x.step].name, is, x.out)
		}
		if flags&away == 0 && string(h.body.data) != string(m.payload(x.task)) || flags&away != 0 && (len(h.body.data) > 0 || h.body.away != len(m.payload(x.task))) {
			m.failf("hop %d (flags %b) has the payload %q, and %d bytes on disk", id, flags, h.body.data, h.body.away)
		}
		if x.out {
			counted[x.step]++
			bytes[x.step] += size(h)
		}
	}
	for i, s := range m.t.steps {
		n, b := 0, int64(0)
		if s.spill != nil {
			n, b = s.spill.messages, s.spill.bytes
		}
		if n != counted[i] || b != bytes[i] {
			m.failf("%s has %d messages and %d bytes on disk, want %d and %d", s.name, n, b, counted[i], bytes[i])
		}
	}
}

// takesOver is what a next daemon makes of payloads on disk: it may leave more there than there were.
func (m *model) takesOver() {
	for id, x := range m.hops {
		p := m.t.hops.place(m.slot(id))
		x.out = p != nil && p.flags&(leaves|away) != 0
		if x.out && m.t.steps[x.step].spill == nil {
			m.failf("hop %d is on disk only, and %s does not spill", id, m.t.steps[x.step].name)
		}
	}
}

// recallFor is a recall as the next daemon has it, which reads from a log.
func (m *model) recallFor(l **fakeLog) *recall {
	r := newRecall()
	r.estate.segment, r.estate.grain = 600, 200
	r.leave = m.t.spillsBy()
	r.read = func(at journal.Position, off, n uint32) ([]byte, error) {
		b := (*l).bring([]wanted{{at: at, off: off, n: n}})
		return b[0].data, b[0].err
	}
	return r
}

// rekeysOnDisk reports whether a topology gives keys to messages that are on disk, which cannot be.
func (m *model) rekeysOnDisk(next *topology.Topology, now map[string]int, origin map[string]string) bool {
	for _, sat := range next.Satellites {
		if i, there := now[origin[sat.Name]]; there && m.outs(i) > 0 && sat.Work.Key != "" && !m.keyed(i) {
			return true
		}
	}
	return false
}
