package bus

import (
	"encoding/binary"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// journalLog is what a scroll writes to: a *journal.Log. Append copies; it never blocks and never fails. What it was given counts
// from the moment on in which scroll.commit is told so.
type journalLog interface {
	Append(kind uint8, parts ...[]byte) (seq uint64, at journal.Position)
	Release(seq uint64)
}

// scroll is the tracker's side of the journal: it writes what happens to durable hops, a record for each turn of the loop, and
// knows what must not happen before such a record is on disk. verses.go has the form.
type scroll struct {
	log     journalLog
	epoch   uint32
	buf     []byte // the record in the making
	serial  uint32 // of it
	steps   uint32 // named in it
	id      uint64 // the last one written in it
	format  uint16 // of structs, the last one written in it; 0: none was
	limited uint64 // the last task whose limit was
	body    *body  // the last one written in it, while it cannot be another's yet
	bodyAt  uint32
	cur     *turn
	turns   []*turn // not committed, in order
	free    []*turn

	sources  map[topology.Ref]sourceMark
	promises map[uint64]*keptReply // replies that are on disk, by task
	hooks    map[uint64]*hookLog   // what is owed at the end of tasks, by task
	spilt    bool                  // something was that is accepted when it is on disk
	dead     estate
	formats  *formats
	removal  removal
}

// sourceMark is how far a life of a source is, and the newest record on disk that tells of it.
type sourceMark struct {
	inc      topology.Incarnation
	accepted uint64
	seq      uint64
}

// turn is what one record says, and what waits for it.
type turn struct {
	seq      uint64
	written  []entry      // hops that were written whole
	down     []*setAside  // messages in quarantine, likewise
	promises []*keptReply // replies to detached calls, likewise
	hooks    []*hookLog   // likewise what is owed
	ids      []idAt       // likewise ids
	ended    []parcel     // what is dead on disk from then on
	told     []told
	calls    []func()
	sources  []topology.Ref
}

type entry struct {
	slot int32
	id   uint64
}

// told is how far a source may be told that its messages are accepted.
type told struct {
	s *session
	n uint64
}

// place is where a hop is on disk.
type place struct {
	at    journal.Position // of its record
	off   uint32           // of the payload in it
	ext   uint32           // number of the extent
	flags uint8
}

const (
	onDisk   = 1 << 0 // the journal knows the hop
	sealed   = 1 << 1 // at and ext are known
	entering = 1 << 2 // it is in no queue until its record is committed
	leaves   = 1 << 4 // its payload leaves memory when the record is committed
	away     = 1 << 5 // its payload is not in memory
	coming   = 1 << 6 // and is being read
)

func newScroll(epoch uint32, log journalLog) *scroll {
	return &scroll{log: log, epoch: epoch, serial: 1, cur: &turn{}, sources: map[topology.Ref]sourceMark{}, dead: estate{segment: segmentBytes, grain: extentBytes}}
}

// segmentBytes is the size of the journal's segments.
const segmentBytes = 64 << 20

// largeRecord is when a turn's record is ended and another one begun.
const largeRecord = 1 << 20

func (d *scroll) large() bool { return len(d.buf) >= largeRecord }

// pending reports whether anything is not committed yet.
func (d *scroll) pending() bool { return len(d.buf) > 0 || len(d.turns) > 0 }

func (d *scroll) verse(kind uint8) {
	if len(d.buf) == 0 {
		d.buf = append(d.buf, recordVersion)
		d.number(uint64(d.epoch))
	}
	d.buf = append(d.buf, kind)
}

func (d *scroll) number(v uint64) { d.buf = binary.AppendUvarint(d.buf, v) }

// span writes a time that is not negative.
func (d *scroll) span(ns int64) { d.number(uint64(max(ns, 0))) }

func (d *scroll) nextID(id uint64) {
	delta := int64(id - d.id)
	d.number(uint64(delta<<1 ^ delta>>63))
	d.id = id
}

func (d *scroll) text(s string) {
	d.number(uint64(len(s)))
	d.buf = append(d.buf, s...)
}

func (d *scroll) lines(lines []string) {
	d.number(uint64(len(lines)))
	for _, l := range lines {
		d.text(l)
	}
}

// name makes sure that the record knows the step, and returns its number in it.
func (d *scroll) name(s *step) uint64 {
	if s.scribed != d.serial {
		s.scribed, s.scribedAs = d.serial, d.steps
		d.steps++
		d.verse(verseStep)
		d.number(uint64(s.scribedAs))
		d.text(s.name)
	}
	return uint64(s.scribedAs)
}

// payload writes a body unless it is the last one that was written.
func (d *scroll) payload(b *body) uint32 {
	if d.body == b {
		return d.bodyAt
	}
	d.verse(verseBody)
	d.number(uint64(len(b.data)))
	d.body, d.bodyAt = b, uint32(len(d.buf))
	d.buf = append(d.buf, b.data...)
	return d.bodyAt
}

// forgetBody is called when the memory of the last body may become another's.
func (d *scroll) forgetBody() {
	if d != nil {
		d.body = nil
	}
}

// codec is that of a message as it is written, after its format where it is a struct.
func (d *scroll) codec(c uint16) uint64 {
	if c != uint16(wire.Struct) && c < firstFormat {
		return uint64(c)
	}
	if d.format != c && (d.format != 0 || c >= firstFormat) {
		d.verse(verseFormat)
		d.text(d.formats.text(c))
		d.format = c
	}
	return uint64(wire.Struct)
}

// admit writes a new hop.
func (d *scroll) admit(t *tracker, s *step, i int32, h *hop) {
	d.head(t, h.admitted, verseAdmit, s, i, h)
}

func (d *scroll) head(t *tracker, now int64, kind uint8, s *step, i int32, h *hop) {
	as, from := d.name(s), uint64(0)
	if h.from != outside {
		from = d.name(t.steps[h.from]) + 1
	}
	origin := uint64(0)
	if o := t.tasks.at(h.tslot).origin; o != outside {
		origin = d.name(t.steps[o]) + 1
	}
	d.limits(now, t.tasks.at(h.tslot))
	off := d.payload(h.body)
	written := d.codec(h.codec)
	d.verse(kind)
	d.nextID(h.id)
	d.number(h.task)
	d.number(as)
	d.number(from)
	d.number(origin)
	d.number(written | uint64(h.level)<<levelBits)
	d.number(uint64(h.hops))
	p := t.hops.placeOf(i)
	if p.flags&sealed != 0 {
		d.cur.ended = append(d.cur.ended, parcel{p.ext, h.size()})
	}
	p.off, p.flags = off, p.flags&^(sealed|away|coming)|onDisk
	d.cur.written = append(d.cur.written, entry{i, h.id})
}

// put writes a hop as it is: one that was not on disk, or lies where others are dead.
func (d *scroll) put(t *tracker, now int64, s *step, i int32, h *hop, st state) {
	d.head(t, now, versePut, s, i, h)
	flags, delay := uint64(0), int64(0)
	if t.tasks.at(h.tslot).failed > 0 {
		flags |= putFailed
	}
	if h.late {
		flags |= putDelayed
	}
	came := h.admitted
	switch {
	case st != held:
	case h.attempts == 0 && h.due <= now: // it was delayed, and its time has come
		came = h.due
		flags |= putDelayed
	default:
		delay = max(h.due-now, 1)
	}
	d.number(flags)
	d.number(uint64(h.attempts))
	d.number(uint64(h.fails))
	d.number(uint64(h.crashes))
	d.span(now - came)
	d.span(delay)
	e := t.evidence[i]
	if e == nil {
		e = &trial{}
	}
	d.lines(e.lines)
	for k := range e.tries {
		d.tries(now, h, &e.tries[k])
	}
}

// ends writes the end of a hop that is on disk.
func (d *scroll) ends(t *tracker, s *step, i int32, h *hop, how state) {
	p := t.hops.place(i)
	if p == nil || p.flags == 0 {
		return
	}
	if p.flags&onDisk != 0 {
		d.verse(verseEnd)
		d.nextID(h.id)
		d.number(uint64(how))
	}
	d.vacate(s, h, p)
}

// vacate gives up the place of a hop.
func (d *scroll) vacate(s *step, h *hop, p *place) {
	if p.flags&entering != 0 {
		s.entering--
		s.enteringBytes -= size(h)
	}
	if s.spill != nil {
		s.spill.back(p, h)
		s.dirty = true // others may have waited for its payload
	}
	if p.flags&sealed != 0 {
		d.cur.ended = append(d.cur.ended, parcel{p.ext, h.size()})
		d.touch()
	}
	*p = place{}
}

// touch makes sure that the turn has a record.
func (d *scroll) touch() {
	if len(d.buf) == 0 {
		d.buf = append(d.buf, recordVersion)
		d.number(uint64(d.epoch))
	}
}

// known reports whether the journal has the hop.
func (t *tracker) known(i int32) bool {
	p := t.hops.place(i)
	return p != nil && p.flags&onDisk != 0
}

func (d *scroll) gives(h *hop, n uint64) {
	d.verse(verseGive)
	d.nextID(h.id)
	d.number(n)
}

func (d *scroll) fails(h *hop, delay int64, line string) {
	d.verse(verseFail)
	d.nextID(h.id)
	d.span(delay)
	d.lines([]string{line})
}

func (d *scroll) crashes(h *hop, lines []string) {
	d.verse(verseCrash)
	d.nextID(h.id)
	d.lines(lines)
}

// aside writes that a hop goes to quarantine: by its name when it is on disk, else whole.
func (d *scroll) aside(t *tracker, i int32, h *hop, m *setAside) {
	p := t.hops.place(i)
	if p == nil || p.flags&onDisk == 0 || p.flags&away != 0 {
		d.setDown(m)
		return
	}
	d.verse(verseAside)
	d.nextID(h.id)
	d.text(m.reason)
	d.lines(m.evidence)
	m.onDisk = true
	s := t.steps[t.hops.step(i)]
	if p.flags&entering != 0 {
		s.entering--
		s.enteringBytes -= size(h)
	}
	if s.spill != nil {
		s.spill.back(p, h)
		s.dirty = true // others may have waited for its payload
	}
	if p.flags&sealed != 0 {
		m.sealed, m.ext = true, p.ext
	} else {
		d.cur.down = append(d.cur.down, m)
	}
	*p = place{}
}

// setDown writes a message in quarantine whole.
func (d *scroll) setDown(m *setAside) {
	if m.sealed {
		d.cur.ended = append(d.cur.ended, parcel{m.ext, m.size()})
	}
	written := d.codec(m.codec)
	d.verse(verseSetDown)
	d.nextID(m.id)
	d.number(m.task)
	d.text(m.step)
	d.number(uint64(m.at.UnixNano()))
	d.text(m.reason)
	d.number(uint64(m.attempts))
	d.number(uint64(m.crashes))
	d.number(written)
	d.number(uint64(len(m.payload)))
	d.buf = append(d.buf, m.payload...)
	d.lines(m.evidence)
	m.onDisk, m.sealed = true, false
	d.cur.down = append(d.cur.down, m)
}

// taken writes that a message is not in quarantine any more.
func (d *scroll) taken(m *setAside) {
	if !m.onDisk {
		return
	}
	d.verse(verseTaken)
	d.nextID(m.id)
	if m.sealed {
		d.cur.ended = append(d.cur.ended, parcel{m.ext, m.size()})
	}
	m.onDisk, m.sealed = false, false
}

// source writes how far a source is.
func (d *scroll) source(ref topology.Ref, inc topology.Incarnation, accepted uint64) {
	d.verse(verseSource)
	d.text(ref.Name)
	d.number(uint64(ref.WID))
	d.number(uint64(inc))
	d.number(accepted)
	d.sources[ref] = sourceMark{inc: inc, accepted: accepted, seq: d.sources[ref].seq}
	d.cur.sources = append(d.cur.sources, ref)
}

// moves writes the new names of steps: all at once, for they may change places.
func (d *scroll) moves(names map[string]string) {
	d.verse(verseMove)
	d.number(uint64(len(names)))
	for from, to := range names {
		d.text(from)
		d.text(to)
	}
	d.serial++ // the record has to name them anew
	d.steps = 0
	d.verse(verseFresh)
}

// forget writes that a hop lives in memory only from now on.
func (d *scroll) forget(s *step, h *hop, p *place) {
	d.verse(verseForget)
	d.nextID(h.id)
	d.vacate(s, h, p)
}

// after calls f when all that was written until now is on disk.
func (d *scroll) after(f func()) {
	switch {
	case len(d.buf) > 0:
		d.cur.calls = append(d.cur.calls, f)
	case len(d.turns) > 0:
		last := d.turns[len(d.turns)-1]
		last.calls = append(last.calls, f)
	default:
		f()
	}
}

// seal hands the record to the log.
func (d *scroll) seal(t *tracker) {
	if len(d.buf) == 0 {
		return
	}
	c := d.cur
	seq, at := d.log.Append(recordKind, d.buf)
	c.seq = seq
	ext := d.dead.extent(seq, at, len(d.buf))
	for _, e := range c.written {
		p, h := t.hops.place(e.slot), t.hops.at(e.slot)
		if h.id == e.id && p.flags&onDisk != 0 && p.flags&sealed == 0 {
			p.at, p.ext = at, ext
			p.flags |= sealed
			d.dead.lives(ext, h.size())
		}
	}
	for _, m := range c.down {
		if m.onDisk && !m.sealed {
			m.sealed, m.ext = true, ext
			d.dead.lives(ext, m.size())
		}
	}
	d.sealPromises(c, ext)
	d.sealHooks(c, ext)
	d.sealIDs(c, ext)
	d.turns = append(d.turns, c)
	d.cur = &turn{}
	if n := len(d.free); n > 0 {
		d.cur, d.free = d.free[n-1], d.free[:n-1]
	}
	if cap(d.buf) > 8*largeRecord {
		d.buf = nil
	}
	d.buf, d.id, d.limited, d.steps, d.body = d.buf[:0], 0, 0, 0, nil
	d.format = 0
	d.serial++
}

// commit takes note that every record up to seq is on disk: hops of them may be dispatched, and who waits for it is told. tell
// answers sources.
func (t *tracker) commit(seq uint64, tell func(*session, uint64)) {
	d := t.scroll
	d.dead.committed = max(d.dead.committed, seq)
	n := 0
	for n < len(d.turns) && d.turns[n].seq <= seq {
		c := d.turns[n]
		for _, e := range c.written {
			t.enters(e)
			t.depart(e)
		}
		for _, p := range c.ended {
			d.dead.dies(p)
		}
		for _, ref := range c.sources {
			mark := d.sources[ref]
			mark.seq = c.seq
			d.sources[ref] = mark
		}
		for _, x := range c.told {
			tell(x.s, x.n)
		}
		for _, f := range c.calls {
			f()
		}
		d.recycle(c)
		n++
	}
	if n > 0 {
		d.turns = append(d.turns[:0], d.turns[n:]...)
	}
}

func (d *scroll) recycle(c *turn) {
	clear(c.down)
	clear(c.told)
	clear(c.calls)
	*c = turn{written: c.written[:0], ids: c.ids[:0], down: c.down[:0], ended: c.ended[:0], told: c.told[:0], calls: c.calls[:0], sources: c.sources[:0]}
	if len(d.free) < 16 {
		d.free = append(d.free, c)
	}
}

// enters puts a hop whose record is on disk into its queue.
func (t *tracker) enters(e entry) {
	p, h := t.hops.place(e.slot), t.hops.at(e.slot)
	if h.id != e.id || p.flags&entering == 0 {
		return
	}
	p.flags &^= entering
	s := t.steps[t.hops.step(e.slot)]
	s.entering--
	s.enteringBytes -= size(h)
	if h.due > 0 && h.attempts == 0 {
		t.hops.setState(e.slot, held)
		t.rest(s, e.slot, h)
		return
	}
	t.enqueue(s, e.slot)
}

// enqueue puts a new hop at the end of its queue, or behind those of its key.
func (t *tracker) enqueue(s *step, i int32) {
	if s.keys != nil && t.lineUp(s, i) {
		return
	}
	s.lineOf(t.hops.at(i)).pushBack(&t.hops, i)
	s.dirty = true
}

// enter writes a new hop of a durable queue; commit lets it in.
func (t *tracker) enter(s *step, i int32, h *hop) {
	t.scroll.admit(t, s, i, h)
	t.hops.place(i).flags |= entering
	s.entering++
	s.enteringBytes += size(h)
}

// enterLater writes a new hop that is to be delayed.
func (t *tracker) enterLater(now int64, s *step, i int32, h *hop) {
	t.scroll.put(t, now, s, i, h, held)
	t.hops.place(i).flags |= entering
	s.entering++
	s.enteringBytes += size(h)
}

// eachEntering calls f for every hop that waits for its record.
func (t *tracker) eachEntering(f func(i int32)) {
	if t.scroll == nil {
		return
	}
	look := func(c *turn) {
		for _, e := range c.written {
			if p := t.hops.place(e.slot); p != nil && p.flags&entering != 0 && t.hops.at(e.slot).id == e.id {
				f(e.slot)
			}
		}
	}
	for _, c := range t.scroll.turns {
		look(c)
	}
	look(t.scroll.cur)
}

// wall is the time of day, ns since 1970, at a moment of the tracker.
func (t *tracker) wall(now int64) int64 { return t.started.Add(time.Duration(now)).UnixNano() }

// after calls f when all that the tracker has done until now is on disk, as far as it has to be: at once when nothing has to.
func (t *tracker) after(f func()) {
	if t.scroll == nil {
		f()
		return
	}
	t.scroll.after(f)
}

// unwritten reports whether something is not on disk that has to be.
func (t *tracker) unwritten() bool { return t.scroll != nil && t.scroll.pending() }
