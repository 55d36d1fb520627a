package supervisor

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// troupe is the instances of a group, each on a stage of its own, with the real group between them.
type troupe struct {
	groups *groups
	spec   atomic.Pointer[topology.Group]
	gone   bool // the topology has changed, and there is no such group any more
	cast   map[string][]*performer
	all    []*performer // in start order

	mu    sync.Mutex
	exits []int
}

type performer struct {
	*stage
	troupe *troupe
	i      *instance
}

func (p *performer) ask(i *instance) (string, bool) {
	if why := p.troupe.groups.holds(i); why != "" {
		return why, false
	}
	return p.stage.ask(i)
}

func (p *performer) failed(i *instance, e Exit, because string) string {
	return p.troupe.groups.failed(i, e, because)
}

func (p *performer) ended(i *instance, well bool, e Exit) {
	p.stage.ended(i, well, e)
	then := i.spec.Restart.Then
	if well {
		then = i.spec.Restart.Done
	}
	if then.Kind == topology.EndStop {
		p.troupe.groups.stop(i, i.ref.String()+" ended")
	}
}

// newTroupe has so many instances of each member; prepare may change what they are.
func newTroupe(spec topology.Group, members map[string]int, prepare func() (*stage, *topology.Satellite)) *troupe {
	t := &troupe{cast: make(map[string][]*performer)}
	t.spec.Store(&spec)
	t.groups = &groups{
		of: func(string) *topology.Group { return t.spec.Load() },
		instances: func(name string) (all []*instance) {
			for _, p := range t.cast[name] {
				all = append(all, p.i)
			}
			return all
		},
		now: time.Now,
		exit: func(code int, _ string) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.exits = append(t.exits, code)
		},
	}
	for _, name := range spec.Members {
		for wid := range members[name] {
			s, sat := prepare()
			p := &performer{stage: s, troupe: t}
			sat.Name = name
			p.i = newInstance(ref(name, wid), sat, p)
			t.cast[name] = append(t.cast[name], p)
			t.all = append(t.all, p)
		}
	}
	return t
}

func (t *troupe) close() {
	for _, p := range t.all {
		p.crew.close()
	}
}

// String is how everybody is.
func (t *troupe) String() string {
	text := "the group is at rest"
	if m := t.muster(); m != nil {
		text = fmt.Sprintf("the group is at row %d (rising %v, ends %v), %s", m.at, m.rising, m.ends, m.why)
		for i := range m.open {
			text += fmt.Sprintf("; waits for %s", i.ref)
		}
	}
	for _, p := range t.all {
		st := p.i.status.Load()
		text += fmt.Sprintf("; %s want %s is %s: %s", p.i.ref, st.Want, st.State, st.Why)
	}
	return text
}

// muster is what the group is doing; nil: nothing.
func (t *troupe) muster() *muster {
	t.groups.mu.Lock()
	defer t.groups.mu.Unlock()
	return t.groups.get("g").muster
}

// check is what holds after every event, for each and for all.
func (t *troupe) check(d dice, what string) {
	for _, p := range t.all {
		p.check(d, p.i, what)
		p.i.mu.Lock()   // what was read here comes before what its owner does next; else only simulated time orders them
		p.i.mu.Unlock() //nolint:staticcheck // as above
	}
	m := t.muster()
	if m == nil {
		return
	}
	if len(m.open) == 0 {
		d.failf("after %q: the group waits for nobody: %+v", what, m)
	}
	if t.gone {
		return // nobody is held any more; what was begun ends
	}
	for n, row := range m.rows {
		if down := !m.ends && n > m.at; !down {
			continue
		}
		for _, p := range t.all {
			p.mu.Lock()
			alive := p.alive()
			p.mu.Unlock()
			if slices.Contains(row, p.i) && alive > 0 {
				d.failf("after %q: %s has a process while the group is at row %d (rising: %v) of %s", what, p.i.ref, m.at, m.rising, m.why)
			}
		}
	}
}

