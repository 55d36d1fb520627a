package supervisor

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sweeper makes "stopped" mean "gone". What a dead process left behind becomes our child, because dsatd is a subreaper: so the list
// of our children, less the processes instances have, is the list of everything that was ever left behind, however often it forked
// or called setsid. One look at it serves all lives that wait for it, so that a thousand exits at once cost a few looks.
type sweeper struct {
	reaper *reaper
	runDir string
	log    *slog.Logger
	swept  func(*life) // nothing is left of it

	mu    sync.Mutex
	fresh []*life
	purge []chan struct{} // closed once we have no stranger at all; until then all are killed

	wake chan struct{}

	// What follows belongs to the loop.
	waiting map[*life]map[kin]bool // what was asked to end already
	unknown map[kin]bool           // strangers that were reported
}

// glance is how often leftovers are looked for again when the kernel told of no exit: those that are not our children yet.
const glance = 50 * time.Millisecond

func newSweeper(runDir string, log *slog.Logger, swept func(*life)) *sweeper {
	return &sweeper{
		runDir: runDir, log: log, swept: swept, wake: make(chan struct{}, 1),
		waiting: make(map[*life]map[kin]bool), unknown: make(map[kin]bool),
	}
}

// check asks to be told, through swept, when nothing is left of a life whose process was reaped.
func (s *sweeper) check(l *life) {
	s.mu.Lock()
	s.fresh = append(s.fresh, l)
	s.mu.Unlock()
	s.nudge()
}

// all kills every stranger; the channel is closed when there is none.
func (s *sweeper) all() <-chan struct{} {
	gone := make(chan struct{})
	s.mu.Lock()
	s.purge = append(s.purge, gone)
	s.mu.Unlock()
	s.nudge()
	return gone
}

func (s *sweeper) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sweeper) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		if s.look() {
			timer.Reset(glance)
		}
	}
}

// look reports whether something is still waited for.
func (s *sweeper) look() bool {
	s.mu.Lock()
	for _, l := range s.fresh {
		s.waiting[l] = nil
	}
	s.fresh = nil
	purge := s.purge
	s.mu.Unlock()
	if len(s.waiting) == 0 && len(purge) == 0 {
		return false
	}
	left, err := s.strangers()
	if err != nil {
		s.log.Error("cannot list what was left behind; will try again", "error", err)
		return true
	}
	owned := s.attribute(left)
	for l := range s.waiting {
		if len(owned[l]) == 0 {
			delete(s.waiting, l)
			s.swept(l)
			continue
		}
		s.end(l, owned[l])
	}
	return s.purgeAll(purge, left) || len(s.waiting) > 0
}

// strangers are our living children that no instance has.
func (s *sweeper) strangers() ([]procStat, error) {
	pids, err := s.reaper.strangers(func() ([]int, error) { return children(os.Getpid()) })
	if err != nil {
		return nil, err
	}
	var left []procStat
	for _, pid := range pids {
		if p, err := readStat(pid); err == nil && !p.dead() {
			left = append(left, p)
		}
	}
	return left, nil
}

// attribute finds whose they are: by session and group, by what was seen before the stop, by the environment they were given.
func (s *sweeper) attribute(left []procStat) map[*life][]procStat {
	if len(left) == 0 {
		return nil
	}
	byPID, byRef, byKin := map[int]*life{}, map[string]*life{}, map[kin]*life{}
	for l := range s.waiting {
		byPID[l.pid] = l
		byRef[l.of.ref.String()] = l
		for _, k := range l.kin {
			byKin[k] = l
		}
	}
	owned := map[*life][]procStat{}
	for _, p := range left {
		l := byKin[p.kin]
		if l == nil {
			l = byPID[p.sid]
		}
		if l == nil {
			l = byPID[p.pgid]
		}
		if l == nil {
			env := envOf(p.pid, "DSAT_RUN", "DSAT_INSTANCE")
			switch {
			case env[0] == s.runDir && env[1] != "":
				l = byRef[env[1]]
			case !s.unknown[p.kin] && p.sid == p.pid:
				s.unknown[p.kin] = true
				s.log.Warn("a process was left behind that hides whose it is; it ends with the daemon", "pid", p.pid, "name", p.name)
			}
		}
		if l != nil {
			owned[l] = append(owned[l], p)
		}
	}
	return owned
}

// end asks or kills what is left of one life, with all below it.
func (s *sweeper) end(l *life, left []procStat) {
	hard := l.hard.Load()
	for _, p := range left {
		for _, k := range append(descendants(p.pid), p.kin) {
			switch {
			case hard:
				shoot(k, unix.SIGKILL)
			case !s.waiting[l][k]:
				if s.waiting[l] == nil {
					s.waiting[l] = map[kin]bool{}
				}
				s.waiting[l][k] = true
				shoot(k, l.of.spec.Stop.Signal)
			}
		}
	}
}

func (s *sweeper) purgeAll(purge []chan struct{}, left []procStat) bool {
	if len(purge) == 0 {
		return false
	}
	for _, p := range left {
		for _, k := range append(descendants(p.pid), p.kin) {
			shoot(k, unix.SIGKILL)
		}
	}
	if len(left) > 0 {
		return true
	}
	s.mu.Lock()
	s.purge = s.purge[len(purge):]
	s.mu.Unlock()
	for _, gone := range purge {
		close(gone)
	}
	return false
}
