package supervisor

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// orphanDeadline is the stop deadline of survivors whose satellite is not in the topology any more.
const orphanDeadline = 5 * time.Second

// clean ends what an earlier daemon of this run directory has left alive and was not adopted, before anything is started: of no instance there are ever
// two. Survivors are found by the record and, when their pid was not written yet or they have left their session, by the DSAT_RUN in
// their environment.
func (s *Supervisor) clean(left []recordEntry) {
	for round := 0; ; round++ {
		found := s.survivors(left)
		if len(found) == 0 {
			break
		}
		if round > 0 {
			shootAll(found, unix.SIGKILL)
			await(nil, found, orphanDeadline)
			continue
		}
		s.log.Warn("an earlier dsatd left processes; they are stopped before anything is started", "processes", len(found))
		deadline := time.Duration(0)
		for _, name := range found {
			deadline = max(deadline, s.deadlineOf(name))
		}
		shootAll(found, unix.SIGTERM)
		await(s.hurried, found, deadline)
	}
	s.record.forget(left)
}

// tidy takes away the control groups that earlier daemons have left.
func (s *Supervisor) tidy() {
	keep := make(map[string]bool, len(s.adopted))
	for _, l := range s.adopted {
		if l.cgroup != nil {
			keep[l.cgroup.path] = true
		}
	}
	s.cgroups.tidy(keep)
}

func (s *Supervisor) deadlineOf(instance string) time.Duration {
	ref, err := topology.ParseRef(instance)
	if err == nil {
		if t := s.roster().topology.Satellite(ref.Name); t != nil {
			return t.Stop.Deadline
		}
	}
	return orphanDeadline
}

// ours marks in survivors what was adopted; it is no name of an instance.
const ours = "+"

// survivors maps processes to the instance they were, with all that shares their session or descends from them.
func (s *Supervisor) survivors(left []recordEntry) map[kin]string {
	pids, err := processes()
	if err != nil {
		s.log.Error("cannot look for processes of an earlier dsatd", "error", err)
		return nil
	}
	byKin := make(map[kin]string, len(left))
	for _, e := range left {
		if e.pid != 0 {
			byKin[e.kin] = e.ref.String()
			if e.main.pid != 0 {
				byKin[e.main] = e.ref.String()
			}
		}
	}
	kept := make(map[string]string, len(s.adopted)) // incarnation by instance
	for ref, l := range s.adopted {
		kept[ref.String()] = strconv.FormatUint(uint64(l.inc), 10)
		byKin[kin{l.pid, l.start}] = ours
		if h := l.heir.Load(); h != nil {
			byKin[h.kin] = ours
		}
	}
	mine := map[int]bool{}
	for pid := os.Getpid(); pid > 1; {
		mine[pid] = true
		p, err := readStat(pid)
		if err != nil {
			break
		}
		pid = p.ppid
	}
	grouped := s.cgroups.members()
	found := make(map[kin]string)
	var all []procStat
	owner := make(map[int]string) // by pid and session
	for _, pid := range pids {
		p, err := readStat(pid)
		if err != nil || p.dead() || mine[pid] {
			continue
		}
		all = append(all, p)
		name, ok := byKin[p.kin]
		if !ok && grouped[pid] != "" {
			if name, ok = grouped[pid], true; kept[name] != "" {
				name = ours
			}
		}
		if !ok {
			env := envOf(pid, "DSAT_RUN", "DSAT_INSTANCE", "DSAT_INCARNATION")
			name, ok = env[1], env[0] == s.runDir && env[1] != ""
			if ok && env[2] == kept[name] {
				name = ours
			}
		}
		if ok {
			owner[pid] = name
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			name := owner[p.sid]
			if name == "" {
				name = owner[p.ppid]
			}
			if name != "" && owner[p.pid] == "" {
				owner[p.pid] = name
				grown = true
			}
		}
	}
	for _, p := range all {
		if name := owner[p.pid]; name != "" && name != ours {
			found[p.kin] = name
		}
	}
	return found
}

func shootAll(found map[kin]string, sig unix.Signal) {
	for k := range found {
		shoot(k, sig)
	}
}

// await returns when all are gone, the time is over, or somebody is in a hurry. They are not our children: a pidfd tells.
func await(hurried <-chan struct{}, found map[kin]string, within time.Duration) {
	end := time.Now().Add(within)
	for k := range found {
		fd, err := unix.PidfdOpen(k.pid, 0)
		if err != nil {
			continue
		}
		for startTime(k.pid) == k.start && time.Now().Before(end) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(poll, 50); n > 0 && err == nil {
				break
			}
			select {
			case <-hurried:
				end = time.Now()
			default:
			}
		}
		unix.Close(fd)
	}
}
