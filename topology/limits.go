package topology

// Limits is what an instance with all that it forks may use, as control groups (version 2) enforce it. Zero is without limit.
type Limits struct {
	Memory     int64   // bytes; beyond, the kernel ends it
	MemoryHigh int64   // bytes; beyond, it is slowed down and memory is taken back
	Swap       bool    // it may be swapped out
	CPU        float64 // processors: 1.5 is one and a half
	CPUWeight  int     // 1 to 10000; 100 is the kernel's own
	IOWeight   int     // 1 to 10000; 100 is the kernel's own
	PIDs       int     // processes and threads
}

// Controllers are the kernel's names of what enforces the limits that are set, in the order of the kernel's documentation.
func (l Limits) Controllers() []string {
	var out []string
	if l.CPU > 0 || l.CPUWeight > 0 {
		out = append(out, "cpu")
	}
	if l.Memory > 0 || l.MemoryHigh > 0 {
		out = append(out, "memory")
	}
	if l.IOWeight > 0 {
		out = append(out, "io")
	}
	if l.PIDs > 0 {
		out = append(out, "pids")
	}
	return out
}
