package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// ApplyOptions says how a plan is carried out, and what others have to do meanwhile.
type ApplyOptions struct {
	Keep    bool            // what has failed stays as it is; otherwise everything goes back to what it was
	Timeout time.Duration   // for each instance to become ready; 0: as long as its own deadlines allow
	Settle  time.Duration   // what counts as ready with its exec alone has to live so long
	Discard map[string]bool // satellites that are removed with what waits for them

	// Stage goes over to a topology outside the supervisor, all of it or nothing. moved maps former names to new ones.
	Stage func(ctx context.Context, next *topology.Topology, moved map[string]string, discard map[string]bool) error
	// Empty returns when nothing waits for a satellite any more that nobody feeds; the error says that it cannot come to that.
	Empty func(ctx context.Context, name string) error
	// Note tells what is being done, a sentence each; must not block.
	Note func(text string)
}

// Applied is what became of a plan.
type Applied struct {
	Back    bool // everything is as it was before
	Results []Result
}

// ErrHalted is the end of an Apply whose context has ended: what was begun stays as it is.
var ErrHalted = errors.New("was cut short, because dsatd stops")

// Apply makes the supervisor keep another topology: new and changed satellites by needs, each instance ready (and healthy, where it
// has checks) before the next, then what changes without a restart, then what is removed, emptied and stopped against the order.
// Unchanged satellites are not touched. When a step fails, all before it are undone, and the error says why. A satellite that was
// stopped by hand stays stopped. The context is that of the daemon: it ends when dsatd stops, and then nothing is undone. Only one
// Apply may be under way.
func (s *Supervisor) Apply(ctx context.Context, p *topology.Plan, opt ApplyOptions) (Applied, error) {
	a := &applying{s: s, plan: p, opt: opt, from: s.roster(), before: make(map[string][]*instance), wanted: make(map[topology.Ref]bool)}
	for _, sat := range a.from.satellites {
		a.before[sat.spec.Name] = sat.instances()
		for _, i := range sat.instances() {
			a.wanted[i.ref] = i.status.Load().Want == Up
		}
	}
	defer func() { s.sockets.retain(s.roster().topology) }()
	err := a.forward(ctx)
	switch {
	case err == nil:
		return Applied{Results: a.results}, nil
	case ctx.Err() != nil:
		return Applied{Results: a.results}, ErrHalted
	case opt.Keep && a.wide != nil:
		return Applied{Results: a.results}, err
	}
	a.note("goes back: %v", err)
	return Applied{Back: true, Results: a.results}, errors.Join(err, a.back(ctx))
}

// applying is one Apply at work.
type applying struct {
	s    *Supervisor
	plan *topology.Plan
	opt  ApplyOptions

	from   *roster
	wide   *roster                // with the new beside the old; nil: not there yet
	before map[string][]*instance // by satellite of from
	wanted map[topology.Ref]bool  // up, before

	mu      sync.Mutex
	results []Result
	touched []string          // changed satellites that were begun with
	firm    map[*instance]int // instances that became ready, and their restarts then
}

func (a *applying) note(format string, args ...any) {
	if a.opt.Note != nil {
		a.opt.Note(fmt.Sprintf(format, args...))
	}
}

