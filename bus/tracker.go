package bus

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// brokenAfter is how many messages in a row may be set aside for crashes without one DONE between them; from there on it
// is the worker that is broken, and its messages wait instead.
const brokenAfter = 3

// tracker is the state of every hop and task. It has no sockets, no clock and no goroutine: time comes in as nanoseconds
// since its start, and what is to be sent goes out through sink. One goroutine owns it.
type tracker struct {
	recorded []recorder // streams that something was appended to in this turn
	epoch    uint32
	started  time.Time // of second 0; only for what people read
	steps    []*step
	hops     slab
	bodies   bodies
	tasks    tasks
	aside    quarantine
	ended    memory
	sink     sink
	rand     *rand.Rand

	ids       uint64               // counter of tasks and messages
	n         uint64               // counter of dispatches
	evidence  map[int32]*trial     // of hops that failed or crashed
	touched   []*worker            // what settle has to look at
	answer    answered             // the newest one, until its hop has ended
	unblocked bool                 // a queue that was full has room since the last look
	frozen    bool                 // nothing is dispatched or let in
	past      Ledger               // of steps that are not any more
	lapsed    lapses               // tasks that nobody wants any more
	limited   int                  // tasks with a limit of time
	limitAt   int64                // when the first of them may be over it
	scroll    *scroll              // what durable hops leave on disk; nil: nothing
	wants     []wanted             // payloads on disk that are to come to memory
	order     map[*step][]uint64   // of what waits, as a daemon before this one has told it; only at the start
	gap       int64                // since that was, ns; likewise
	before    map[dispatchID]entry // what workers of an earlier daemon may have in hand still
	seen      *seen                // the message that rules look at
	formats   *formats
}

// sink is where the tracker's decisions go.
type sink interface {
	// deliver sends the hop as dispatch n to the worker.
	deliver(w *worker, h *hop, n uint64)
	// taskEnded tells who waits for the task.
	taskEnded(waiter int32, t *task)
	// late says that the running hop n of w has missed its deadline; it stays in hand until the process is gone.
	late(w *worker, h *hop, n uint64)
	// hooked says that a task has ended which began at s, in whose hooks something may be about it.
	hooked(s *step, t *task)
	// result is an output of the last step of a task somebody waits for.
	result(waiter int32, o *wire.Output)
	// topic says that dispatch n, which follows, belongs to a session of that name.
	topic(w *worker, n uint64, session string)
	// cancel says that dispatch n, which w holds, is not wanted any more.
	cancel(w *worker, n uint64)
	// note says what people may want to know of a step.
	note(s *step, text string)
}

// trial is what happened to a hop so far.
type trial struct {
	lines []string
	tries []try // that failed, oldest first
	party int   // a suspect: how many of those it was running with are tried together; 0: it alone
}

func newTracker(epoch uint32, steps []*step, sink sink, start time.Time) *tracker {
	t := &tracker{epoch: epoch, started: start, steps: steps, hops: newSlab(), sink: sink, tasks: newTasks(), formats: &formats{},
		evidence: map[int32]*trial{}, answer: answered{slot: none}, before: map[dispatchID]entry{}, rand: rand.New(rand.NewPCG(uint64(epoch), uint64(start.UnixNano())))}
	t.seen = newSeen(start, t.formats)
	t.ringed()
	return t
}

func (t *tracker) nextID() uint64 {
	t.ids++
	return uint64(wire.NewID(t.epoch, t.ids))
}

// peekID is the id the next task will get.
func (t *tracker) peekID() uint64 { return uint64(wire.NewID(t.epoch, t.ids+1)) }

// message is what is admitted.
type message struct {
	codec    uint16
	hops     uint16
	from     int16
	attempts uint16 // of the hop it answers
	quiet    bool   // its task has no hooks
	pin      *pin   // nil: any worker may have it
	level    uint8  // of priority
	wish     *wish  // nil: nothing but to be delivered
	body     *body
}

// emit admits a message of s to the links of port, as a new task. It takes over the reference to the body.
func (t *tracker) emit(now int64, s *step, port uint16, m message) {
	if s.recorder != nil {
		t.retain(s, t.peekID(), m.codec, m.hops, m.body.data)
	}
	if len(s.to) > 0 || port != wire.AllLinks {
		task := t.begin(now, none)
		if s.hooked {
			t.tasks.at(task).origin = int16(s.index)
		}
		if m.wish != nil || s.cfg.task > 0 {
			t.bound(task, now, s, m.wish)
		}
		t.fan(now, s, port, task, m)
		t.close(task)
	}
	t.bodies.drop(m.body)
}

// inject admits a message from outside to one step, as a new task somebody may wait for, and returns the task's id and its slot, which
// is that of another when the task has ended at once.
func (t *tracker) inject(now int64, to *step, m message, waiter int32) (id uint64, task int32) {
	task = t.begin(now, waiter)
	id = t.tasks.at(task).id
	if to.hooked && !m.quiet {
		t.tasks.at(task).origin = int16(to.index)
	}
	t.bound(task, now, to, m.wish)
	t.admit(now, to, task, m)
	t.close(task)
	t.bodies.drop(m.body)
	return id, task
}

