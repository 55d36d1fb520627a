package bus

import (
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// recall makes the state of durable queues out of the records of a journal.
type recall struct {
	hops    map[uint64]*recalled
	aside   map[uint64]*setAside
	replies map[uint64]*replyWall
	hooks   map[uint64]*hookLog
	order   []uint64 // of aside
	sources map[topology.Ref]keptSource
	names   map[string]string // one copy of each
	failed  map[uint64]bool   // tasks of which a hop has failed
	ids     map[string]map[msgID]recalledID
	limit   recalledLimit // of the task of the hops that follow in the record in hand
	estate  estate
	steps   []string // of the record in hand
	last    uint64   // highest sequence
	records int
	formats *formats // those of the tracker that goes on
	format  uint16   // of structs, of the record in hand

	leave func(step string) bool                                   // may leave payloads of a step on disk; nil: of none
	read  func(at journal.Position, off, n uint32) ([]byte, error) // gets one that was left there
}

// recalled is a hop as the journal tells it.
type recalled struct {
	id, task uint64
	step     string
	from     string // "": outside
	origin   string // of its task; "": nobody wants to hear of its end
	codec    uint16
	level    uint8
	hops     uint16
	attempts uint16
	fails    uint16
	crashes  uint16
	failed   bool  // another hop of its task has
	late     bool  // it was delayed, and came when its time did
	admitted int64 // wall, ns
	due      int64 // wall, ns, of its retry; 0: it is not held
	delay    int64 // from the moment it was written
	evidence []string
	tries    []try // their times are of the wall
	limit    recalledLimit
	body     []byte
	left     int // bytes of a payload that was left on disk; then body is nil
	place    place
	epoch    uint32 // of its last dispatch
	n        uint64
}

func newRecall() *recall {
	return &recall{hops: map[uint64]*recalled{}, aside: map[uint64]*setAside{}, replies: map[uint64]*replyWall{}, hooks: map[uint64]*hookLog{}, sources: map[topology.Ref]keptSource{},
		names: map[string]string{}, failed: map[uint64]bool{}, ids: map[string]map[msgID]recalledID{}, estate: estate{segment: segmentBytes, grain: extentBytes}, formats: &formats{}}
}

// codec is that of a message as it was written.
func (r *recall) codec(c uint16) uint16 {
	if c == uint16(wire.Struct) {
		return r.format
	}
	return c
}

func (r *recall) name(s string) string {
	if n, ok := r.names[s]; ok {
		return n
	}
	r.names[s] = s
	return s
}

// record takes the next record of the journal. An error says that this dsatd must not go on with the journal.
func (r *recall) record(rec journal.Record) error {
	if rec.Kind != recordKind {
		return nil // of others
	}
	in, err := readVerses(rec.Body)
	if err != nil {
		return fmt.Errorf("cannot understand record %d: %w", rec.Seq, err)
	}
	ext := r.estate.extent(rec.Seq, rec.At, len(rec.Body))
	r.steps, r.last, r.limit, r.format = r.steps[:0], rec.Seq, recalledLimit{}, uint16(wire.Struct)
	r.records++
	var v, body verse
	var view []byte // of the payload
	for in.next(&v) {
		switch v.kind {
		case verseStep:
			if v.step != len(r.steps) {
				return fmt.Errorf("cannot understand record %d: step %d is named after %d others", rec.Seq, v.step, len(r.steps))
			}
			r.steps = append(r.steps, r.name(v.name))
		case verseFresh:
			r.steps = r.steps[:0]
		case verseFormat:
			r.format = r.formats.parse(v.name)
		case verseID, verseBlind:
			if v.step >= len(r.steps) {
				return fmt.Errorf("cannot understand record %d: it has no step %d", rec.Seq, v.step)
			}
			if v.kind == verseBlind {
				r.blinded(r.steps[v.step])
			} else {
				r.let(&v, rec, ext)
			}
		case verseLimit:
			r.limitOf(&v, rec)
		case verseBody:
			body, view = v, v.body
			body.body = nil
		case verseAdmit, versePut:
			if most := max(v.step, v.from, v.origin); most >= len(r.steps) {
				return fmt.Errorf("cannot understand record %d: it has no step %d", rec.Seq, most)
			}
			leave := r.leave != nil && r.leave(r.steps[v.step])
			if !leave && body.body == nil {
				body.body = slices.Clone(view)
			}
			h := r.put(&v, &body, rec, ext)
			if leave {
				h.body, h.left = nil, len(view)
			}
			r.estate.lives(ext, h.size())
		default:
			r.change(&v, rec, ext, in.epoch)
		}
	}
	if in.err != nil {
		return fmt.Errorf("cannot understand record %d: %w", rec.Seq, in.err)
	}
	return nil
}

// put takes a hop that was written whole.
func (r *recall) put(v, body *verse, rec journal.Record, ext uint32) *recalled {
	h := &recalled{id: v.id, task: v.task, step: r.steps[v.step], codec: r.codec(v.codec & (1<<levelBits - 1)), level: uint8(v.codec >> levelBits), hops: v.hops, attempts: v.attempts, fails: v.fails,
		crashes: v.crashes, failed: v.flags&putFailed != 0, late: v.flags&putDelayed != 0, admitted: rec.Time - v.age, evidence: v.evidence, body: body.body,
		place: place{at: rec.At, off: body.off, ext: ext, flags: onDisk | sealed}}
	if v.from >= 0 {
		h.from = r.steps[v.from]
	}
	if v.origin >= 0 {
		h.origin = r.steps[v.origin]
	}
	if v.delay > 0 {
		h.due, h.delay = rec.Time+v.delay, v.delay
	}
	if r.limit.task == v.task {
		h.limit = r.limit
	}
	if old := r.hops[v.id]; old != nil {
		h.epoch, h.n = old.epoch, old.n
		r.estate.dies(parcel{old.place.ext, old.size()})
	}
	r.hops[v.id] = h
	return h
}

func (h *recalled) size() int64 { return int64(len(h.body) + h.left + overhead) }

// arrive lets a delayed hop whose time has come count from then on, as the tracker does. wall is the time of day.
func (h *recalled) arrive(wall int64) {
	if h.attempts == 0 && h.due > 0 && h.due <= wall {
		h.admitted, h.due, h.late = h.due, 0, true
	}
}

// testify keeps what happened, as the tracker does.
func (h *recalled) testify(lines []string) {
	h.evidence = append(h.evidence, lines...)
	if n := len(h.evidence) - mostEvidence; n > 0 {
		h.evidence = h.evidence[n:]
	}
}

// change takes what became of something.
func (r *recall) change(v *verse, rec journal.Record, ext uint32, epoch uint32) {
	h := r.hops[v.id]
	switch v.kind {
	case verseSetDown:
		r.lay(&setAside{id: v.id, task: v.task, step: v.name, at: time.Unix(0, int64(v.n)), reason: v.reason, attempts: int(v.attempts),
			crashes: int(v.crashes), codec: r.codec(v.codec), payload: slices.Clone(v.body), evidence: v.evidence, onDisk: true, sealed: true, ext: ext})
		return
	case verseTaken:
		if m := r.aside[v.id]; m != nil {
			r.estate.dies(parcel{m.ext, m.size()})
			delete(r.aside, v.id)
		}
		return
	case verseReply:
		r.promised(v, ext, v.reply.length())
		return
	case verseKept:
		r.kept(v.id)
		return
	case verseHook:
		r.owed(v.hooked, ext)
		return
	case verseHooked:
		r.paid(v.id)
		return
	case verseSource:
		r.sources[topology.Ref{Name: v.name, WID: v.step}] = keptSource{v.name, v.step, v.n, v.m}
		return
	case verseMove:
		r.move(v.names)
		return
	}
	if h == nil {
		return // it has ended, and its beginning is not kept any more
	}
	switch v.kind {
	case verseEnd, verseForget:
		if end := state(v.m); v.kind == verseEnd && end != done && end != diverted {
			r.failed[h.task] = true
		}
		r.end(h)
	case verseGive:
		h.arrive(rec.Time)
		h.attempts++
		h.epoch, h.n, h.due = epoch, v.n, 0
	case verseFail:
		h.fails++
		h.due, h.delay, h.n = rec.Time+v.delay, v.delay, 0
		h.testify(v.evidence)
	case verseCrash:
		h.crashes++
		h.testify(v.evidence)
	case verseTry:
		r.try(h, v, rec)
	case verseAside:
		r.failed[h.task] = true
		r.lay(&setAside{id: h.id, task: h.task, step: h.step, at: time.Unix(0, rec.Time), reason: v.reason, attempts: int(h.attempts),
			crashes: int(h.crashes), codec: h.codec, payload: h.body, evidence: v.evidence, onDisk: true, sealed: true, ext: h.place.ext, away: h.left, was: h})
		r.end(h)
	}
}

func (r *recall) end(h *recalled) {
	r.estate.dies(parcel{h.place.ext, h.size()})
	delete(r.hops, h.id)
}

// lay puts a message into quarantine.
func (r *recall) lay(m *setAside) {
	if old := r.aside[m.id]; old != nil {
		r.estate.dies(parcel{old.ext, old.size()})
	} else {
		r.order = append(r.order, m.id)
	}
	r.aside[m.id] = m
	r.estate.lives(m.ext, m.size())
}

// move gives steps their new names.
func (r *recall) move(names map[string]string) {
	now := func(name string) string {
		if to, moved := names[name]; moved {
			return r.name(to)
		}
		return name
	}
	for _, h := range r.hops {
		h.step, h.from, h.origin = now(h.step), now(h.from), now(h.origin)
	}
	for _, m := range r.aside {
		m.step = now(m.step)
	}
	for _, w := range r.replies {
		w.Step = now(w.Step)
	}
	ids := make(map[string]map[msgID]recalledID, len(r.ids))
	for name, x := range r.ids {
		ids[now(name)] = x
	}
	r.ids = ids
	for _, l := range r.hooks {
		l.end.Step = now(l.end.Step)
	}
}

// recollect puts what a journal has told into the tracker, which goes on with it. tasks are those that came by
// another way; those of the journal are added to them, and all are held open until closeTasks. Nothing is lost: hops of steps that are not there any more are set aside, those of steps that are not durable
// any more live in memory.
func (t *tracker) recollect(now int64, r *recall, tasks map[uint64]int32) {
	d := t.scroll
	r.estate.segment = d.dead.segment
	d.dead = r.estate
	d.dead.committed = r.last
	by := map[string]*step{}
	for _, s := range t.steps {
		by[s.name] = s
	}
	r.fetchAsides()
	t.recollectAside(r, by)
	t.recollectIDs(now, r, by)
	list := make([]*recalled, 0, len(r.hops))
	for _, h := range r.hops {
		h.arrive(t.wall(now))
		list = append(list, h)
	}
	arrivals(list)
	came := map[*step]bool{}
	for _, h := range list {
		if _, known := tasks[h.task]; !known {
			tasks[h.task] = t.tasks.take(h.task, now-max(t.wall(now)-h.admitted, 0), none) // held open until all its hops are there
		}
		t.relimit(now, tasks[h.task], h.limit)
		if s := by[h.origin]; s != nil && s.hooked {
			t.tasks.at(tasks[h.task]).origin = int16(s.index)
		}
		if h.failed || r.failed[h.task] {
			t.tasks.at(tasks[h.task]).failed = max(1, t.tasks.at(tasks[h.task]).failed)
		}
		if s := by[h.step]; s != nil {
			came[s] = true
			t.resume(now, s, r, h, tasks[h.task], by[h.from])
		} else {
			if err := r.fetch(h); err != nil {
				h.evidence = append(h.evidence, unread(h.left, err))
			}
			t.orphan(now, h)
		}
		if d.large() {
			d.seal(t)
		}
	}
	for _, s := range t.steps {
		if s.spill != nil && s.keys == nil && came[s] { // among those that another daemon had in memory
			for _, q := range s.lines() {
				t.arrange(s, q)
			}
		}
		if s.keys != nil && came[s] {
			known := s.keys.known(s.sat.Work.Key)
			s.keys.dissolve(&t.hops, s)
			s.waiting.sort(&t.hops)
			t.arrange(s, &s.waiting)
			t.rekey(s, newKeyring(s.keys.spec, s.sat.Work.Key), known, nil)
		}
		s.dirty = true
	}
	t.order, t.gap = nil, 0
}

func (t *tracker) recollectAside(r *recall, by map[string]*step) {
	for _, id := range r.order {
		m := r.aside[id]
		if m == nil {
			continue
		}
		delete(r.aside, id) // once, even if it was laid there twice
		if s := by[m.step]; s != nil {
			s.count.admitted++
			s.count.quarantined++
		} else {
			t.past.Admitted++
			t.past.Quarantined++
		}
		t.aside.add(m)
	}
}

// resume makes a hop of a step.
func (t *tracker) resume(now int64, s *step, all *recall, r *recalled, task int32, from *step) {
	var lost error
	leave := s.spill != nil && s.keys == nil && r.crashes == 0
	if !leave {
		lost = all.fetch(r)
	}
	i, h := t.hops.take(s.index)
	tk := t.tasks.at(task)
	tk.open++
	h.id, h.task, h.tslot, h.admitted = r.id, r.task, task, now-max(t.wall(now)-r.admitted, 0)
	h.codec, h.level, h.hops, h.from = r.codec, r.level, r.hops, outside
	if from != nil {
		h.from = int16(from.index)
	}
	h.attempts, h.fails, h.crashes = r.attempts, r.fails, r.crashes
	h.body = t.bodies.copy(r.body)
	s.count.admitted++
	*t.hops.placeOf(i) = r.place
	if s.spill != nil { // as those that come from memory: the time in between does not count
		h.admitted = min(h.admitted+t.gap, now)
	}
	if r.body == nil && r.left > 0 {
		h.body = stub(r.left)
	}
	if leave && h.body.away > 0 {
		t.hops.placeOf(i).flags |= away
		s.spill.add(h)
	}
	r.body = nil // it may be one of many
	h.late = r.late
	if len(r.evidence) > 0 {
		t.testify(i, r.evidence...)
		t.retried(now, i, r.tries)
	}
	if r.n > 0 && r.epoch != t.epoch {
		t.before[dispatchID{r.epoch, r.n}] = entry{i, h.id}
	}
	left := min(r.due-t.wall(now), r.delay)
	switch {
	case r.due > 0 && left > 0:
		h.due = now + left
		t.hops.setState(i, held)
		t.rest(s, i, h)
	case h.crashes > 0:
		t.hops.setState(i, waiting)
		s.suspect.pushBack(&t.hops, i)
	default:
		t.hops.setState(i, waiting)
		t.enqueue(s, i)
	}
	switch {
	case lost != nil:
		t.unreadable(now, map[int32]error{i: lost})
	case !s.cfg.durable && !t.stays(s, i):
		t.scroll.forget(s, h, t.hops.place(i))
	case s.spill != nil && t.hops.place(i).flags&away == 0 && h.crashes == 0 && s.crowded():
		if h.due > now { // it is held, and comes into its line later
			t.tellEarly(s, i)
		}
		t.hops.place(i).flags |= leaves
		s.spill.add(h)
		t.depart(entry{i, h.id})
	}
}

// orphan sets aside a hop whose step is not in the topology any more.
func (t *tracker) orphan(now int64, r *recalled) {
	const reason = "its step is not in the topology any more, since dsatd was started with another one"
	m := &setAside{id: r.id, task: r.task, step: r.step, at: t.started.Add(time.Duration(now)), reason: reason, attempts: int(r.attempts),
		crashes: int(r.crashes), codec: r.codec, payload: r.body, evidence: r.evidence, onDisk: true, sealed: true, ext: r.place.ext}
	if r.body == nil {
		m.away = r.left
	}
	t.past.Admitted++
	t.past.Quarantined++
	d := t.scroll
	d.verse(verseAside)
	d.nextID(m.id)
	d.text(m.reason)
	d.lines(m.evidence)
	t.aside.add(m)
}

// dispatchID is a dispatch of an earlier daemon.
type dispatchID struct {
	epoch uint32
	n     uint64
}
