package bus

import (
	"os"
	"runtime"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// orchester is the one loop. All its fields are its own.
type orchester struct {
	bus       *Bus
	t         *tracker
	byName    map[string]*step
	instances map[topology.Ref]*instance
	now       int64
	measured  int64 // when the counters were marked last
	clock     clock
	rec       wire.Record // the record in hand
	out       wire.Output
	wish      wish // of the record in hand

	dirty    []*peer    // with something to flush
	acks     []*session // with EMITs accepted and not yet told
	gated    []*session // with EMITs that wait for room
	leaving  []*leaving // whose end is not complete
	drains   []*drain
	sends    []*sending         // from outside, waiting for room
	waiters  map[int32]*sending // waiting for the end of their task
	waiter   int32              // the last number given
	timing   timing
	hooks    hooks
	legacy   *legacy // nil: no [bus.v1]
	replies  replies
	talks    conversations
	idle     []chan struct{}
	emptying []emptying
	version  uint64 // of the links: how often they were changed

	sessions uint64 // how many were opened: the number of the last one
	rejoin   bool   // who takes part in direct links has changed
	shut     bool

	log     disk   // nil: nothing goes to disk
	full    bool   // it takes nothing that can wait
	look    int64  // when to see whether it does
	trouble string // what ails it

	freezing *freezing                   // somebody wants nothing in hand
	resume   map[topology.Ref]keptSource // sources of an earlier daemon, until they say HELLO
	claims   int64                       // until when survivors are waited for who may have something in hand; 0: nobody is
	strays   uint64                      // frames of peers that were refused or never welcomed

	strangers strangers
	unread    map[string][]byte // what an earlier daemon has read of filters and not taken, by instance
	holding   []*filterCarrier  // by Hold
	taps      []*Tap            // who looks on
}

// instance is the newest life of one slot that was admitted.
type instance struct {
	ref      topology.Ref
	inc      topology.Incarnation
	token    string
	owner    Owner
	step     *step
	sat      *topology.Satellite // as it was when this life was admitted
	peer     *peer               // plugins and filters: before HELLO too
	sess     *session
	gone     bool
	draining bool
	life     *legacyLife // of one that speaks v1, once it is spawned
	cause    string
	last     []string
}

// batch is how many events one turn takes before what they caused is sent.
const batch = 32

func newOrchester(b *Bus) *orchester {
	o := &orchester{bus: b, unread: b.cfg.Unread, byName: map[string]*step{}, instances: map[topology.Ref]*instance{}, waiters: map[int32]*sending{}, resume: map[topology.Ref]keptSource{}}
	steps := buildSteps(b.topology.Load())
	for _, s := range steps {
		o.byName[s.name] = s
	}
	o.t = newTracker(b.cfg.Epoch, steps, o, b.start)
	return o
}

func (o *orchester) wall() time.Time { return o.bus.start.Add(time.Duration(o.now + o.clock.lost)) }

// run takes turns until the bus is closed.
func (o *orchester) run() {
	timer := time.NewTimer(time.Hour)
	if o.claims > 0 {
		o.claims = o.bus.now() + claimTime
	}
	defer timer.Stop()
	for {
		select {
		case ev := <-o.bus.in:
			o.turn()
			o.event(ev)
			o.more()
		case <-o.bus.mail.wake:
			o.turn()
			o.letters()
			o.more()
		case <-timer.C:
			o.turn()
		case <-o.bus.done:
			o.close()
			return
		}
		next := sooner(o.endTurn(), o.awake())
		if o.clock.due = next; next > 0 {
			timer.Reset(max(time.Duration(next-o.now), 0))
		} else {
			timer.Stop()
		}
		runtime.Gosched() // carriers that are ready hand in what they have: one turn for all of it
	}
}

// more takes what else is there, up to a batch.
func (o *orchester) more() {
	for range batch - 1 {
		select {
		case ev := <-o.bus.in:
			o.event(ev)
		default:
			return
		}
	}
}

// event handles one thing from a carrier. Letters go first: what was posted before a process could speak is known when it does.
func (o *orchester) event(ev inbound) {
	if o.bus.mail.some.Load() {
		o.letters()
	}
	if ev.frame == nil {
		o.inputEnded(ev.peer, ev.err)
		return
	}
	o.frame(ev.peer, ev.frame)
	o.bus.pool.put(ev.frame)
}

func (o *orchester) letters() {
	for _, f := range o.bus.mail.take() {
		f(o)
	}
}

// endTurn sends what the turn has caused and returns when the loop wants to be woken; 0: not.
func (o *orchester) endTurn() int64 {
	o.t.judgeAll(o.now)
	due := o.expireCalls()
	o.t.tick(o.now)
	due = sooner(sooner(due, o.departures()), o.heardAll())
	if o.legacy != nil {
		due = sooner(due, o.legacy.tick())
	}
	o.distribute()
	for o.callHooks() || o.converseOn() {
		o.distribute()
	}
	if o.legacy != nil && o.legacy.unfit() {
		due = o.now // they fail in the next turn, which is now
	}
	if o.t.scroll != nil {
		o.write()
	}
	if len(o.t.wants) > 0 {
		o.fetch()
	}
	for _, s := range o.acks {
		if s.ackDue = false; s.unwritten > 0 {
			continue // what is told then is more
		}
		o.post(s.peer, &wire.Header{Kind: wire.Accepted, N: s.accepted}, nil)
	}
	o.acks = o.acks[:0]
	if o.rejoin {
		o.meet()
	}
	o.checkDrains()
	for k := 0; k < len(o.dirty); k++ { // a refusal adds to it
		if p := o.dirty[k]; p.flush() && !p.refused {
			o.refuse(p, wire.ErrProtocol, "it asks and asks, and does not read the answers")
		}
	}
	clear(o.dirty)
	o.dirty = o.dirty[:0]
	if len(o.emptying) > 0 {
		o.checkEmpty()
	}
	o.t.flushStreams()
	o.checkIdle()
	o.checkFrozen()
	return sooner(sooner(due, o.look), sooner(o.t.next(), sooner(o.tellStrangers(), o.tellSkipped())))
}

// sooner is the earlier of two times, of which 0 is never.
func sooner(a, b int64) int64 {
	if a == 0 || (b > 0 && b < a) {
		return b
	}
	return a
}

// distribute dispatches until nothing more can move: a queue that gets room lets in those who waited for it.
func (o *orchester) distribute() {
	for {
		o.dispatchAll()
		if !o.t.unblocked {
			o.t.settle(o.now)
			return
		}
		o.t.unblocked = false
		for _, s := range o.t.steps {
			s.dirty = s.dirty || s.queued() > 0
		}
		o.dispatchAll() // before those at the doors, who would take the room each time
		o.letIn()
		if o.legacy != nil {
			o.legacy.letIn()
		}
	}
}

func (o *orchester) dispatchAll() {
	for _, s := range o.t.steps {
		if s.dirty {
			o.t.dispatch(o.now, s)
		}
	}
}

// letIn admits EMITs and sends that waited for room, in order of each source.
func (o *orchester) letIn() {
	keep := o.gated[:0]
	for _, s := range o.gated {
		if !o.admitPending(s) {
			keep = append(keep, s)
		}
	}
	clear(o.gated[len(keep):])
	o.gated = keep
	waiting := o.sends[:0]
	for _, s := range o.sends {
		if o.t.frozen || s.to.blocked() {
			waiting = append(waiting, s)
		} else {
			o.inject(s)
		}
	}
	clear(o.sends[len(waiting):])
	o.sends = waiting
}

// post appends a record to what is sent to a peer at the end of the turn.
func (o *orchester) post(p *peer, h *wire.Header, body []byte) {
	if p.left {
		return
	}
	if !p.dirty {
		p.dirty = true
		o.dirty = append(o.dirty, p)
	}
	h.Epoch = o.t.epoch
	p.add(h, body)
}

// deliver is the tracker's sink.
func (o *orchester) deliver(w *worker, h *hop, n uint64) {
	p := w.sess.peer
	if p.left {
		if e := w.sess.elder; e != nil {
			o.legacy.deliver(e, h, n)
			if len(o.taps) > 0 {
				o.tapped(w, h)
			}
		}
		return
	}
	if !p.dirty {
		p.dirty = true
		o.dirty = append(o.dirty, p)
	}
	head := wire.Header{Kind: wire.Data, Flags: uint8(min(h.attempts-1, 255)), Port: w.step.port(h.from), Epoch: o.t.epoch,
		Codec: wire.Codec(h.codec), Hops: h.hops, N: n, M: h.task, ID: h.id, Time: o.bus.start.UnixNano() + h.admitted}
	data := h.body.data
	if h.codec > uint16(wire.Struct) || p.edge != nil {
		head.Codec, data = p.form(h)
	}
	p.add(&head, data)
	if len(o.taps) > 0 {
		o.tapped(w, h)
	}
}

// checkIdle tells those who wait until nothing is left.
func (o *orchester) checkIdle() {
	if len(o.idle) == 0 || o.t.hops.live > o.t.resting() || len(o.sends)+o.talks.next > 0 || o.t.unwritten() || o.hooks.commands > 0 || o.legacy != nil && o.legacy.waiting() {
		return
	}
	for _, s := range o.gated {
		if len(s.pending) > 0 {
			return
		}
	}
	for _, c := range o.idle {
		close(c)
	}
	o.idle = nil
}

// shutDoors refuses what comes from outside; what waits in durable queues waits for the next daemon, and so does what waits in one that
// has spilled: all of it could hardly be worked off now.
func (o *orchester) shutDoors() {
	o.shut = true
	for _, s := range o.t.steps {
		s.resting = o.t.scroll != nil && (s.cfg.durable || s.spill != nil && s.spill.messages > 0)
		o.t.unblocked = o.t.unblocked || s.resting
	}
}

// close answers all who wait.
func (o *orchester) close() {
	if o.t.scroll != nil {
		o.t.stow(o.now)
		o.seal()
	}
	for _, s := range o.sends {
		o.answer(s, Sent{}, errClosed)
	}
	for _, s := range o.waiters {
		o.answer(s, Sent{}, errClosed)
	}
	if err := os.RemoveAll(o.bus.pluginRoot()); err != nil {
		o.bus.cfg.Log.Warn("cannot remove the plugins' sockets", "error", err)
	}
}

// admit makes ready for one life of an instance.
func (o *orchester) admit(ref topology.Ref, inc topology.Incarnation, token string, who Owner) {
	if s := o.byName[ref.Name]; s != nil {
		o.instances[ref] = &instance{ref: ref, inc: inc, token: token, owner: who, step: s, sat: s.sat}
	}
}

// find returns the instance if this life of it is the newest.
func (o *orchester) find(ref topology.Ref, inc topology.Incarnation) *instance {
	if i := o.instances[ref]; i != nil && i.inc == inc {
		return i
	}
	return nil
}

func (o *orchester) spawned(ref topology.Ref, inc topology.Incarnation, pid int, in, out *os.File) {
	i := o.find(ref, inc)
	if i != nil && !i.gone && i.sat.Speaks == topology.SpeaksV1 && o.legacy != nil {
		o.legacy.spawned(i, pid)
	}
	if i == nil || i.gone || in == nil && out == nil {
		closeAll(in, out)
		return
	}
	i.peer = o.bus.startFilter(i.sat, in, out, o.unread[ref.String()])
	delete(o.unread, ref.String()) // it is of this life
	i.peer.bound, i.peer.ref, i.peer.inc = true, ref, inc
	o.welcome(i, i.peer, &wire.HelloBody{Step: ref.Name, WID: ref.WID, Concurrency: 1, Source: i.sat.Mode == topology.ModeSource}, true)
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (o *orchester) handshake(ref topology.Ref, inc topology.Incarnation, line string) {
	i := o.find(ref, inc)
	if i == nil || i.gone || i.peer != nil {
		return
	}
	p, err := o.bus.startPlugin(ref, inc, i.owner, line)
	if err != nil {
		o.tellFault(ref, inc, err.Error())
		return
	}
	p.bound, p.ref, p.inc = true, ref, inc
	i.peer = p
}
