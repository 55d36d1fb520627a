package supervisor

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/topology"
)

// weather is a world in which every process dies a second after it was spawned.
type weather struct {
	order  *order
	groups *groups
	crew   crew

	mu     sync.Mutex
	alive  map[topology.Ref]int
	timers map[*life]*time.Timer
	spawns map[topology.Ref]int
	wrong  string
}

func (w *weather) now() time.Time                              { return time.Now() }
func (w *weather) roll() float64                               { return 0.5 }
func (w *weather) run(f func()) bool                           { return w.crew.run(f) }
func (w *weather) incarnation(n uint32) topology.Incarnation   { return topology.NewIncarnation(1, n) }
func (w *weather) phase(i *instance, p phase)                  { w.order.set(i, p) }
func (w *weather) probe(*life) func()                          { return func() {} }
func (w *weather) examine(*life) func()                        { return func() {} }
func (w *weather) drain(*life, time.Duration) func()           { return nil }
func (w *weather) command(*life, time.Duration) func()         { return func() {} }
func (w *weather) signal(l *life, _ syscall.Signal, _ bool)    { w.die(l) }
func (w *weather) kill(l *life)                                { w.die(l) }
func (w *weather) bury(l *life, _ Exit)                        { l.of.post(event{kind: evSwept, life: l}) }
func (w *weather) changed(*instance, State, *InstanceStatus)   {}
func (w *weather) watch(*life) func()                          { return nil }
func (w *weather) recycle(*instance)                           {}
func (w *weather) ended(*instance, bool, Exit)                 {}
func (w *weather) failed(i *instance, e Exit, b string) string { return w.groups.failed(i, e, b) }

func (w *weather) abandon(*life)                            {}
func (w *weather) succeed(*life, *heir)                     {}
func (w *weather) greet(*life, topology.HookKind) func()    { return nil }
func (w *weather) listen(*instance, uint64) (string, error) { return "", nil }
func (w *weather) deafen(*instance)                         {}
func (w *weather) idle(*instance)                           {}

func (w *weather) ask(i *instance) (string, bool) {
	if why := w.groups.holds(i); why != "" {
		return why, false
	}
	return w.order.ask(i)
}

func (w *weather) spawn(l *life) {
	w.mu.Lock()
	l.pid, l.started = 1, time.Now()
	if w.alive[l.of.ref]++; w.alive[l.of.ref] > 1 {
		w.wrong = "two of " + l.of.ref.String()
	}
	w.spawns[l.of.ref]++
	w.timers[l] = time.AfterFunc(time.Second, func() { w.die(l) })
	w.mu.Unlock()
	l.tellSpawned()
}

func (w *weather) die(l *life) {
	w.mu.Lock()
	t := w.timers[l]
	if t == nil {
		w.mu.Unlock()
		return // dead already
	}
	t.Stop()
	delete(w.timers, l)
	w.alive[l.of.ref]--
	w.mu.Unlock()
	l.tellExit(Exit{Code: 1})
}

// stormTopology has 100 satellites: a third with the default limit and a retry from fatal, a third without limit, a third in groups of
// four of each strategy. Each but the first needs the one before it to be booted.
func stormTopology() *topology.Topology {
	t := &topology.Topology{}
	for n := range 100 {
		s := &topology.Satellite{Name: fmt.Sprintf("s%d", n), Instances: 1, Ready: topology.Ready{Kind: topology.ReadySpawned}}
		s.Restart = topology.Restart{Policy: topology.RestartAlways, SuccessCodes: []int{0}, Window: time.Minute,
			Backoff: topology.Backoff{Initial: 100 * time.Millisecond, Factor: 2, Max: time.Second, Jitter: 0.2, Reset: 10 * time.Second}}
		if n%3 == 0 {
			s.Restart.Limit, s.Restart.Retry = 10, 10*time.Second
		}
		t.Satellites = append(t.Satellites, s)
	}
	strategies := []topology.Strategy{topology.OneForOne, topology.OneForAll, topology.RestForOne}
	for n := range 8 {
		g := &topology.Group{Name: fmt.Sprint("g", n), Strategy: strategies[n%3]}
		for k := range 4 {
			g.Members = append(g.Members, fmt.Sprintf("s%d", 12*n+3*k+1))
		}
		t.Groups = append(t.Groups, g)
	}
	return t
}

// inUse is what is in use after a collection, in bytes.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// 100 satellites crash each second for an hour: never two of one, nobody is forgotten, nothing grows, and a stop still stops.
func TestStormOfAnHour(t *testing.T) {
	minutes := 60
	if raceEnabled || testing.Short() {
		minutes = 10
	}
	synctest.Test(t, func(t *testing.T) {
		topo := stormTopology()
		r := newRoster(topo)
		w := &weather{order: newOrder(topo), alive: map[topology.Ref]int{}, timers: map[*life]*time.Timer{}, spawns: map[topology.Ref]int{}}
		var all []*instance
		byName := map[string][]*instance{}
		for _, s := range topo.Satellites {
			i := newInstance(ref(s.Name, 0), s, w)
			all = append(all, i)
			byName[s.Name] = []*instance{i}
		}
		w.groups = &groups{of: func(name string) *topology.Group { return r.groups[name] }, instances: func(name string) []*instance { return byName[name] }, now: time.Now}
		w.order.intend(all)
		for _, i := range all {
			i.post(event{kind: evStart})
		}
		var early int64
		for minute := range minutes {
			time.Sleep(time.Minute)
			synctest.Wait()
			if minute == 4 {
				early = inUse()
			}
		}
		if late := inUse(); late > early+2<<20 {
			t.Errorf("after 5 minutes %d bytes are in use, after %d minutes %d", early, minutes, late)
		}
		for _, i := range all {
			i.mu.Lock()   // orders this with what its owner did and will do; else only simulated time does
			i.mu.Unlock() //nolint:staticcheck // as above
			w.mu.Lock()
			spawns := w.spawns[i.ref]
			w.mu.Unlock()
			if n := spawns; n < 10*minutes {
				t.Errorf("%s was started %d times in %d minutes: %+v", i.ref, n, minutes, *i.status.Load())
			}
			if n := len(i.hist.starts); n > i.spec.Restart.Limit {
				t.Errorf("%s remembers %d starts", i.ref, n)
			}
			if len(i.waiters) > 1 { // its group
				t.Errorf("%s has %d waiters", i.ref, len(i.waiters))
			}
		}
		for _, i := range all { // not before: one that stops concerns others
			i.post(event{kind: evStop})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, i := range all {
			if st := i.status.Load(); st.State != Stopped || w.alive[i.ref] != 0 {
				t.Errorf("%s does not stop: %+v", i.ref, *st)
			}
		}
		if w.wrong != "" || len(w.timers) > 0 {
			t.Errorf("%s; %d processes are left", w.wrong, len(w.timers))
		}
		w.crew.close() // goroutines that are left make the bubble fail
	})
}
