package topology

import (
	"cmp"
	"path/filepath"
	"slices"
)

func limitsKeys() *key {
	return &key{name: "limits", kind: tableKind{}, doc: "What one instance with all that it forks may use. They need control groups of version 2 that are delegated to dsatd (see daemon.cgroup); where there are none, `dsatd check` says so. For limits of single processes see rlimits.",
		aka: []string{"resources", "cgroup", "memory_limit"}, keys: []*key{
			{name: "memory", kind: sizeKind{}, min: 4096, max: 1 << 50, doc: "Beyond it the kernel ends the instance, with all its processes.", aka: []string{"mem", "memory_max", "memorymax"},
				field: sat(func(s *Satellite) any { return &s.Limits.Memory }), dropped: zero[int64]},
			{name: "memory_high", kind: sizeKind{}, min: 4096, max: 1 << 50, doc: "Beyond it the instance is slowed down, and memory is taken back from it.", aka: []string{"memoryhigh", "soft_memory"},
				field: sat(func(s *Satellite) any { return &s.Limits.MemoryHigh }), dropped: zero[int64]},
			{name: "swap", kind: boolKind{}, def: "true", doc: "false: nothing of it is swapped out. It needs memory.", field: sat(func(s *Satellite) any { return &s.Limits.Swap }),
				dropped: func(_, v any) bool { return v.(bool) }},
			{name: "cpu", kind: numberKind{}, min: 0, max: 4096, doc: "Processors it may use: 0.5 is half of one.", aka: []string{"cpus", "cpu_quota"},
				field: sat(func(s *Satellite) any { return &s.Limits.CPU }), dropped: zero[float64]},
			{name: "cpu_weight", kind: wholeKind{}, min: 1, max: 10000, doc: "Its share of the processors when there are too few, beside others' 100.", aka: []string{"cpu_shares"},
				field: sat(func(s *Satellite) any { return &s.Limits.CPUWeight }), dropped: zero[int64]},
			{name: "io_weight", kind: wholeKind{}, min: 1, max: 10000, doc: "Its share of the disks when they are busy, beside others' 100.", aka: []string{"blkio_weight"},
				field: sat(func(s *Satellite) any { return &s.Limits.IOWeight }), dropped: zero[int64]},
			{name: "pids", kind: wholeKind{}, min: 1, max: 4 << 20, doc: "Processes and threads it may have.", aka: []string{"tasks", "tasks_max", "processes", "pids_limit"},
				field: sat(func(s *Satellite) any { return &s.Limits.PIDs }), dropped: zero[int64]},
		}}
}

// zero leaves out of the effective file what is not limited.
func zero[T cmp.Ordered](_, v any) bool {
	var none T
	return v.(T) == none
}

// limits checks that this machine can enforce them, where whoever loads the topology knows how to ask.
func (r *rules) limits(s *Satellite, said *setting) {
	f := said.find("limits")
	if l := s.Limits; f != nil && !l.Swap && l.Memory == 0 && l.MemoryHigh == 0 {
		if at := f.find("swap"); at.inherited {
			s.Limits.Swap = true
		} else {
			r.add(at.pos, "say memory too", "limits.swap means nothing without limits.memory")
		}
	}
	if l := s.Limits; l.Memory > 0 && l.MemoryHigh > l.Memory {
		r.add(orElse(f.find("memory_high"), f).pos, "", "limits.memory_high (%s) is more than limits.memory (%s)", sizeText(l.MemoryHigh), sizeText(l.Memory))
	}
	needs := s.Limits.Controllers()
	if r.opt.Limits == nil || len(needs) == 0 {
		return
	}
	slices.Sort(needs)
	if err := r.opt.Limits(r.t.Daemon.Cgroup, needs); err != nil {
		r.add(orElse(f, said).pos, "leave it out, or use rlimits", "limits cannot be enforced on this machine: %v", err)
	}
}

// cgroupKind is "auto", "off" or an absolute path.
type cgroupKind struct{ textKind }

func (cgroupKind) typ() string       { return "string" }
func (cgroupKind) wants(*key) string { return `"auto", "off" or an absolute path` }
func (t cgroupKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	if s := v.(string); s != "auto" && s != "off" && !filepath.IsAbs(s) {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(s))
		return nil, false
	}
	return v, true
}
