package supervisor

import (
	"fmt"
	"strings"
)

// What a stage knows of groups, recycling and ends for good.

func (s *stage) watch(l *life) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.actor(l)
	a.watched++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.watched--
	}
}

// recycle is the satellite's turn, which comes when it comes.
func (s *stage) recycle(*instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns++
}

func (s *stage) failed(_ *instance, _ Exit, because string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if s.patience > 0 && s.failures > s.patience {
		return "its group gave up: " + because
	}
	return ""
}

func (s *stage) ended(i *instance, well bool, _ Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := i.status.Load(); st.State != Exited && st.State != Fatal || well != st.Success {
		s.wrong = fmt.Sprintf("ended well=%v in %+v", well, *st)
	}
}

// upkeepOf does one of these things. The stage's lock is held.
func (s *stage) upkeepOf(what int, i *instance, last *actor) string {
	switch what {
	case 17:
		if last != nil {
			i.post(event{kind: evWorn, inc: last.inc, cause: "it is old"})
		}
		return "worn"
	case 18:
		if s.turns > 0 {
			s.turns--
			i.post(event{kind: evRenew})
		}
		return "renew"
	}
	s.gate = groupDown
	i.post(event{kind: evCede, cause: "y:0 failed", wait: &waiter{goal: goalVoid, tell: func(Result) { s.void() }}})
	return "cede"
}

const groupDown = "its group is down"

// void is told when an instance that ceded has no process: there must be none.
func (s *stage) void() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate == groupDown && s.alive() > 0 {
		s.wrong = "it is void, and has a process"
	}
}

// checkUpkeep is what holds after every event. The stage's lock is held.
func (s *stage) checkUpkeep(i *instance, st *InstanceStatus, fail func(string, ...any)) {
	if s.wrong != "" {
		fail("%s", s.wrong)
	}
	if s.turns > len(s.lives) {
		fail("%d turns were asked for", s.turns)
	}
	if st.State == Running && i.life.worn != "" && s.turns == 0 {
		fail("it is worn, and nobody replaces it")
	}
	if byGroup := strings.HasPrefix(st.Why, "its group"); st.State == Fatal && (i.spec.Restart.Retry > 0 && !byGroup) == st.Due.IsZero() {
		fail("its retry is at %s", st.Due)
	}
	for _, a := range s.lives {
		if a.watched != 0 && (a.watched != 1 || a.dead || !a.spawned) {
			fail("it is watched %d times", a.watched)
		}
	}
}