// begin makes a task that is held open until close, so that it cannot end between its first hops.
func (t *tracker) begin(now int64, waiter int32) int32 {
	t.scroll.forgetBody()
	return t.tasks.take(t.nextID(), now, waiter)
}

func (t *tracker) close(slot int32) {
	task := t.tasks.at(slot)
	if task.open--; task.open == 0 {
		t.endTask(slot)
	}
}

// admit makes one hop; what its queue cannot take ends at once, as the queue's policy says.
func (t *tracker) admit(now int64, to *step, task int32, m message) {
	if to.index == outside {
		t.strand(now, to, task, m)
		return
	}
	if m.wish != nil && t.repeats(now, to, m.wish) {
		return
	}
	i, h := t.hops.take(to.index)
	tk := t.tasks.at(task)
	tk.open++
	h.id, h.task, h.tslot, h.admitted = t.nextID(), tk.id, task, now
	h.codec, h.hops, h.from, h.level, h.body = m.codec, m.hops, m.from, m.level, m.body
	m.body.refs++
	to.count.admitted++
	to.count.bytesIn += uint64(len(m.body.data))
	t.hops.setState(i, waiting)
	if int(m.hops) >= to.cfg.hops {
		t.setAside(now, i, fmt.Sprintf("it has passed %d steps, the hop limit: is there a loop?", m.hops))
		return
	}
	if !to.cfg.blocks && to.full() && !t.overflow(now, to, i) {
		return
	}
	if m.pin != nil {
		t.bind(to, i, m.pin)
		return
	}
	if to.spill != nil {
		t.beyond(now, to, i, h, m.wish)
	}
	if m.wish != nil && t.grant(now, to, i, h, m.wish) {
		return
	}
	if to.cfg.durable && t.scroll != nil {
		t.enter(to, i, h)
		return
	}
	t.enqueue(to, i)
}

// grant does what a new hop wishes, and reports whether it waits elsewhere than in its queue.
func (t *tracker) grant(now int64, to *step, i int32, h *hop, w *wish) bool {
	if to.seen != nil && w.id != (msgID{}) {
		if to.seen.add(now, w.id, h.task); to.cfg.durable && t.scroll != nil {
			t.scroll.sees(now, to, to.seen.end-1)
		}
	}
	if w.delay <= 0 {
		return false
	}
	h.due = now + w.delay
	if to.cfg.durable && t.scroll != nil {
		t.enterLater(now, to, i, h)
	} else {
		t.postpone(now, to, i, h, w.delay)
	}
	return true
}

// overflow applies the policy of a full queue that does not block and reports whether hop i may still enter.
func (t *tracker) overflow(now int64, to *step, i int32) bool {
	switch to.cfg.full {
	case topology.FullDropOldest:
		if to.calm() == 0 && to.inLine() > 0 {
			if oldest := to.keys.oldest(&t.hops); oldest != none {
				to.keys.takeOut(&t.hops, oldest)
				t.finish(now, oldest, dropped, "queue full, and newer ones came")
				return true
			}
		}
		if to.calm() == 0 {
			t.finish(now, i, dropped, "queue full")
			return false
		}
		t.finish(now, to.bottom().popFront(&t.hops), dropped, "queue full, and newer ones came")
		return true
	case topology.FullQuarantine:
		t.setAside(now, i, "queue full")
	default:
		t.finish(now, i, dropped, "queue full")
	}
	return false
}

func (t *tracker) touch(w *worker) {
	if !w.touched {
		w.touched = true
		t.touched = append(t.touched, w)
	}
}

// answered takes dispatch pos out of the hand and returns its hop.
func (t *tracker) answered(now int64, w *worker, pos int) int32 {
	d := *w.hand.at(pos)
	w.step.latency.observe(now - d.sent)
	w.cost -= d.cost
	w.alone = w.alone && w.hand.live > 1
	w.heard = now
	w.step.dirty = true
	w.hand.take(pos)
	t.touch(w)
	w.spend()
	t.answer.slot, t.answer.sent, t.answer.worker = d.slot, d.sent, w.name
	return d.slot
}

// done ends the hops from n to m that w holds (only n when m is not larger) and reports whether there was one.
func (t *tracker) done(now int64, w *worker, n, m uint64) bool {
	found, guarded := false, w.step.guard != nil
	for pos := w.hand.find(n); pos < w.hand.end; pos++ {
		d := w.hand.at(pos)
		if d.n > max(n, m) {
			break
		}
		if d.slot != none {
			found = true
			if guarded {
				t.succeeded(now, w.step, d.n)
			}
			t.finish(now, t.answered(now, w, pos), done, "")
		}
	}
	if found {
		w.step.streak, w.proven = 0, true
	}
	return found
}

// output admits one output of the dispatch n of w; its DONE must follow in the same turn.
func (t *tracker) output(now int64, w *worker, n uint64, o *wire.Output) {
	t.outputOf(now, w.step, w.hand.at(w.hand.find(n)).slot, o)
}

