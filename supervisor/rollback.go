package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dsat/dsat/topology"
)

// back makes everything as it was before: what is new goes, what was changed gets its former entry and is renewed once more, what
// was stopped is started. Its error says what it could not make as it was.
func (a *applying) back(ctx context.Context) error {
	var errs []error
	if a.wide != nil {
		errs = append(errs, a.withdraw(ctx))
	} else {
		a.s.goOver(a.from) // nothing is leaving any more
	}
	for _, name := range a.touched {
		errs = append(errs, a.restore(ctx, a.from.byName[name]))
	}
	errs = append(errs, a.revive(ctx))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not all is as it was before: %w", err)
	}
	return nil
}

// withdraw ends what is new, and goes back to the former topology.
func (a *applying) withdraw(ctx context.Context) error {
	var names []string
	discard, moved := map[string]bool{}, map[string]string{}
	for _, c := range a.plan.Of(topology.Added, topology.Renamed) {
		names = append(names, c.Name)
		if c.Verdict == topology.Renamed {
			moved[c.Name] = c.From
		} else {
			discard[c.Name] = true
		}
	}
	if err := a.stop(ctx, a.wide, names); err != nil {
		return err // what still runs stays in sight
	}
	err := a.stage(ctx, a.plan.Old, moved, discard)
	a.s.goOver(a.from)
	a.s.retire(a.wide, a.from)
	return err
}

// restore gives a satellite its former entry, and its former number of instances.
func (a *applying) restore(ctx context.Context, sat *satellite) error {
	a.note("%s is made as it was", sat.spec.Name)
	before := a.before[sat.spec.Name]
	restart := slices.ContainsFunc(a.plan.Satellites, func(c topology.Change) bool { return c.Name == sat.spec.Name && c.Restart })
	if !restart {
		if !a.s.take(ctx, sat) {
			return ctx.Err()
		}
		for _, i := range sat.all {
			i.post(event{kind: evSpec, spec: sat.spec})
		}
		sat.give()
	} else if err := a.renewAll(ctx, sat, before); err != nil {
		return err
	}
	if len(sat.instances()) != len(before) {
		return a.scale(ctx, sat.spec.Name, len(before))
	}
	return nil
}

// renewAll renews those that have another entry, and does not stop at one that fails.
func (a *applying) renewAll(ctx context.Context, sat *satellite, before []*instance) error {
	if !a.s.take(ctx, sat) {
		return ctx.Err()
	}
	defer sat.give()
	var errs []error
	for _, i := range sat.all {
		if !slices.Contains(before, i) {
			i.post(event{kind: evSpec, spec: sat.spec})
		}
	}
	for _, i := range before {
		if !a.wanted[i.ref] {
			i.post(event{kind: evSpec, spec: sat.spec})
			if st := i.status.Load(); st.Want == Up {
				i.post(event{kind: evStop})
			}
			continue
		}
		// One that was never reached has the process it had.
		if a.reached(i) {
			errs = append(errs, a.firmly(ctx, i, event{kind: evSpec, spec: sat.spec, anew: true}, a.within(sat.spec.Name)))
		}
	}
	return errors.Join(errs...)
}

// reached: it was told to go over to its new entry.
func (a *applying) reached(i *instance) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.results, func(r Result) bool { return r.Ref == i.ref })
}

// revive starts what was stopped to be renamed or removed.
func (a *applying) revive(ctx context.Context) error {
	var all []*instance
	for _, c := range a.plan.Of(topology.Renamed, topology.Removed) {
		name := c.Name
		if c.Verdict == topology.Renamed {
			name = c.From
		}
		for _, i := range a.before[name] {
			if st := i.status.Load(); a.wanted[i.ref] && st.Want == Down {
				all = append(all, i)
			}
		}
	}
	a.s.order.intend(all)
	for _, i := range all {
		i.post(event{kind: evStart})
	}
	var errs []error
	for _, i := range all {
		errs = append(errs, a.firmly(ctx, i, event{kind: evAwait}, a.within(i.ref.Name)))
	}
	return errors.Join(errs...)
}

// retire lets go of satellites that one roster has and the other has not. Should one of the same name come again, its incarnations
// go on from here: no two lives of a name have the same number.
func (s *Supervisor) retire(had, has *roster) {
	for _, sat := range had.satellites {
		if has.byName[sat.spec.Name] != nil {
			continue
		}
		for _, i := range sat.instances() {
			s.floor.Store(max(s.floor.Load(), i.status.Load().Inc.Spawn()))
			s.record.wakes(i.ref)
			s.cgroups.drop(i.ref)
		}
	}
}
