package supervisor

import (
	"fmt"
	"sync"

	"github.com/dsat/dsat/topology"
)

// phase is what the others need to know of an instance.
type phase uint8

const (
	phaseDown    phase = iota // no process is wanted
	phasePending              // wanted, not spawned yet
	phaseSpawned              // spawned, not ready yet
	phaseReady
	phaseHealthy // ready, and all of its checks pass
	phaseUnready // was ready, and a check took that away
	phaseDone    // ended well, and that was all
	phaseFailing // failed; will be tried again
	phaseFailed  // failed for good
	phaseBlocked // waits for one that will not become ready by itself
	phases
)

// order is the gate every start passes: it knows who needs whom and who is ready. Its lock is held for a few map operations only,
// never while anything waits.
type order struct {
	mu    sync.Mutex
	nodes map[string]*node

	places places // of those that are starting
}

type node struct {
	name    string
	leaving bool // nothing of it is started any more
	needs   []topology.Need
	after   []string
	needers []*node // those that need it
	others  []*node // those that come after it
	phase   map[*instance]phase
	count   [phases]int
	waiting map[*instance]struct{}
}

func newOrder(t *topology.Topology) *order {
	o := &order{nodes: make(map[string]*node, len(t.Satellites)), places: places{most: t.Daemon.StartConcurrency}}
	for _, s := range t.Satellites {
		o.nodes[s.Name] = &node{
			name: s.Name, needs: s.Needs, after: s.After,
			phase: make(map[*instance]phase), waiting: make(map[*instance]struct{}),
		}
	}
	for _, s := range t.Satellites {
		for _, n := range s.Needs {
			if of := o.nodes[n.Name]; of != nil {
				of.needers = append(of.needers, o.nodes[s.Name])
			}
		}
		for _, name := range s.After {
			if of := o.nodes[name]; of != nil {
				of.others = append(of.others, o.nodes[s.Name])
			}
		}
	}
	return o
}

// intend says that these will be started, before any of them is: else one could slip through before the other was seen coming.
func (o *order) intend(all []*instance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, i := range all {
		n := o.nodes[i.ref.Name]
		if n == nil {
			continue // was removed from the topology
		}
		switch n.phase[i] {
		case phaseSpawned, phaseReady, phaseHealthy, phaseUnready, phaseDone:
		default:
			n.move(i, phasePending)
		}
	}
}

// set notes a change and wakes whom it concerns: those that wait ask again, and those that need a satellite that became ready
// end their back-off.
func (o *order) set(i *instance, p phase) {
	var ask, recovered []*instance
	o.mu.Lock()
	n := o.nodes[i.ref.Name]
	if n == nil { // was removed from the topology
		o.mu.Unlock()
		return
	}
	if old, known := n.phase[i]; known && old == p {
		o.mu.Unlock()
		return
	}
	was := n.ready()
	n.move(i, p)
	if p != phasePending && p != phaseBlocked {
		delete(n.waiting, i)
	}
	if p != phasePending && p != phaseSpawned {
		ask = o.places.leave(i)
	}
	for _, list := range [2][]*node{n.needers, n.others} {
		for _, d := range list {
			for w := range d.waiting {
				ask = append(ask, w)
			}
		}
	}
	if !was && n.ready() {
		for _, d := range n.needers {
			for w, ph := range d.phase {
				if ph == phaseFailing {
					recovered = append(recovered, w)
				}
			}
		}
	}
	o.mu.Unlock()
	for _, w := range ask {
		w.post(event{kind: evGo})
	}
	for _, w := range recovered {
		w.post(event{kind: evNeed})
	}
}

// ask reports whether the instance may be spawned now. If not it is remembered and woken by evGo when something changed; why is a
// sentence, and hopeless says that nothing will change by itself.
func (o *order) ask(i *instance) (why string, hopeless bool) {
	o.mu.Lock()
	why, hopeless = o.held(i)
	var called []*instance
	if why == "" {
		why = o.places.take(i)
	} else {
		called = o.places.leave(i)
	}
	o.mu.Unlock()
	for _, w := range called {
		w.post(event{kind: evGo})
	}
	return why, hopeless
}

// held is what holds it up of others.
func (o *order) held(i *instance) (why string, hopeless bool) {
	me := o.nodes[i.ref.Name]
	if me == nil || me.leaving {
		return "is removed from the topology", true
	}
	for _, need := range me.needs {
		if n := o.nodes[need.Name]; n != nil && !n.reached(need.Stage) {
			me.waiting[i] = struct{}{}
			return n.awaited(need.Stage)
		}
	}
	for _, name := range me.after {
		if n := o.nodes[name]; n != nil && n.count[phasePending]+n.count[phaseSpawned] > 0 {
			me.waiting[i] = struct{}{}
			return fmt.Sprintf("starts after %s", name), false
		}
	}
	delete(me.waiting, i)
	return "", false
}

func (n *node) move(i *instance, p phase) {
	if old, known := n.phase[i]; known {
		n.count[old]--
	}
	n.phase[i] = p
	n.count[p]++
}

// ready: every instance that is wanted is ready or ended well, and there is one.
func (n *node) ready() bool {
	c := &n.count
	return c[phaseReady]+c[phaseHealthy]+c[phaseDone] > 0 && c[phasePending]+c[phaseSpawned]+c[phaseUnready]+c[phaseFailing]+c[phaseFailed]+c[phaseBlocked] == 0
}

// done: every instance that was wanted has ended well, for good, and there is one.
func (n *node) done() bool {
	for p, count := range n.count {
		if count > 0 && phase(p) != phaseDone && phase(p) != phaseDown {
			return false
		}
	}
	return n.count[phaseDone] > 0
}

func (n *node) reached(stage string) bool {
	c := &n.count
	switch stage {
	case topology.StageBooted:
		return c[phaseReady]+c[phaseHealthy]+c[phaseUnready]+c[phaseDone]+c[phaseSpawned] > 0 && c[phasePending]+c[phaseBlocked] == 0
	case topology.StageHealthy:
		return n.ready() && c[phaseReady] == 0
	case topology.StageDone:
		return n.done()
	}
	return n.ready()
}

func (n *node) awaited(stage string) (why string, hopeless bool) {
	if stage == "" {
		stage = "ready"
	}
	why = fmt.Sprintf("waits for %s to be %s", n.name, stage)
	c := &n.count
	if c[phasePending]+c[phaseSpawned]+c[phaseReady]+c[phaseUnready]+c[phaseFailing] > 0 || stage == topology.StageDone && c[phaseHealthy] > 0 {
		return why, false
	}
	switch {
	case c[phaseFailed] > 0:
		why += ", which has failed"
	case c[phaseBlocked] > 0:
		why += ", which waits itself for one that is not"
	default:
		why += ", which is stopped"
	}
	return why, true
}

// replan goes over to another topology. What is known of instances stays; those that wait ask again.
func (o *order) replan(t *topology.Topology) {
	fresh := newOrder(t).nodes
	var ask []*instance
	o.mu.Lock()
	for name, n := range fresh {
		if was := o.nodes[name]; was != nil {
			n.phase, n.count, n.waiting = was.phase, was.count, was.waiting
		}
		for i := range n.waiting {
			ask = append(ask, i)
		}
	}
	o.nodes = fresh
	ask = append(ask, o.places.resize(t.Daemon.StartConcurrency)...)
	o.mu.Unlock()
	for _, i := range ask {
		i.post(event{kind: evGo})
	}
}

// leave keeps satellites that are to be removed from being started again.
func (o *order) leave(names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range names {
		if n := o.nodes[name]; n != nil {
			n.leaving = true
		}
	}
}
