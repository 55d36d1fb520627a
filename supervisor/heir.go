package supervisor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
)

// heir is the process that a life has named as its main one in place of the one that was forked (sd_notify, MAINPID): daemons that fork
// into the background do, and those that replace themselves. From then on it is what is signalled, what is heard, and what the life ends
// with. The first one stays the life's session: pid and start of a life do not change.
//
// It may be our child, when whoever forked it has ended, or not yet. So it is held by a pidfd, and stands in the reaper's table as well:
// whoever takes it out there tells its exit, once.
type heir struct {
	*survivor
	l *life
}

// mainPID is the number of the main process, and may be asked from anywhere once there was a fork.
func (l *life) mainPID() int {
	if h := l.heir.Load(); h != nil {
		return h.pid
	}
	return l.pid
}

// ended is told by the reaper, when it was our child by then.
func (h *heir) ended(e Exit) {
	h.l.inlet.exhaust() // it may have named one itself
	h.l.of.post(event{kind: evExit, life: h.l, exit: e, pid: h.pid})
}

// succeed: another process is the main one of its life.
func (i *instance) succeed(h *heir) {
	if l := i.life; i.state == Stopping || l.exited {
		h.letGo() // it is one of those that are left behind, and ends with them
		return
	}
	i.world.succeed(i.life, h)
}

// succeed makes a process the main one.
func (s *Supervisor) succeed(l *life, h *heir) {
	before := l.mainPID()
	s.reaper.succeed(l, h)
	s.record.main(l.of.ref, l.inc, h.kin)
	s.log.Info("another process is the main one, as it has told", "instance", l.of.ref, "pid", h.pid, "before", before)
	s.attend(h)
}

// attend watches for its end.
func (s *Supervisor) attend(h *heir) {
	if err := s.output.watch(h.fd, func() { s.lost(h) }); err != nil {
		s.log.Error("cannot watch a main process; it is killed", "instance", h.l.of.ref, "pid", h.pid, "error", err)
		_ = h.signal(syscall.SIGKILL, false) // gone already: all the better
		s.lost(h)
	}
}

// lost: it has ended. If it is our child the reaper collects it and tells how; of another's child the kernel is asked.
func (s *Supervisor) lost(h *heir) {
	defer h.letGo()
	if p, err := readStat(h.pid); err == nil && p.kin == h.kin && p.ppid == os.Getpid() {
		return
	}
	exit := h.exit()
	if s.reaper.disown(h) {
		h.ended(exit)
	}
}

// succeed puts an heir in the place of who was the main process before; the exit of that one means nothing any more.
func (r *reaper) succeed(l *life, h *heir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := l.heir.Load(); before != nil && r.table[before.pid] == before {
		delete(r.table, before.pid)
	} else if r.table[l.pid] == l {
		delete(r.table, l.pid)
	}
	r.table[h.pid] = h
	l.heir.Store(h)
}

// disown reports whether it was in the table, and its exit is nobody's to tell but the caller's.
func (r *reaper) disown(h *heir) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.table[h.pid] != h {
		return false
	}
	delete(r.table, h.pid)
	return true
}

// heirs are those in the table.
func (r *reaper) heirs() (all []*heir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.table {
		if h, ok := c.(*heir); ok {
			all = append(all, h)
		}
	}
	return all
}

func (r *reaper) has(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table[pid] != nil
}

// heirOf takes hold of the process that a life names as its main one. The error tells why it cannot be that.
func (s *Supervisor) heirOf(l *life, pid int) (*heir, error) {
	p, err := readStat(pid)
	if err != nil || p.dead() {
		return nil, errors.New("there is no such process")
	}
	v, err := hold(p.kin)
	if err != nil {
		return nil, fmt.Errorf("it cannot be held: %w", err) // a thread, for one
	}
	if !s.related(l, p) {
		v.letGo()
		return nil, errors.New("that process does not come from this instance")
	}
	return &heir{survivor: v, l: l}, nil
}

// related: a process comes from a life, by its control group, its session, its parents or the environment it was given; and it is
// nothing else of ours.
func (s *Supervisor) related(l *life, p procStat) bool {
	if p.pid == os.Getpid() || s.reaper.has(p.pid) {
		return false
	}
	if l.cgroup != nil && slices.Contains(l.cgroup.members(), p.pid) {
		return true
	}
	elders := []kin{{l.pid, l.start}}
	if h := l.heir.Load(); h != nil {
		elders = append(elders, h.kin)
	}
	for _, elder := range elders {
		if now, err := readStat(elder.pid); err != nil || now.kin != elder {
			continue // the number may be somebody else's by now
		}
		if p.sid == elder.pid || p.pgid == elder.pid || descends(p, elder.pid) {
			return true
		}
	}
	env := envOf(p.pid, "DSAT_RUN", "DSAT_INSTANCE", "DSAT_INCARNATION")
	return env[0] == s.runDir && env[1] == l.of.ref.String() && env[2] == strconv.FormatUint(uint64(l.inc), 10)
}

// mostParents bounds the way up from a process to the one it comes from.
const mostParents = 64

// descends follows parents up.
func descends(p procStat, from int) bool {
	for range mostParents {
		if p.ppid == from {
			return true
		}
		above, err := readStat(p.ppid)
		if err != nil || above.ppid <= 1 {
			return false
		}
		p = above
	}
	return false
}

// reinstate makes the main process of a life that is taken back what it was.
func (s *Supervisor) reinstate(l *life, k kin) error {
	v, err := hold(k)
	if err != nil {
		return err
	}
	s.reaper.succeed(l, &heir{survivor: v, l: l})
	return nil
}
