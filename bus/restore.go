package bus

import "github.com/dsat/dsat/bus/wire"

// restorer puts what was kept into a new tracker.
type restorer struct {
	t      *tracker
	k      *kept
	now    int64
	byName map[string]*step
	bodies []*body
	tasks  []int32
	keys   map[int32]uint64 // of the step in hand, by slot
	way    map[int32]bool   // those of them that do not stand in line

	formats []uint16 // numbers of the formats here
}

// codec is that of a message here.
func (r *restorer) codec(c uint16) uint16 {
	switch {
	case c < firstFormat:
		return c
	case int(c-firstFormat) < len(r.formats):
		return r.formats[c-firstFormat]
	}
	return uint16(wire.Struct)
}

// restore takes over what another tracker has kept. Nothing of it is lost: hops of steps that are not there any more are set
// aside. Nobody waits for the tasks now; they are returned by their ids and held open until closeTasks, for the journal may have more of
// them.
func (t *tracker) restore(now int64, k *kept) (open map[uint64]int32) {
	r := &restorer{t: t, k: k, now: now, byName: map[string]*step{}}
	for _, s := range t.steps {
		r.byName[s.name] = s
	}
	t.past.add(k.Past)
	if k.Wall > 0 {
		t.gap = max(t.wall(now)-k.Wall, 0)
	}
	t.aside.evicted += k.Evicted
	for _, text := range k.Formats {
		r.formats = append(r.formats, t.formats.parse(text))
	}
	for _, m := range k.Aside {
		t.aside.add(&setAside{id: m.ID, task: m.Task, step: m.Step, at: m.At, reason: m.Reason, attempts: m.Attempts, crashes: m.Crashes,
			codec: r.codec(m.Codec), payload: m.Payload, evidence: m.Evidence})
	}
	r.memory()
	for _, b := range k.Bodies {
		r.bodies = append(r.bodies, t.bodies.copy(b))
	}
	for _, kt := range k.Tasks {
		slot := t.tasks.take(kt.ID, now-kt.Age, none) // held open until all its hops are there
		task := t.tasks.at(slot)
		task.count, task.failed, task.reason = kt.Count, kt.Failed, kt.Reason
		if task.limit = kt.Limit; task.limit > 0 {
			t.limited++
			t.limitAt = sooner(t.limitAt, max(task.ends(), now))
		}
		if s := r.byName[kt.Origin]; s != nil && s.hooked {
			task.origin = int16(s.index)
		}
		r.tasks = append(r.tasks, slot)
	}
	for i := range k.Steps {
		r.step(&k.Steps[i])
	}
	t.restoreRoutes(now, k.Routes)
	regate(t.steps)
	open = make(map[uint64]int32, len(r.tasks))
	for _, slot := range r.tasks {
		open[t.tasks.at(slot).id] = slot
	}
	for _, b := range r.bodies {
		t.bodies.drop(b)
	}
	return open
}

// closeTasks lets tasks end that have no hops.
func (t *tracker) closeTasks(open map[uint64]int32) {
	for _, slot := range open {
		t.close(slot)
	}
}

func (r *restorer) memory() {
	hops := r.k.Hops[max(0, len(r.k.Hops)-rememberedHops):]
	for i := range hops {
		e := &hops[i]
		if e.State < done || e.State > diverted {
			continue
		}
		r.t.ended.hops = append(r.t.ended.hops, r.ended(e))
	}
	tasks := r.k.Ended[max(0, len(r.k.Ended)-rememberedTasks):]
	for i := range tasks {
		r.t.ended.tasks = append(r.t.ended.tasks, endedTask{id: tasks[i].ID, failed: tasks[i].Failed, reason: tasks[i].Reason})
	}
}

func (r *restorer) step(ks *keptStep) {
	s := r.byName[ks.Name]
	if s == nil {
		r.stranded(ks)
		return
	}
	r.counters(s, ks)
	if len(ks.Order) > 0 {
		if r.t.order == nil {
			r.t.order = map[*step][]uint64{}
		}
		r.t.order[s] = ks.Order
	}
	s.latency, s.streak, s.paused = ks.Latency, ks.Streak, ks.Paused
	s.carried.restore(ks.Direct)
	s.restoreBreaker(r.now, ks.Breaker)
	s.seen.restore(r.now, ks.Seen)
	s.shut = ks.Shut
	for i := range ks.Waiting {
		r.t.enqueue(s, r.hop(s, &ks.Waiting[i], waiting))
	}
	for i := range ks.Suspect {
		s.suspect.pushBack(&r.t.hops, r.hop(s, &ks.Suspect[i], waiting))
	}
	for i := range ks.Held {
		slot := r.hop(s, &ks.Held[i], held)
		h := r.t.hops.at(slot)
		h.due = r.now + ks.Held[i].Due
		r.t.rest(s, slot, h)
	}
	if s.keys != nil {
		r.t.rekey(s, newKeyring(s.keys.spec, s.sat.Work.Key), r.keys, r.way)
	}
	r.keys, r.way = nil, nil
	s.dirty = true
}

func (r *restorer) counters(s *step, ks *keptStep) {
	for i, c := range s.count.all() {
		if i < len(ks.Counts) {
			*c = ks.Counts[i]
		}
	}
}

func (r *restorer) hop(s *step, kh *keptHop, st state) int32 {
	i, h := r.t.hops.take(s.index)
	h.id, h.admitted, h.codec, h.hops, h.level = kh.ID, r.now-kh.Age, r.codec(kh.Codec), kh.Hops, kh.Level
	h.attempts, h.fails, h.crashes, h.late = kh.Attempts, kh.Fails, kh.Crashes, kh.Late
	h.body = r.bodies[kh.Body]
	h.body.refs++
	h.tslot = r.tasks[kh.Task]
	task := r.t.tasks.at(h.tslot)
	h.task = task.id
	task.open++
	h.from = outside
	if kh.From != outside {
		if from := r.byName[r.k.Steps[kh.From].Name]; from != nil {
			h.from = int16(from.index)
		}
	}
	if len(kh.Evidence) > 0 {
		r.t.testify(i, kh.Evidence...)
		r.t.evidence[i].tries = restoreTries(r.now, kh.Tries)
	}
	if kh.Keyed {
		if r.keys == nil {
			r.keys, r.way = map[int32]uint64{}, map[int32]bool{}
		}
		r.keys[i], r.way[i] = kh.Key, !kh.Lined
	}
	r.t.hops.setState(i, st)
	return i
}

// stranded sets aside what a step held that is not in the topology.
func (r *restorer) stranded(ks *keptStep) {
	s := &step{index: outside, name: ks.Name}
	r.counters(s, ks)
	s.count.admitted -= uint64(len(ks.Waiting) + len(ks.Suspect) + len(ks.Held)) // strand admits them
	r.t.past.add(s.ledger(&[diverted + 1]uint64{}))
	for _, list := range [][]keptHop{ks.Waiting, ks.Suspect, ks.Held} {
		for i := range list {
			h := &list[i]
			r.t.strand(r.now, s, r.tasks[h.Task], message{codec: r.codec(h.Codec), hops: h.Hops, from: outside, body: r.bodies[h.Body]})
		}
	}
}
