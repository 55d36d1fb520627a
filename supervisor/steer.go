package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/dsat/dsat/topology"
)

// Boot starts everything that starts by itself, in the order of needs and after, and returns when all is settled: running, ended well,
// or failed for good; the latter, and those that wait for them, are joined in the error. It also returns when the context ends;
// what was begun goes on.
func (s *Supervisor) Boot(ctx context.Context) error {
	var all []*instance
	for _, sat := range s.roster().satellites {
		if sat.spec.Autostart {
			all = append(all, sat.instances()...)
		}
	}
	var resigned []*instance
	if s.estate.given {
		all = s.estate.starts(s)
	} else {
		all, resigned = s.wakeful(all)
	}
	s.order.intend(all)
	s.table.permit(true)
	all = s.sleepers(all)
	s.boot.begin(all, s.roster().topology.Daemon.StartConcurrency, s.adopted, s.now())
	results := append(s.wait(ctx, resigned, evAwait, goalUp), s.wait(ctx, all, evStart, goalUp)...)
	s.boot.end(s.now())
	var errs []error
	for _, r := range results {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Ref, r.Err))
		}
	}
	return errors.Join(errs...)
}

// Start starts instances and waits until they are ready, have failed for good, or the context ends.
func (s *Supervisor) Start(ctx context.Context, refs []topology.Ref) ([]Result, error) {
	all, err := s.resolve(refs)
	if err != nil {
		return nil, err
	}
	s.order.intend(all)
	return s.wait(ctx, all, evStart, goalUp), ctx.Err()
}

// Stop stops instances and waits until nothing is left of them or the context ends; then the stop goes on.
func (s *Supervisor) Stop(ctx context.Context, refs []topology.Ref) ([]Result, error) {
	all, err := s.resolve(refs)
	if err != nil {
		return nil, err
	}
	return s.wait(ctx, all, evStop, goalDown), ctx.Err()
}