// settle lets everything that is under way happen, until nothing is.
func (t *troupe) settle(d dice, hello bool) {
	for _, p := range t.all {
		p.mu.Lock()
		p.gate = ""
		p.mu.Unlock()
		p.i.post(event{kind: evGo})
	}
	for range 12 * len(t.all) {
		for _, p := range t.all {
			p.tend(d, p.i, hello)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		t.check(d, "settling")
		if t.settled(hello) {
			return
		}
	}
}

func (t *troupe) settled(up bool) bool {
	for _, p := range t.all {
		st := p.i.status.Load()
		p.mu.Lock()
		alive := p.alive()
		p.mu.Unlock()
		if up && st.State != Running || !up && (st.State != Stopped || alive > 0) {
			return false
		}
	}
	return t.muster() == nil
}

// groupHistory is a life of a group from its first event to a start and a stop that must succeed.
func groupHistory(d dice) {
	spec := topology.Group{
		Name: "g", Members: []string{"a", "b", "c"}, Limit: d.pick(4), Window: time.Minute,
		Strategy: []topology.Strategy{topology.OneForOne, topology.OneForAll, topology.RestForOne}[d.pick(3)],
		Then:     []topology.Ending{{Kind: topology.EndStop}, {Kind: topology.EndExit, Code: 3}}[d.pick(2)],
	}
	t := newTroupe(spec, map[string]int{"a": 1, "b": 1 + d.pick(2), "c": 1}, func() (*stage, *topology.Satellite) {
		sat := stageSpec(d)
		sat.Restart.Then = []topology.Ending{{}, {Kind: topology.EndStop}}[d.pick(2)]
		return &stage{drains: d.pick(2) == 1}, sat
	})
	for range 4 + d.pick(30) {
		if d.pick(60) == 0 {
			t.gone = true
			t.spec.Store(nil)
			t.groups.reconsider()
		}
		p := t.all[d.pick(len(t.all))]
		what := fmt.Sprintf("%s of %s", p.act(d, p.i), p.i.ref)
		synctest.Wait()
		t.check(d, what)
	}
	t.call(d, evStart, goalUp, Running)
	t.call(d, evStop, goalDown, Stopped)
	t.close()
}

// call tells all of them at once what is wanted, which must come.
func (t *troupe) call(d dice, kind eventKind, g goal, want State) {
	for range 3 { // a group that gives up meanwhile stops those that were just started
		replies := make([]chan Result, len(t.all))
		for n, p := range t.all {
			replies[n] = make(chan Result, 1)
			p.i.post(event{kind: kind, wait: &waiter{goal: g, reply: replies[n]}})
		}
		synctest.Wait()
		t.settle(d, want == Running)
		for n := range replies {
			select {
			case <-replies[n]:
			default:
				d.failf("nobody answered who wanted %s to be %s: it is %+v; %s", t.all[n].i.ref, want, *t.all[n].i.status.Load(), t)
			}
		}
		if t.settled(want == Running) {
			return
		}
	}
	for _, p := range t.all {
		if st := p.i.status.Load(); st.State != want {
			d.failf("%s does not become %s: %+v; %+v", p.i.ref, want, *st, t.muster())
		}
	}
	d.failf("the group does not come to rest: %+v", t.muster())
}

// Whatever happens in whatever order to the members of a group: what holds for one instance holds for each; nobody is up while the
// group has him down; and there is a way out of everything.
func TestGroupMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(*testing.T) {
			defer func() { failed = recover() }()
			groupHistory(rapidDice{rt})
		})
		if failed != nil {
			panic(failed)
		}
	})
}

func TestGroupMachineMany(t *testing.T) {
	total := 10_000
	if testing.Short() {
		total = 1_000
	}
	inParallel(t, total, groupHistory)
}

// On real processes: down in reverse, one row after the other, then up in order.
func TestGroupFallsInReverseAndRisesInOrder(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	names := []string{"a", "b", "c"}
	var sats []*topology.Satellite
	for _, name := range names {
		sats = append(sats, satelliteOf(name, "pause", ""))
	}
	r := start(t, sats, func(c *Config) {
		c.Topology.Groups = []*topology.Group{{Name: "g", Members: names, Strategy: topology.OneForAll}}
		told := c.Event
		c.Event = func(e Event) {
			mu.Lock()
			seen = append(seen, e.Ref.Name+" "+e.To.String())
			mu.Unlock()
			told(e)
		}
	})
	if err := r.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	seen = nil
	mu.Unlock()
	before := r.status(ref("c", 0)).Inc
	kill9(t, r.status(ref("b", 0)).PID)
	r.until(ref("c", 0), "up again", func(st InstanceStatus) bool { return st.State == Running && st.Inc > before })
	mu.Lock()
	defer mu.Unlock()
	at := -1
	for _, want := range []string{"c stopping", "c starting", "a stopping", "a starting", "a running", "b running", "c running"} {
		next := slices.Index(seen[at+1:], want)
		if next < 0 {
			t.Fatalf("no %q after %d in %q", want, at, seen)
		}
		at += 1 + next
	}
}

// A failure for good takes the others with it where the topology says so; who is started by hand comes back.
func TestStopGroup(t *testing.T) {
	bad, mate := satelliteOf("bad", "exit", "4"), satelliteOf("mate", "pause", "")
	bad.Restart.Limit, bad.Restart.Then = 1, topology.Ending{Kind: topology.EndStop}
	bad.Needs = []topology.Need{{Name: "mate", Stage: topology.StageReady}}
	r := start(t, []*topology.Satellite{bad, mate}, func(c *Config) {
		c.Topology.Groups = []*topology.Group{{Name: "g", Members: []string{"mate", "bad"}, Strategy: topology.OneForOne}}
	})
	_ = r.Boot(t.Context()) // up for a moment, or not
	st := r.until(ref("mate", 0), "stopped", func(st InstanceStatus) bool { return st.State == Stopped })
	if want := "was stopped with its group: bad:0 failed for good: exit code 4"; st.Why != want {
		t.Errorf("%q, want %q", st.Why, want)
	}
	if st := r.status(ref("bad", 0)); st.State != Fatal {
		t.Errorf("%+v", st)
	}
	results, err := r.Start(t.Context(), []topology.Ref{ref("mate", 0)})
	if err != nil || results[0].State != Running {
		t.Error(results, err)
	}
}
