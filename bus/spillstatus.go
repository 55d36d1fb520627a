package bus

import (
	"fmt"
	"slices"

	"github.com/dsat/dsat/topology"
)

// spillStatus fills in what a queue has on disk only.
func (s *step) spillStatus(q *QueueStatus) {
	q.Spills, q.SpillsIn = s.count.spilled, s.count.spilledBytes
	if s.spill != nil {
		q.Spilled, q.SpillBytes = s.spill.messages, s.spill.bytes
	}
}

// spillText is the same in words, behind others; "" when it has nothing there.
func (s *step) spillText() string {
	if s.spill == nil || s.spill.messages == 0 {
		return ""
	}
	return fmt.Sprintf(", of which %d with %d bytes are on disk only", s.spill.messages, s.spill.bytes)
}

// whyAway is about a queue whose next message is on its way from disk.
func whyAway(t *tracker, _ int64, s *step) string {
	if q := s.top(); s.spill != nil && q.count > 0 && t.hops.at(q.head).body.away > 0 {
		return "its next message is on disk, and is read as soon as a worker can take it"
	}
	return ""
}

// scribed is how many hops of s the journal has.
func (t *tracker) scribed(s *step) int {
	n := 0
	for _, pg := range t.hops.pages {
		if pg.places == nil {
			continue
		}
		for k, st := range pg.states {
			if st != free && int(pg.steps[k]) == s.index && pg.places[k].flags&onDisk != 0 {
				n++
			}
		}
	}
	return n
}

// spillsBy tells by its name whether the messages of a step can stay on disk when they come back.
func (t *tracker) spillsBy() func(step string) bool {
	all := map[string]bool{}
	for _, s := range t.steps {
		all[s.name] = s.spill != nil
	}
	return func(step string) bool { return all[step] }
}

// keyed reports whether the messages of a satellite have keys.
func keyed(t *topology.Topology, to *topology.Satellite) bool {
	return to.Work.Key != "" || slices.ContainsFunc(t.Satellites, func(s *topology.Satellite) bool {
		return speaks(s) && slices.ContainsFunc(s.To, func(l topology.Link) bool { return l.Key != "" && slices.Contains(l.Ends(), to.Name) })
	})
}
