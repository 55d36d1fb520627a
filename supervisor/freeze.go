package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Freeze holds everything still, so that another program can be executed in this one's place: nothing is forked, no exit is
// collected, no output is read, no instance moves. It waits for what is under way; when that does not end before the context does, the
// error tells what it is, and nothing is frozen. Processes notice nothing: their exits wait as zombies, their output in its pipes.
func (s *Supervisor) Freeze(ctx context.Context) error {
	if s.stage.Load() != running {
		return errClosed
	}
	for {
		why := s.tryFreeze(ctx)
		if why == "" {
			return nil
		}
		s.Thaw()
		select {
		case <-ctx.Done():
			return errors.New("cannot hold the processes still: " + why)
		case <-time.After(freezeLook):
		}
	}
}

// freezeLook is between two attempts: what is in the way is a matter of milliseconds, or of a stop or helper with a deadline of its own.
const freezeLook = 20 * time.Millisecond

// tryFreeze goes from the causes to the effects, so that nothing is lost between: forks, exits, output, then the instances. It returns
// what is in the way.
func (s *Supervisor) tryFreeze(ctx context.Context) (why string) {
	if err := s.forks.freeze(ctx); err != nil {
		return "a process is being forked"
	}
	if why := s.helpers(); why != "" {
		return why
	}
	s.reaper.freeze(true)
	if s.reaper.alive(ctx) != nil {
		return "the loop that waits for children does not answer"
	}
	s.output.gate.Lock()
	s.output.frozen = true
	if !s.sweeper.idle() {
		return "what a process left behind is being ended"
	}
	if err := s.turns.freeze(ctx); err != nil {
		return "an instance is changing its state"
	}
	for _, sat := range s.roster().satellites {
		if len(sat.turn) > 0 {
			return fmt.Sprintf("a restart or scaling of %s is under way", sat.spec.Name)
		}
	}
	for _, i := range s.everyone() {
		if why := i.unsettled(); why != "" {
			return fmt.Sprintf("%s %s", i.ref, why)
		}
	}
	s.logs.Settle(ctx)
	if ping(ctx, s.graves.sync) != nil || ctx.Err() != nil {
		return "the disk of the logs does not take what was written"
	}
	return ""
}

// Thaw lets everything go on after Freeze; what was held happens now.
func (s *Supervisor) Thaw() {
	s.turns.thaw(s.crew)
	if s.output.frozen {
		s.output.frozen = false
		s.output.gate.Unlock()
	}
	s.reaper.freeze(false)
	s.forks.thaw()
}

// helpers names a program that runs beside the instances: its end would be told to nobody.
func (s *Supervisor) helpers() string {
	s.errands.mu.Lock()
	defer s.errands.mu.Unlock()
	for e := range s.errands.open {
		e.mu.Lock()
		under := e.pid != 0 && !e.over
		e.mu.Unlock()
		if under {
			return fmt.Sprintf("%s is under way for %s", e.task.argv[0], e.task.ref)
		}
	}
	return ""
}

// unsettled tells why an instance cannot be handed over as it is. Its owner does not run.
func (i *instance) unsettled() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.life
	switch {
	case i.busy:
		return "is changing its state"
	case i.state == Stopping:
		return i.why
	case l != nil && l.pid != 0 && !l.spawned:
		return "is being spawned"
	case l != nil && l.spawned && l.exited && !l.swept:
		return "has ended, and what it left behind has not"
	}
	return ""
}

// turnstile counts the owners at work, and can hold those that come.
type turnstile struct {
	mu     sync.Mutex
	inside int
	shut   bool
	held   []func()
	empty  chan struct{} // closed when nobody is inside; nil: nobody waits for that
}

// run lets an owner work, now or after the thaw; false: the crew has gone home.
func (t *turnstile) run(c *crew, turn func()) bool {
	t.mu.Lock()
	if t.shut {
		t.held = append(t.held, turn)
		t.mu.Unlock()
		return true
	}
	t.inside++
	t.mu.Unlock()
	if !c.run(func() {
		defer t.leave()
		turn()
	}) {
		t.leave()
		return false
	}
	return true
}

func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside--; t.inside == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// freeze returns when nobody is inside, and nobody comes in any more.
func (t *turnstile) freeze(ctx context.Context) error {
	t.mu.Lock()
	t.shut = true
	if t.inside == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	empty := t.empty
	t.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turnstile) thaw(c *crew) {
	t.mu.Lock()
	held := t.held
	t.held, t.shut = nil, false
	t.mu.Unlock()
	for _, turn := range held {
		t.run(c, turn)
	}
}

// freeze returns when no fork is under way, and none begins any more.
func (q *spawnQueue) freeze(ctx context.Context) error {
	q.mu.Lock()
	q.frozen = true
	if q.forking == 0 {
		q.mu.Unlock()
		return nil
	}
	if q.still == nil {
		q.still = make(chan struct{})
	}
	still := q.still
	q.mu.Unlock()
	select {
	case <-still:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *spawnQueue) thaw() {
	q.mu.Lock()
	q.frozen = false
	todo := len(q.todo)
	q.mu.Unlock()
	for range min(todo, spawners) {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// forked: one fork has ended. The lock is held.
func (q *spawnQueue) forked() {
	if q.forking--; q.forking == 0 && q.still != nil {
		close(q.still)
		q.still = nil
	}
}

// freeze leaves exits where they are; or no longer.
func (r *reaper) freeze(on bool) {
	r.mu.Lock()
	r.frozen = on
	r.mu.Unlock()
	if !on {
		select {
		case r.thawed <- struct{}{}:
		default:
		}
	}
}

// idle: nobody waits for the end of what a process left behind.
func (s *sweeper) idle() bool {
	s.looking.Lock()
	defer s.looking.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)+len(s.fresh)+len(s.purge) == 0
}