// outputOf admits one output of a hop of s, whose end must follow in the same turn.
func (t *tracker) outputOf(now int64, s *step, i int32, o *wire.Output) {
	h := t.hops.at(i)
	if s.recorder != nil {
		t.retain(s, h.task, uint16(o.Codec), h.hops+1, o.Payload)
	}
	if len(s.to) == 0 && (o.Port == wire.AllLinks || int(o.Port) >= len(s.routes)) {
		if waiter := t.tasks.at(h.tslot).waiter; waiter != none {
			t.sink.result(waiter, o)
		}
		return
	}
	t.scroll.forgetBody()
	m := message{codec: uint16(o.Codec), hops: h.hops + 1, from: int16(s.index), level: h.level, attempts: h.attempts, body: t.bodies.copy(o.Payload)}
	if waiter := t.tasks.at(h.tslot).waiter; !t.fan(now, s, o.Port, h.tslot, m) && waiter != none {
		t.sink.result(waiter, o) // for this message it is the last step
	}
	t.bodies.drop(m.body)
}

// fail ends one attempt: another one after the back-off, or the end the topology wants.
func (t *tracker) fail(now int64, w *worker, n uint64, again bool, reason string) bool {
	if !w.hand.holds(n) {
		return false
	}
	i := t.answered(now, w, w.hand.find(n))
	h := t.hops.at(i)
	s := w.step
	s.count.failed++
	h.fails++
	t.suffered(now, s, n)
	t.testify(i, fmt.Sprintf("attempt %d at %s: %s", h.attempts, w.name, reason))
	t.tried(now, i, t.answer.sent, w.name, reason)
	switch {
	case again && int(h.fails) <= s.cfg.retries:
		delay := min(s.cfg.backoff<<min(h.fails-1, 20), int64(time.Minute))
		h.due = now + delay/2 + t.rand.Int64N(delay/2+1)
		if s.disk && t.known(i) {
			t.scroll.fails(h, h.due-now, t.lastLine(i))
			t.scroll.tried(now, h, t.evidence[i])
		}
		t.hops.setState(i, held)
		s.held.push(h.due, i)
		s.holding += size(h)
	case s.cfg.then == topology.ThenDrop:
		t.finish(now, i, dropped, reason)
	default:
		t.setAside(now, i, reason)
	}
	return true
}

// bury takes back what a dead worker held: to the head of the queue, in its order. The first c of it were running; if the
// death is to count, they are suspects now. Which of several it was is found by halves: each time half of those that ran together are
// tried together, so that the innocent get through in a few steps. Only one that ran alone is set aside at the limit.
func (t *tracker) bury(now int64, w *worker, counts bool, cause string, last []string) {
	w.open = false
	s := w.step
	t.unpin(now, w, "its session is lost: "+cause)
	if counts {
		t.suffered(now, s, math.MaxUint64)
	} else if s.guard != nil {
		s.guard.died = 0
	}
	var back []int32
	left, ran := w.concurrency, min(w.concurrency, w.hand.live)
	for pos := w.hand.first; pos < w.hand.end; pos++ {
		if i := w.hand.at(pos).slot; i != none {
			if left--; left >= 0 && counts {
				t.hops.at(i).crashes++
				s.count.crashed++
				t.testify(i, death(t.hops.at(i).attempts, w.name, cause, last)...)
				t.tried(now, i, w.hand.at(pos).sent, w.name, "the process ended: "+cause)
				t.evidence[i].party = (ran + 1) / 2
				if s.disk && t.known(i) {
					t.scroll.crashes(t.hops.at(i), death(t.hops.at(i).attempts, w.name, cause, last))
					t.scroll.tried(now, t.hops.at(i), t.evidence[i])
				}
			}
			back = append(back, i)
		}
	}
	w.hand = hand{}
	w.cost, w.alone = 0, false
	for k := len(back) - 1; k >= 0; k-- {
		i := back[k]
		t.hops.setState(i, waiting)
		if k == 0 && ran == 1 && counts && int(t.hops.at(i).crashes) >= s.cfg.crashes && s.streak < brokenAfter {
			s.streak++
			t.setAside(now, i, fmt.Sprintf("it was being handled when %d processes ended, the last one: %s", t.hops.at(i).crashes, cause))
			continue
		}
		s.line(&t.hops, i).pushFront(&t.hops, i)
	}
	s.remove(w)
	s.dirty = true
}

// line is where a hop that comes back waits.
func (s *step) line(hops *slab, i int32) *fifo {
	if len(s.pins) > 0 && s.pins[i] != nil {
		return &s.bound
	}
	if hops.at(i).crashes > 0 {
		return &s.suspect
	}
	return s.lineOf(hops.at(i))
}

func (s *step) remove(w *worker) {
	if s.kept == w {
		s.kept = nil
	}
	for i, x := range s.workers {
		if x == w {
			s.workers = append(s.workers[:i], s.workers[i+1:]...)
			break
		}
	}
}
