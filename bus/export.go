package bus

import (
	"context"
	"slices"

	"github.com/dsat/dsat/topology"
)

// Export writes down all that must survive an exec in place, for Config.Import of the next daemon: what waits and is held, with
// payloads, attempts, crashes and evidence; tasks and quarantine; the counters of the ledger; how far each source was, so that
// an EMIT which is repeated to the next daemon is answered, and not admitted again. What is not in it: who waits for the result
// of a send (they are answered when this bus is closed), and EMITs not accepted, which their sources repeat.
//
// The bus must be frozen, and stay so until the exec; else the error is an *Error of KindConflict. What it takes to write the
// whole is memory for one more copy of all payloads.
func (b *Bus) Export(ctx context.Context) ([]byte, error) {
	written := make(chan struct{})
	if _, err := ask(ctx, b, func(o *orchester) (struct{}, error) {
		if o.t.frozen && len(o.t.busy()) == 0 {
			o.gather()
		}
		o.t.after(func() { close(written) })
		return struct{}{}, nil
	}); err != nil {
		return nil, err
	}
	if err := b.shelf.sync(ctx); err != nil {
		return nil, &Error{KindTimeout, "cannot export the state of the bus: the streams do not come to rest: " + err.Error()}
	}
	select {
	case <-written:
	case <-b.done:
		return nil, errClosed
	case <-ctx.Done():
		return nil, &Error{KindTimeout, "cannot export the state of the bus: the journal does not come to rest: " + context.Cause(ctx).Error()}
	}
	return ask(ctx, b, func(o *orchester) ([]byte, error) {
		if !o.t.frozen || len(o.t.busy()) > 0 {
			return nil, &Error{KindConflict, "cannot export the state of the bus: it is not frozen"}
		}
		return o.keep().encode()
	})
}

// gather does what cannot be left to the next daemon.
func (o *orchester) gather() {
	o.takeIn()
	o.endSessions()
	o.endCalls()
	o.takeInHooks()
}

// keep copies the whole state.
func (o *orchester) keep() *kept {
	k := o.t.keep(o.now)
	k.Hooks, k.Replies = o.keepHooks(), o.keepReplies()
	k.Strays = o.strays
	k.Sources = o.sources()
	return k
}

// takeIn admits what filters have said and queues had no room for: nobody could repeat it.
func (o *orchester) takeIn() {
	if o.legacy != nil {
		o.legacy.takeIn()
	}
	o.gated = slices.DeleteFunc(o.gated, func(s *session) bool {
		if !s.filter {
			return false
		}
		for _, e := range s.pending {
			o.t.emit(o.now, s.step, e.port, e.m)
			s.accepted++
		}
		s.pending, s.held = nil, 0
		o.ack(s)
		return true
	})
}

// sources says how far each living source is.
func (o *orchester) sources() []keptSource {
	var all []keptSource
	for _, k := range o.resume {
		all = append(all, k)
	}
	for _, i := range o.instances {
		if s := i.sess; s != nil && !s.filter && s.accepted > 0 {
			all = append(all, keptSource{i.ref.Name, i.ref.WID, uint64(i.inc), s.accepted})
		}
	}
	return all
}

// restore takes over what an earlier daemon has exported.
func (o *orchester) restore(k *kept) (tasks map[uint64]int32) {
	tasks = o.t.restore(o.now, k)
	o.strays = k.Strays
	o.restoreHooks(k.Hooks)
	for i := range k.Replies {
		o.replies.old = append(o.replies.old, replyWall{keptAnswer: k.Replies[i]})
	}
	for _, s := range k.Sources {
		o.resume[topology.Ref{Name: s.Name, WID: s.WID}] = s
	}
	return tasks
}

// resumed is how far this life of a source was with an earlier daemon. The source itself may not have heard of it.
func (o *orchester) resumed(i *instance) uint64 {
	k, known := o.resume[i.ref]
	delete(o.resume, i.ref)
	if known && k.Inc == uint64(i.inc) {
		return k.Accepted
	}
	return 0
}

// all is every counter, in the order in which an export has them: new ones come last.
func (c *counts) all() []*uint64 {
	return []*uint64{&c.admitted, &c.done, &c.quarantined, &c.expired, &c.cancelled, &c.dropped, &c.redelivered, &c.failed, &c.crashed,
		&c.refused, &c.bytesIn, &c.diverted, &c.starved, &c.repeated, &c.spilled, &c.spilledBytes, &c.misfits}
}

// keeper finds the numbers of what several hops share.
type keeper struct {
	t      *tracker
	k      *kept
	now    int64
	bodies map[*body]int  // those that more than one hop has
	tasks  []int32        // by slot: number + 1
	disk   map[string]int // messages in quarantine that the journal has, by step
}

