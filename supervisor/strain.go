package supervisor

import (
	"path/filepath"

	"github.com/dsat/dsat/topology"
)

// Strain is how often one limit has held an instance back, as the kernel counts it in its control group: since that was made, which a
// kill of the whole group or an end of dsatd begins anew.
type Strain struct {
	Limit string // the key below limits: "memory", "memory_high", "cpu", "pids"
	Hits  uint64 // memory: times it was at its limit and had to give back; memory_high: times it was slowed down; cpu: periods of 100 ms cut short; pids: forks refused
}

// Strains are those of the limits that an instance has; none where it has no control group.
func (s *Supervisor) Strains(ref topology.Ref) []Strain {
	i := s.find(ref)
	if i == nil || s.cgroups.tree == "" {
		return nil
	}
	t := s.roster().topology.Satellite(ref.Name)
	if t == nil {
		return nil
	}
	l := t.Limits
	var all []Strain
	for _, c := range [...]struct {
		limited             bool
		limit, file, counts string
	}{
		{l.Memory > 0, "memory", "memory.events", "max"},
		{l.MemoryHigh > 0, "memory_high", "memory.events", "high"},
		{l.CPU > 0, "cpu", "cpu.stat", "nr_throttled"},
		{l.PIDs > 0, "pids", "pids.events", "max"},
	} {
		if !c.limited {
			continue
		}
		// Between two lives the group may be gone: then nobody is held back.
		if text, err := readSmall(filepath.Join(s.cgroups.pathOf(ref), c.file)); err == nil {
			all = append(all, Strain{Limit: c.limit, Hits: counterIn(text, c.counts)})
		}
	}
	return all
}
