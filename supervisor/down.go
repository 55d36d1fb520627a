package supervisor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// StopSources stops what speaks to the bus and is fed by no link.
func (s *Supervisor) StopSources(ctx context.Context) error {
	s.table.permit(false)
	s.record.finish()
	fed, now := make(map[string]bool), s.roster()
	for _, t := range now.topology.Satellites {
		for _, name := range t.Feeds() {
			fed[name] = true
		}
	}
	var all []*instance
	for _, sat := range now.satellites {
		if messages(sat.spec) && !fed[sat.spec.Name] && !now.topology.LegacyFed(sat.spec.Name) {
			all = append(all, sat.instances()...)
		}
	}
	return unfinished(s.wait(ctx, all, evStop, goalDown))
}

// StopAll stops the rest: a satellite after all that need it, come after it, or are linked to it; those in a circle together. After
// it nothing that we ever forked lives, and nothing is started any more. When the context ends, what is left is killed, and the error names it.
func (s *Supervisor) StopAll(ctx context.Context) error {
	s.table.permit(false)
	s.record.finish()
	now := s.roster()
	layers := circles(now.topology)
	gone := make([]chan struct{}, len(layers))
	for n := range gone {
		gone[n] = make(chan struct{})
	}
	results := make([][]Result, len(layers))
	var wg sync.WaitGroup
	for n, c := range layers {
		wg.Go(func() {
			defer close(gone[n])
			for _, before := range c.before {
				<-gone[before] // every one ends: wait below ends with ctx
			}
			var all []*instance
			for _, name := range c.names {
				all = append(all, now.byName[name].instances()...)
			}
			results[n] = s.wait(ctx, all, evStop, goalDown)
		})
	}
	wg.Wait()
	var all []Result
	for _, r := range results {
		all = append(all, r...)
	}
	s.sealed.Store(true)
	// A file that changed, an age that was reached, somebody at the door may have started one anew after it was stopped.
	all = append(all, s.wait(ctx, s.everyone(), evStop, goalDown)...)
	if err := unfinished(all); err != nil {
		s.KillAll()
		return err
	}
	s.dismiss()
	s.errands.wait(ctx)
	s.purge()
	return nil
}

// KillAll kills everything now, and waits until it is gone. Nothing is started after it.
func (s *Supervisor) KillAll() {
	s.table.permit(false)
	s.record.finish()
	s.sealed.Store(true) // before the kills: what was let in until now is killed by them
	s.hurry()
	ctx, cancel := context.WithTimeout(context.Background(), purgeTime)
	defer cancel()
	s.wait(ctx, s.everyone(), evKill, goalDown)
	s.purge()
}

// purgeTime bounds the wait for what cannot be killed: a process in the kernel's uninterruptible sleep.
const purgeTime = 10 * time.Second

// purge kills what nobody claims.
func (s *Supervisor) purge() {
	ctx, cancel := context.WithTimeout(context.Background(), purgeTime)
	defer cancel()
	s.errands.close()
	s.cgroups.kill()
	s.errands.wait(ctx)
	select {
	case <-s.sweeper.all():
	case <-s.over:
	case <-ctx.Done():
		s.log.Error("a process that was killed is still there; it waits in the kernel")
	}
}

func unfinished(all []Result) error {
	var names []string
	for _, r := range all {
		if r.Err != nil {
			names = append(names, fmt.Sprintf("%s %s", r.Ref, r.Err))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("cannot stop in time: %s", strings.Join(names, "; "))
}

// circle is satellites that must stop together, for each comes before each other.
type circle struct {
	names  []string
	before []int // circles that must be gone before this one is stopped
}

// circles orders the satellites for stopping: whoever needs, follows or feeds another stops before it. They are the strongly
// connected components of that graph (Tarjan).
func circles(t *topology.Topology) []circle {
	edges := make(map[string][]string)
	for _, s := range t.Satellites {
		for _, n := range s.Needs {
			edges[s.Name] = append(edges[s.Name], n.Name)
		}
		edges[s.Name] = append(edges[s.Name], s.After...)
		edges[s.Name] = append(edges[s.Name], s.Feeds()...)
	}
	c := &components{edges: edges, index: map[string]int{}, low: map[string]int{}, of: map[string]int{}}
	for _, s := range t.Satellites {
		if _, seen := c.index[s.Name]; !seen {
			c.visit(s.Name)
		}
	}
	for _, s := range t.Satellites {
		for _, to := range edges[s.Name] {
			if from, after := c.of[s.Name], c.of[to]; from != after {
				c.found[after].before = append(c.found[after].before, from)
			}
		}
	}
	return c.found
}

type components struct {
	edges      map[string][]string
	index, low map[string]int
	of         map[string]int // component of a name
	stack      []string
	found      []circle
}

func (c *components) visit(name string) {
	c.index[name] = len(c.index) + 1
	c.low[name] = c.index[name]
	c.stack = append(c.stack, name)
	for _, to := range c.edges[name] {
		if _, seen := c.index[to]; !seen {
			c.visit(to)
			c.low[name] = min(c.low[name], c.low[to])
		} else if _, closed := c.of[to]; !closed {
			c.low[name] = min(c.low[name], c.index[to])
		}
	}
	if c.low[name] != c.index[name] {
		return
	}
	n := len(c.found)
	c.found = append(c.found, circle{})
	for {
		top := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		c.of[top] = n
		c.found[n].names = append(c.found[n].names, top)
		if top == name {
			return
		}
	}
}