// Restart restarts instances, one at a time of each satellite, and waits until each is ready. It does not go on to the next when one
// did not become ready. When the context ends it returns, and the restart goes on.
func (s *Supervisor) Restart(ctx context.Context, refs []topology.Ref) ([]Result, error) {
	all, err := s.resolve(refs)
	if err != nil {
		return nil, err
	}
	byName := s.roster().byName
	groups := make(map[*satellite][]*instance)
	for _, i := range all {
		sat := byName[i.ref.Name]
		groups[sat] = append(groups[sat], i)
	}
	var mu sync.Mutex
	results := make(map[topology.Ref]Result, len(all))
	var rolls sync.WaitGroup
	for sat, group := range groups {
		rolls.Add(1)
		if !s.crew.run(func() {
			defer rolls.Done()
			s.roller(sat, group, func(r Result) {
				mu.Lock()
				results[r.Ref] = r
				mu.Unlock()
			})
		}) {
			rolls.Done()
		}
	}
	finished := make(chan struct{})
	if !s.crew.run(func() { rolls.Wait(); close(finished) }) {
		return nil, errClosed
	}
	select {
	case <-finished:
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	ordered := make([]Result, 0, len(all))
	for _, i := range all {
		r, ok := results[i.ref]
		if !ok {
			r = i.result(fmt.Errorf("was not finished in time and goes on: %w", ctx.Err()))
		}
		ordered = append(ordered, r)
	}
	return ordered, ctx.Err()
}

var errClosed = errors.New("the supervisor has ended")

// roller restarts one after the other.
func (s *Supervisor) roller(sat *satellite, group []*instance, tell func(Result)) {
	if !s.take(context.Background(), sat) {
		for _, i := range group {
			tell(i.result(errClosed))
		}
		return
	}
	defer sat.give()
	for n, i := range group {
		w := &waiter{goal: goalUp, reply: make(chan Result, 1)}
		i.post(event{kind: evRestart, wait: w})
		r := s.await(context.Background(), i, w.reply)
		tell(r)
		if r.Err != nil {
			for _, rest := range group[n+1:] {
				tell(rest.result(fmt.Errorf("was left alone, because %s did not become ready", i.ref)))
			}
			return
		}
	}
}

// take waits for a satellite's turn.
func (s *Supervisor) take(ctx context.Context, sat *satellite) bool {
	select {
	case sat.turn <- struct{}{}:
		return true
	case <-s.stopped:
	case <-ctx.Done():
	}
	return false
}

func (s *slots) give() { <-s.turn }

// Scale changes the number of instances of a satellite, and waits until the new ones are ready, or nothing is left of the old ones;
// those with the highest numbers go. When the context ends it returns, and the change goes on.
func (s *Supervisor) Scale(ctx context.Context, name string, n int) ([]Result, error) {
	sat := s.roster().byName[name]
	if sat == nil {
		return nil, &NotFound{Name: name, Suggest: s.suggest(name)}
	}
	if n < 0 {
		return nil, fmt.Errorf("cannot scale %s to %d: want 0 or more", name, n)
	}
	if !s.take(ctx, sat) {
		return nil, fmt.Errorf("cannot scale %s: a restart or another scaling of it is not finished: %w", name, errors.Join(ctx.Err()))
	}
	now := sat.instances()
	if n >= len(now) {
		list := slices.Clone(now)
		for wid := len(now); wid < n; wid++ {
			list = append(list, s.instance(sat, wid))
		}
		fresh := list[len(now):]
		s.order.intend(fresh)
		sat.list.Store(&list)
		s.record.scaled(name, scaling{n, sat.spec.Instances})
		sat.give()
		return s.wait(ctx, fresh, evStart, goalUp), ctx.Err()
	}
	going := slices.Clone(now[n:])
	kept := slices.Clone(now[:n])
	done := make(chan []Result, 1)
	if !s.crew.run(func() {
		defer sat.give()
		results := s.leave(context.Background(), going)
		sat.list.Store(&kept)
		s.record.scaled(name, scaling{n, sat.spec.Instances})
		done <- results
	}) {
		sat.give()
		return nil, errClosed
	}
	select {
	case results := <-done:
		return results, nil
	case <-ctx.Done():
		return results(going, ctx.Err()), ctx.Err()
	}
}

// Signal sends a signal to the processes, not to their groups.
func (s *Supervisor) Signal(refs []topology.Ref, sig syscall.Signal) ([]Result, error) {
	all, err := s.resolve(refs)
	if err != nil {
		return nil, err
	}
	out := make([]Result, 0, len(all))
	for _, i := range all {
		r := i.result(nil)
		if err := s.byHand(i, r.PID, sig); err != nil {
			r.Err = fmt.Errorf("cannot signal %s: %w", i.ref, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (s *Supervisor) resolve(refs []topology.Ref) ([]*instance, error) {
	all := make([]*instance, 0, len(refs))
	for _, ref := range refs {
		i := s.find(ref)
		if i == nil {
			return nil, &NotFound{Name: ref.String(), Suggest: s.suggest(ref.String())}
		}
		all = append(all, i)
	}
	return all, nil
}

// wait posts an event to all at once, and waits for the goal of each.
func (s *Supervisor) wait(ctx context.Context, all []*instance, kind eventKind, g goal) []Result {
	return s.bid(ctx, all, event{kind: kind}, g)
}

// leave stops those that the topology, or its number of instances, has no place for any more; nobody has to remember that.
func (s *Supervisor) leave(ctx context.Context, all []*instance) []Result {
	return s.bid(ctx, all, event{kind: evStop, leaving: true}, goalDown)
}

func (s *Supervisor) bid(ctx context.Context, all []*instance, e event, g goal) []Result {
	replies := make([]chan Result, len(all))
	for n, i := range all {
		replies[n] = make(chan Result, 1)
		e.wait = &waiter{goal: g, reply: replies[n]}
		i.post(e)
	}
	out := make([]Result, 0, len(all))
	for n, i := range all {
		out = append(out, s.await(ctx, i, replies[n]))
	}
	return out
}

// await prefers the reply, also when the context has ended as well.
func (s *Supervisor) await(ctx context.Context, i *instance, reply <-chan Result) Result {
	var err error
	select {
	case r := <-reply:
		return r
	case <-ctx.Done():
		err = fmt.Errorf("is not finished and goes on: %s (%w)", i.status.Load().Why, ctx.Err())
	case <-s.stopped:
		err = errClosed
	}
	select {
	case r := <-reply:
		return r
	default:
		return i.result(err)
	}
}

func results(all []*instance, err error) []Result {
	out := make([]Result, 0, len(all))
	for _, i := range all {
		out = append(out, i.result(err))
	}
	return out
}

func (i *instance) result(err error) Result {
	st := i.status.Load()
	return Result{Ref: i.ref, State: st.State, PID: st.PID, Err: err}
}