// keep copies the state of a tracker that has nothing in hand.
func (t *tracker) keep(now int64) *kept {
	p := &keeper{t: t, k: &kept{Wall: t.wall(now), Past: t.past, Evicted: t.aside.evicted, Formats: t.formats.texts()}, now: now, bodies: map[*body]int{}, disk: map[string]int{}, tasks: make([]int32, len(t.tasks.pages)<<pageBits)}
	p.k.Bodies, p.k.Tasks = make([][]byte, 0, t.hops.live), make([]keptTask, 0, t.tasks.live)
	for _, m := range t.aside.list {
		if m.onDisk {
			p.disk[m.step]++
		}
	}
	for _, s := range t.steps {
		p.k.Steps = append(p.k.Steps, p.step(s))
		delete(p.disk, s.name)
	}
	for _, n := range p.disk { // of steps that were removed
		p.k.Past.Admitted -= uint64(n)
		p.k.Past.Quarantined -= uint64(n)
	}
	for _, m := range t.aside.list {
		if m.onDisk {
			continue
		}
		p.k.Aside = append(p.k.Aside, keptAside{ID: m.id, Task: m.task, Step: m.step, At: m.at, Reason: m.reason, Attempts: m.attempts,
			Crashes: m.crashes, Codec: m.codec, Payload: m.payload, Evidence: m.evidence})
	}
	p.k.Routes = t.keepRoutes(now)
	m := &t.ended
	for n := range m.hops {
		e := &m.hops[(m.h+n)%len(m.hops)]
		p.k.Hops = append(p.k.Hops, e.keep(now))
	}
	for n := range m.tasks {
		e := &m.tasks[(m.t+n)%len(m.tasks)]
		p.k.Ended = append(p.k.Ended, keptEnd{ID: e.id, Reason: e.reason, Failed: e.failed})
	}
	return p.k
}

func (p *keeper) step(s *step) keptStep {
	ks := keptStep{Name: s.name, Latency: s.latency, Streak: s.streak, Paused: s.paused, Shut: s.shut, Breaker: s.keepBreaker(p.now), Direct: s.carried.all()}
	for _, c := range s.count.all() {
		ks.Counts = append(ks.Counts, *c)
	}
	if !s.cfg.durable || p.t.scroll == nil {
		ks.Seen = s.seen.keep(p.now)
	}
	p.leave(s, &ks)
	if s.cfg.durable && p.t.scroll != nil {
		p.tasksOf(s)
		return ks
	}
	for _, q := range s.lines() {
		if q != &s.suspect {
			ks.Waiting = append(ks.Waiting, p.queue(q)...)
		}
	}
	ks.Waiting, ks.Suspect = p.lined(s, ks.Waiting), p.queue(&s.suspect)
	for _, r := range s.allHeld() {
		if p.t.known(r.slot) {
			continue
		}
		h := p.hop(r.slot)
		h.Due = r.due - p.now
		ks.Held = append(ks.Held, h)
	}
	if s.disk && p.t.scroll != nil { // what is on disk is found there
		ks.Order = p.order(s)
		p.tasksOf(s)
	}
	return ks
}

// leave leaves out what the next daemon finds in the journal, and counts as admitted then.
func (p *keeper) leave(s *step, ks *keptStep) {
	c := counts{}
	for i, v := range c.all() {
		*v = ks.Counts[i]
	}
	n := uint64(p.disk[s.name])
	c.quarantined -= n
	if s.cfg.durable && p.t.scroll != nil {
		n += uint64(s.queued() + s.holds())
	} else if s.disk {
		n += uint64(p.t.scribed(s))
	}
	c.admitted -= n
	for i, v := range c.all() {
		ks.Counts[i] = *v
	}
}

// tasksOf keeps the tasks of hops that the next daemon finds in the journal.
func (p *keeper) tasksOf(s *step) {
	var hops []int32
	for n, pg := range p.t.hops.pages {
		for k, st := range pg.states {
			if st != free && int(pg.steps[k]) == s.index {
				hops = append(hops, int32(n)<<pageBits+int32(k))
			}
		}
	}
	sortByArrival(&p.t.hops, hops)
	for _, i := range hops {
		p.task(p.t.hops.at(i).tslot)
	}
}

func (p *keeper) queue(q *fifo) []keptHop {
	if q.count == 0 {
		return nil
	}
	list := make([]keptHop, 0, q.count)
	for i := q.head; i != none; i = p.t.hops.at(i).next {
		if !p.t.known(i) {
			list = append(list, p.hop(i))
		}
	}
	return list
}

// lined adds those that stand in line for their key to those that wait before them.
func (p *keeper) lined(s *step, list []keptHop) []keptHop {
	if s.keys != nil {
		for _, i := range s.keys.standing(&p.t.hops) {
			if p.t.known(i) {
				continue
			}
			h := p.hop(i)
			h.Lined = true
			list = append(list, h)
		}
	}
	return list
}

func (p *keeper) hop(i int32) keptHop {
	h := p.t.hops.at(i)
	kh := keptHop{ID: h.id, From: int(h.from), Age: p.now - h.admitted, Codec: h.codec, Hops: h.hops, Attempts: h.attempts, Fails: h.fails, Crashes: h.crashes, Level: h.level, Late: h.late}
	if e := p.t.evidence[i]; e != nil {
		kh.Evidence, kh.Tries = e.lines, e.keep(p.now)
	}
	if k := p.t.steps[p.t.hops.step(i)].keys; k != nil && k.of[i] != nil {
		kh.Key, kh.Keyed = k.of[i].key, true
	}
	kh.Body, kh.Task = p.body(h.body), p.task(h.tslot)
	return kh
}

func (p *keeper) body(b *body) int {
	if n, known := p.bodies[b]; known {
		return n
	}
	n := len(p.k.Bodies)
	if b.refs > 1 {
		p.bodies[b] = n
	}
	p.k.Bodies = append(p.k.Bodies, b.data)
	return n
}

func (p *keeper) task(slot int32) int {
	if n := p.tasks[slot]; n > 0 {
		return int(n) - 1
	}
	task := p.t.tasks.at(slot)
	p.k.Tasks = append(p.k.Tasks, keptTask{ID: task.id, Age: p.now - task.started, Count: task.count, Failed: task.failed, Limit: task.limit, Reason: task.reason,
		Origin: p.t.originName(task)})
	p.tasks[slot] = int32(len(p.k.Tasks))
	return len(p.k.Tasks) - 1
}
