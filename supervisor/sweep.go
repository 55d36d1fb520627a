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
	spent map[int]bool    // sessions of errands that ended: what is left in them is killed

	wake chan struct{}

	looking sync.Mutex // guards what follows
	looked  time.Time
	waiting map[*life]map[kin]bool // what is known to be its own; true: was signalled
	unknown map[kin]time.Time      // since when there are strangers nobody can be named for; zero when it was said
}

// glance is how often leftovers are looked for again when the kernel told of no exit: those that are not our children yet.
const glance = 50 * time.Millisecond

// crowd is how close exits have to follow each other to be looked after together.
const crowd = 2 * time.Millisecond

func newSweeper(runDir string, log *slog.Logger, swept func(*life)) *sweeper {
	return &sweeper{
		runDir: runDir, log: log, swept: swept, wake: make(chan struct{}, 1),
		waiting: make(map[*life]map[kin]bool), unknown: make(map[kin]time.Time),
	}
}

// check asks to be told, through swept, when nothing is left of a life whose process was reaped. A single exit is looked after here
// and now, which saves its replacement the way over the loop; in a crowd one look of the loop is for many.
func (s *sweeper) check(l *life) {
	s.mu.Lock()
	s.fresh = append(s.fresh, l)
	s.mu.Unlock()
	if s.looking.TryLock() {
		alone := time.Since(s.looked) > crowd
		pending := !alone || s.look()
		s.looking.Unlock()
		if !pending {
			return
		}
	}
	s.nudge()
}

// later is check without a look here and now.
func (s *sweeper) later(l *life) {
	s.mu.Lock()
	s.fresh = append(s.fresh, l)
	s.mu.Unlock()
	s.nudge()
}

// discard kills what an errand has left behind in its session. What has left that, too, carries the name of an instance and ends with it.
func (s *sweeper) discard(sid int) {
	s.mu.Lock()
	if s.spent == nil {
		s.spent = make(map[int]bool)
	}
	s.spent[sid] = true
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
		s.looking.Lock()
		if s.look() {
			timer.Reset(glance)
		}
		s.looking.Unlock()
	}
}

// look reports whether something is still waited for.
func (s *sweeper) look() bool {
	defer func() { s.looked = time.Now() }()
	s.mu.Lock()
	for _, l := range s.fresh {
		s.waiting[l] = make(map[kin]bool)
		for _, k := range l.kin {
			s.waiting[l][k] = false
		}
	}
	s.fresh = nil
	purge, spent := s.purge, s.spent
	s.spent = nil
	s.mu.Unlock()
	if len(s.waiting) == 0 && len(purge) == 0 && len(spent) == 0 {
		return false
	}
	left, err := s.strangers()
	if err != nil {
		s.log.Error("cannot list what was left behind; will try again", "error", err)
		return true
	}
	cleared := s.clear(left, spent)
	owned, doubt := s.attribute(left)
	owned = s.distant(owned)
	for l := range s.waiting {
		alive, sure := l.cgroup.living(owned[l])
		if len(alive) == 0 {
			if !sure && (doubt || l.cgroup != nil) {
				continue
			}
			delete(s.waiting, l)
			s.swept(l)
			continue
		}
		s.end(l, alive)
	}
	return s.purgeAll(purge, left) || len(s.waiting) > 0 || !cleared
}

// clear kills those of ended errands, whose sessions are looked at again until there are none. One that bears the name of an instance
// is waited for by that as well.
func (s *sweeper) clear(left []procStat, spent map[int]bool) (cleared bool) {
	cleared = true
	for _, p := range left {
		if !spent[p.sid] {
			continue
		}
		for _, k := range append(descendants(p.pid), p.kin) {
			shoot(k, unix.SIGKILL)
		}
		s.discard(p.sid)
		cleared = false
	}
	return cleared
}

// strangers are our living children that no instance has. One that died since they were listed may have left us children of its own:
// then they are listed again.
func (s *sweeper) strangers() ([]procStat, error) {
	dead := make(map[kin]bool)
	for {
		pids, err := s.reaper.strangers(func() ([]int, error) { return children(os.Getpid()) })
		if err != nil {
			return nil, err
		}
		var left []procStat
		settled := true
		for _, pid := range pids {
			p, err := readStat(pid)
			switch {
			case err != nil:
				settled = false
			case !p.dead():
				left = append(left, p)
			case !dead[p.kin]:
				dead[p.kin], settled = true, false
			}
		}
		if settled {
			return left, nil
		}
	}
}

// attribute finds whose they are: by session and group, by what was seen before, by the environment they were given. doubt: one is
// dying and cannot tell any more, nor have its children come to us yet; it has to be waited for.
func (s *sweeper) attribute(left []procStat) (owned map[*life][]procStat, doubt bool) {
	if len(left) == 0 || len(s.waiting) == 0 {
		return nil, false
	}
	byPID, byRef, byKin := map[int]*life{}, map[string]*life{}, map[kin]*life{}
	for l, known := range s.waiting {
		byPID[l.pid], byPID[l.mainPID()] = l, l
		if l.escort != nil && l.escort.session() != 0 {
			byPID[l.escort.session()] = l
		}
		byRef[l.of.ref.String()] = l
		for k := range known {
			byKin[k] = l
		}
	}
	owned = map[*life][]procStat{}
	for _, p := range left {
		l := byKin[p.kin]
		if l == nil {
			l = byPID[p.sid]
		}
		if l == nil {
			l = byPID[p.pgid]
		}
		if l == nil {
			var dying bool
			l, dying = s.ask(p, byRef)
			doubt = doubt || dying
		}
		if l != nil {
			owned[l] = append(owned[l], p)
		}
	}
	return owned, doubt
}

// ask reads whose a stranger is from its environment.
func (s *sweeper) ask(p procStat, byRef map[string]*life) (l *life, dying bool) {
	env := envOf(p.pid, "DSAT_RUN", "DSAT_INSTANCE")
	if env[0] == s.runDir && env[1] != "" {
		return byRef[env[1]], false
	}
	now, err := readStat(p.pid)
	if err != nil || !now.memory || now.kin != p.kin {
		return nil, true
	}
	if env[0] == "" {
		s.wonder(p)
	}
	return nil, false
}

// wonder tells, once, of a process that hides whose it is. One that is just being spawned looks so too, for a moment.
func (s *sweeper) wonder(p procStat) {
	since, seen := s.unknown[p.kin]
	switch {
	case !seen:
		s.unknown[p.kin] = time.Now()
	case !since.IsZero() && time.Since(since) > time.Second:
		s.unknown[p.kin] = time.Time{}
		s.log.Warn("a process was left behind that hides whose it is; it ends with the daemon", "pid", p.pid, "name", p.name)
	}
}

// end asks or kills what is left of one life, with all below it.
func (s *sweeper) end(l *life, left []procStat) {
	hard, known := l.hard.Load(), s.waiting[l]
	if hard && l.cgroup != nil {
		l.cgroup.kill()
	}
	for _, p := range left {
		for _, k := range append(descendants(p.pid), p.kin) {
			if hard {
				shoot(k, unix.SIGKILL)
			} else if !known[k] {
				shoot(k, l.spec.Stop.Signal)
			}
			known[k] = true
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
