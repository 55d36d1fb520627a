package supervisor

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// hunger recognizes the kernel's kills for want of memory, which look like anybody's SIGKILL.
type hunger struct {
	seen atomic.Uint64 // kills on this machine so far, as /proc/vmstat counts them
}

func newHunger() *hunger {
	h := &hunger{}
	h.more()
	return h
}

// more reports whether there were kills since it was last asked.
func (h *hunger) more() bool {
	text, err := readProcFile("/proc/vmstat")
	if err != nil {
		return false
	}
	now := counterIn(text, "oom_kill")
	return h.seen.Swap(now) < now
}

// verdict tells about a process that was killed by nobody known; "" when memory has nothing to do with it. Its own control group knows
// for sure; without a limit of its own the log of the kernel does, where it can be read.
func (h *hunger) verdict(g *cgroup, pid int) string {
	if g != nil {
		switch now := g.hungered(); {
		case now.kills > g.hunger.kills && now.own > g.hunger.own:
			return "by the kernel: it reached its memory limit"
		case now.kills > g.hunger.kills: // a group above it reached its limit, or the machine
			h.more()
			return "by the kernel: out of memory"
		}
	}
	if !h.more() {
		return ""
	}
	if inKernelLog(pid) {
		return "by the kernel: out of memory"
	}
	return "perhaps by the kernel, which was out of memory"
}

// hungry looks whether a kill was the kernel's. It reads files: the owner of the instance asks, never the reaper, which holds a lock.
func (l *life) hungry(e *Exit) {
	if e.Signal == unix.SIGKILL && !l.hard.Load() && l.hunger != nil { // nil: it was never forked
		e.Starved = l.hunger.verdict(l.cgroup, l.mainPID())
	}
}

// inKernelLog looks for the kill of a process in what the kernel still remembers of its log.
func inKernelLog(pid int) bool {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	want := fmt.Appendf(nil, "Killed process %d ", pid)
	var record [8 << 10]byte
	for {
		switch n, err := unix.Read(fd, record[:]); {
		case err == unix.EPIPE || err == unix.EINTR: // was overwritten meanwhile: the next one
		case err != nil || n == 0:
			return false
		case bytes.Contains(record[:n], want):
			return true
		}
	}
}