func (a *applying) forward(ctx context.Context) error {
	for _, step := range []func(context.Context) error{a.part, a.widen, a.raise, a.settle, a.narrow, a.clear, a.finish} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// part stops those that will have another name.
func (a *applying) part(ctx context.Context) error {
	var names []string
	for _, c := range a.plan.Of(topology.Renamed) {
		a.note("%s becomes %s", c.From, c.Name)
		names = append(names, c.From)
	}
	return a.stop(ctx, a.from, names)
}

// stop ends satellites for good, each after those that need or feed it.
func (a *applying) stop(ctx context.Context, r *roster, names []string) error {
	a.s.order.leave(names)
	for _, group := range stopOrder(r.topology, names) {
		var all []*instance
		for _, name := range group {
			all = append(all, r.byName[name].instances()...)
		}
		for _, res := range a.s.leave(ctx, all) {
			a.tell(res)
			if res.Err != nil {
				return fmt.Errorf("cannot stop %s: %w", res.Ref, res.Err)
			}
		}
	}
	return nil
}

// stopOrder is names in the order of stopping; those of one element together.
func stopOrder(t *topology.Topology, names []string) [][]string {
	var out [][]string
	found := circles(t)
	done := make([]bool, len(found))
	var visit func(n int)
	visit = func(n int) {
		if done[n] {
			return
		}
		done[n] = true
		for _, before := range found[n].before {
			visit(before)
		}
		group := slices.DeleteFunc(slices.Clone(found[n].names), func(name string) bool { return !slices.Contains(names, name) })
		if len(group) > 0 {
			out = append(out, group)
		}
	}
	for n := range found {
		visit(n)
	}
	return out
}

// widen puts the new beside the old.
func (a *applying) widen(ctx context.Context) error {
	t := a.plan.Wide()
	if err := a.stage(ctx, t, a.plan.Moved(), nil); err != nil {
		return err
	}
	wide := newRoster(t)
	for _, spec := range t.Satellites {
		if was := a.from.byName[spec.Name]; was != nil {
			wide.add(&satellite{spec: spec, slots: was.slots})
		} else {
			wide.add(a.s.newSatellite(spec))
		}
	}
	a.wide = wide
	a.s.goOver(wide)
	return nil
}

// goOver makes a roster the present one.
func (s *Supervisor) goOver(r *roster) {
	s.present.Store(r)
	s.order.replan(r.topology)
	s.groups.reconsider()
	s.table.nudge()
	s.eyes.follow(r.topology)
}

func (a *applying) stage(ctx context.Context, t *topology.Topology, moved map[string]string, discard map[string]bool) error {
	if a.opt.Stage == nil {
		return nil
	}
	return a.opt.Stage(ctx, t, moved, discard)
}

// raise brings up what is new and renews what has changed, by needs; what does not need each other at once.
func (a *applying) raise(ctx context.Context) error {
	todo := make(map[string]topology.Change)
	for _, c := range a.plan.Of(topology.Added, topology.Renamed, topology.Changed) {
		if c.Verdict != topology.Changed || c.Restart {
			todo[c.Name] = c
		}
	}
	a.firm = make(map[*instance]int)
	for _, layer := range a.plan.New.Order() {
		var wg sync.WaitGroup
		errs := make([]error, len(layer))
		for n, name := range layer {
			if c, ok := todo[name]; ok {
				wg.Go(func() { errs[n] = a.raiseOne(ctx, c) })
			}
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) raiseOne(ctx context.Context, c topology.Change) error {
	sat := a.wide.byName[c.Name]
	if c.Verdict == topology.Changed {
		a.mu.Lock()
		a.touched = append(a.touched, c.Name)
		a.mu.Unlock()
		a.note("%s is renewed", c.Name)
		return a.renew(ctx, sat, a.before[c.Name], a.within(c.Name))
	}
	up := sat.spec.Autostart
	if c.Verdict == topology.Renamed {
		up = slices.ContainsFunc(a.before[c.From], func(i *instance) bool { return a.wanted[i.ref] })
	}
	if !up {
		return nil
	}
	a.note("%s is started", c.Name)
	all := sat.instances()
	a.s.order.intend(all)
	all = a.s.sleepers(all)
	for _, i := range all {
		i.post(event{kind: evStart})
	}
	for _, i := range all {
		if err := a.firmly(ctx, i, event{kind: evAwait}, a.within(c.Name)); err != nil {
			return err
		}
	}
	return nil
}

// renew gives the instances of a satellite its new entry, one after the other, each ready before the next.
func (a *applying) renew(ctx context.Context, sat *satellite, running []*instance, within time.Duration) error {
	if !a.s.take(ctx, sat) {
		return fmt.Errorf("cannot change %s: a restart or a scaling of it is not finished", sat.spec.Name)
	}
	defer sat.give()
	for _, i := range sat.all {
		if !slices.Contains(running, i) {
			i.post(event{kind: evSpec, spec: sat.spec})
		}
	}
	for _, i := range running {
		if st := i.status.Load(); st.Want == Down && st.State != Exited && st.State != Fatal {
			i.post(event{kind: evSpec, spec: sat.spec, anew: true})
			continue
		}
		if err := a.firmly(ctx, i, event{kind: evSpec, spec: sat.spec, anew: true}, within); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) tell(r Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.results = append(slices.DeleteFunc(a.results, func(o Result) bool { return o.Ref == r.Ref }), r)
}

// within is how long an instance may take from one process to the next that is ready: drain, stop, kill, start, checks.
func (a *applying) within(name string) time.Duration {
	if a.opt.Timeout > 0 {
		return a.opt.Timeout
	}
	const grace = 10 * time.Second
	total := grace
	for _, r := range []*roster{a.from, a.wide} {
		if r == nil || r.byName[name] == nil {
			continue
		}
		spec := r.byName[name].spec
		total += 2*spec.Stop.Deadline + spec.Ready.Deadline
		for _, c := range spec.Health {
			total += checkTime(c)
		}
	}
	return total
}

// checkTime is how long a check may take to make up its mind.
func checkTime(c *topology.Check) time.Duration {
	return time.Duration(c.Failures+c.Successes) * (c.Every + c.Deadline)
}

// narrow is the new topology in all but that what is removed is still there.
func (a *applying) narrow(ctx context.Context) error {
	t := a.plan.Narrow()
	if err := a.stage(ctx, t, nil, nil); err != nil {
		return err
	}
	r := newRoster(t)
	for _, spec := range t.Satellites {
		r.add(&satellite{spec: spec, slots: a.wide.byName[spec.Name].slots})
	}
	a.wide = r
	a.s.goOver(r)
	for _, c := range a.plan.Of(topology.Changed) {
		if err := a.liven(ctx, r.byName[c.Name], c); err != nil {
			return err
		}
	}
	return nil
}

// liven gives a satellite what dsatd alone goes by.
func (a *applying) liven(ctx context.Context, sat *satellite, c topology.Change) error {
	if !c.Restart {
		a.mu.Lock()
		a.touched = append(a.touched, c.Name)
		a.mu.Unlock()
		if !a.s.take(ctx, sat) {
			return ctx.Err()
		}
		for _, i := range sat.all {
			i.post(event{kind: evSpec, spec: sat.spec})
		}
		sat.give()
	}
	for _, k := range c.Keys {
		switch {
		case k.Key == "instances":
			a.note("%s is scaled to %d", c.Name, sat.spec.Instances)
			if err := a.scale(ctx, c.Name, sat.spec.Instances); err != nil {
				return err
			}
		case k.Key == "autostart" && sat.spec.Autostart:
			all := slices.DeleteFunc(slices.Clone(sat.instances()), func(i *instance) bool { return i.status.Load().State != Stopped })
			a.s.order.intend(all)
			for _, i := range all {
				if err := a.firmly(ctx, i, event{kind: evStart}, a.within(c.Name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *applying) scale(ctx context.Context, name string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, a.within(name))
	defer cancel()
	results, err := a.s.Scale(ctx, name, n)
	for _, r := range results {
		a.tell(r)
		if r.Err != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", r.Ref, r.Err))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot scale %s to %d: %w", name, n, err)
	}
	return nil
}

// clear empties and stops what is removed, each after those that feed it.
func (a *applying) clear(ctx context.Context) error {
	var names []string
	for _, c := range a.plan.Of(topology.Removed) {
		names = append(names, c.Name)
	}
	for _, group := range stopOrder(a.wide.topology, names) {
		for _, name := range group {
			if a.opt.Empty == nil || a.opt.Discard[name] {
				continue
			}
			if err := a.opt.Empty(ctx, name); err != nil {
				return err
			}
		}
		a.note("%s is removed", strings.Join(group, ", "))
		if err := a.stop(ctx, a.wide, group); err != nil {
			return err
		}
	}
	return nil
}

// finish is the new topology, and nothing else.
func (a *applying) finish(ctx context.Context) error {
	if err := a.stage(ctx, a.plan.New, nil, a.opt.Discard); err != nil {
		return err
	}
	r := newRoster(a.plan.New)
	for _, spec := range a.plan.New.Satellites {
		r.add(&satellite{spec: spec, slots: a.wide.byName[spec.Name].slots})
	}
	a.s.goOver(r)
	a.s.retire(a.from, r)
	return nil
}
