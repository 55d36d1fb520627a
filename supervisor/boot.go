package supervisor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/topology"
)

// bootlog notes when what happened to those that start with the daemon, until all of them are settled: an entry for each, with a bounded
// number of waits. Afterwards it costs nothing.
type bootlog struct {
	open atomic.Bool

	mu     sync.Mutex
	began  time.Time
	ended  time.Time // zero: goes on
	places int
	byRef  map[topology.Ref]*BootInstance
	order  []topology.Ref
}

// mostWaits bounds the waits of one instance; the last one counts, so that is kept.
const mostWaits = 16

// BootReport tells how the start of the daemon's satellites went.
type BootReport struct {
	Began     time.Time
	Ended     time.Time      // zero: it goes on
	Places    int            // daemon.start_concurrency; 0: no limit
	Instances []BootInstance // in the order of the topology
	Chain     []topology.Ref // the waits that determined the total: the last that became ready, who that waited for, and so on
}

// BootInstance is what happened to one instance, up to the first time that it was ready. A time that is zero has not come.
type BootInstance struct {
	Ref     topology.Ref
	Asked   time.Time // to start
	Opened  time.Time // nothing held it up any more
	Spawned time.Time
	Ready   time.Time // or ended well, where that was all
	Healthy time.Time // and all its checks pass
	Failed  time.Time // for good; zero once it is ready after all
	Done    bool      // it has ended well
	Adopted bool      // its process was there already
	Spawns  int       // processes it took; more than one: they failed
	Waits   []BootWait
}

// BootWait is something that held an instance up.
type BootWait struct {
	For   string // a satellite; "": a place among those that may be starting at once, or its group
	Stage string // of that satellite: "ready", "booted", "healthy", "done"; "started": it comes after that
	Turn  bool   // for a place
	By    []topology.Ref
	From  time.Time
	Until time.Time // zero: it waits still
}

// Took is from when nothing held it up until it was ready; 0 when it is not.
func (b *BootInstance) Took() time.Duration {
	if b.Ready.IsZero() || b.Opened.IsZero() {
		return 0
	}
	return b.Ready.Sub(b.Opened)
}

// begin opens the log.
func (b *bootlog) begin(all []*instance, places int, adopted map[topology.Ref]*life, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began, b.places, b.byRef = now, places, make(map[topology.Ref]*BootInstance, len(all))
	for _, i := range all {
		e := &BootInstance{Ref: i.ref, Asked: now}
		if adopted[i.ref] != nil {
			e.Adopted, e.Opened, e.Spawned = true, now, now
			if i.status.Load().State == Running {
				e.Ready = now
			}
		}
		b.byRef[i.ref] = e
		b.order = append(b.order, i.ref)
	}
	b.open.Store(true)
}

// end closes it: all are settled.
func (b *bootlog) end(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = now
	b.open.Store(false)
}

// held notes what holds an instance up; a wait for nothing means that it goes.
func (b *bootlog) held(ref topology.Ref, w *BootWait, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byRef[ref]
	if e == nil || !e.Ready.IsZero() {
		return
	}
	var last *BootWait
	if n := len(e.Waits); n > 0 {
		last = &e.Waits[n-1]
	}
	if w != nil && last != nil && last.Until.IsZero() && last.For == w.For && last.Stage == w.Stage {
		return
	}
	if last != nil && last.Until.IsZero() {
		last.Until = now
	}
	switch {
	case w == nil && e.Opened.IsZero():
		e.Opened = now
	case w == nil || !e.Opened.IsZero(): // a start after a failure
	case len(e.Waits) < mostWaits:
		w.From = now
		e.Waits = append(e.Waits, *w)
	default:
		w.From = now
		*last = *w
	}
}

// phase notes what became of an instance.
func (b *bootlog) phase(ref topology.Ref, p phase, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byRef[ref]
	if e == nil {
		return
	}
	switch p {
	case phaseSpawned:
		if e.Spawned.IsZero() {
			e.Spawned = now
		}
	case phaseReady, phaseHealthy, phaseUnready, phaseDone:
		if e.Ready.IsZero() {
			e.Ready, e.Done = now, p == phaseDone
			if e.Spawned.IsZero() {
				e.Spawned = now // ready with the fork
			}
		}
		if p == phaseHealthy && e.Healthy.IsZero() {
			e.Healthy = now
		}
		e.Failed = time.Time{}
	case phaseFailed:
		if e.Ready.IsZero() && e.Failed.IsZero() {
			e.Failed = now
		}
	}
}

// spawned counts a process.
func (b *bootlog) spawned(ref topology.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byRef[ref]; e != nil && e.Ready.IsZero() {
		e.Spawns++
	}
}

// Booted tells how the start went, or goes.
func (s *Supervisor) Booted() BootReport { return s.boot.report() }

func (b *bootlog) report() BootReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := BootReport{Began: b.began, Ended: b.ended, Places: b.places, Instances: make([]BootInstance, 0, len(b.order))}
	for _, ref := range b.order {
		e := *b.byRef[ref]
		e.Waits = slices.Clone(e.Waits)
		out.Instances = append(out.Instances, e)
	}
	out.Chain = chain(out.Instances)
	return out
}

// chain goes back from the last that became ready, by what each waited for last.
func chain(all []BootInstance) (refs []topology.Ref) {
	var at *BootInstance
	for n := range all {
		if e := &all[n]; !e.Ready.IsZero() && (at == nil || e.Ready.After(at.Ready)) {
			at = e
		}
	}
	for at != nil && !slices.Contains(refs, at.Ref) {
		refs = append(refs, at.Ref)
		at = at.awaited(all)
	}
	return refs
}

// awaited is who ended the last wait before it could go; nil: nobody.
func (b *BootInstance) awaited(all []BootInstance) (who *BootInstance) {
	if len(b.Waits) == 0 {
		return nil
	}
	w := b.Waits[len(b.Waits)-1]
	var when time.Time
	for n := range all {
		e := &all[n]
		if e.Ref == b.Ref || !w.Turn && e.Ref.Name != w.For {
			continue
		}
		if at := e.reached(&w); !at.IsZero() && !at.After(b.Opened) && (who == nil || at.After(when)) {
			who, when = e, at
		}
	}
	return who
}

// reached is when it was what another waited for.
func (b *BootInstance) reached(w *BootWait) time.Time {
	switch {
	case w.Stage == topology.StageBooted:
		return b.Spawned
	case w.Stage == topology.StageHealthy:
		return b.Healthy
	case b.Ready.IsZero():
		return b.Failed
	}
	return b.Ready
}

// culprit is what holds an instance up, now that the gate was found shut.
func (o *order) culprit(i *instance) *BootWait {
	o.mu.Lock()
	defer o.mu.Unlock()
	me := o.nodes[i.ref.Name]
	if me == nil {
		return &BootWait{}
	}
	for _, need := range me.needs {
		if n := o.nodes[need.Name]; n != nil && !n.reached(need.Stage) {
			stage := need.Stage
			if stage == "" {
				stage = topology.StageReady
			}
			return &BootWait{For: n.name, Stage: stage}
		}
	}
	for _, name := range me.after {
		if n := o.nodes[name]; n != nil && n.count[phasePending]+n.count[phaseSpawned] > 0 {
			return &BootWait{For: name, Stage: "started"}
		}
	}
	w := &BootWait{Turn: slices.Contains(o.places.queue, i)}
	if w.Turn {
		for holder := range o.places.held {
			w.By = append(w.By, holder.ref)
		}
		slices.SortFunc(w.By, func(a, b topology.Ref) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.WID, b.WID))
		})
	}
	return w
}
