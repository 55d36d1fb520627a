package bus

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// outside is the origin of a hop that no step emitted.
const outside = -1

// step is one satellite that takes part: its queue, its links and its workers.
type step struct {
	index    int
	name     string
	sat      *topology.Satellite
	cfg      limits
	to       []*step
	from     []*step
	calls    []*step  // steps it may call
	recorder recorder // of what it puts out; nil: it is not kept
	gates    []*step  // blocking queues below, outside of cycles: while one is full nothing is dispatched here

	// What ports stand for. A link that is gone keeps its place, so that what was said under it is understood.
	router    *router  // nil: every link takes every message
	keys      *keyring // nil: its messages have no keys
	looks     bool     // somebody wants to see what it emits
	flows     []*flow  // beside to
	flowBy    map[string]*flow
	routes    []*step  // output links, by port
	portFlows []*flow  // beside routes
	origins   []*step  // input links, by port
	callees   []*step  // steps it may call, by port
	ports     []uint16 // by index of the step it comes from: the port of DATA

	waiting fifo
	bound   fifo           // waiting too: each for one worker
	pins    map[int32]*pin // of hops that are for one worker, by slot; nil: there never was one
	suspect fifo           // waiting too: may have killed a process, and go alone
	held    heap
	holding int64 // bytes of held hops
	workers []*worker
	kept    *worker // takes nothing new: the next suspect goes to it when it is idle
	count   counts
	latency Histogram
	carried carried
	hooked  bool // something may follow the end of a task that began here
	source  bool // its satellites only emit: nothing can be sent to it
	streak  int  // messages quarantined for their crashes since the last DONE: at some number the worker is to blame
	dirty   bool
	awaits  bool   // nothing is given to its workers until those who outlived an earlier daemon have said what they have
	paused  bool   // nothing is given to its workers, on request
	shut    bool   // nothing is let in, on request: it is drained
	guard   *guard // nil: nothing is bounded but by credit
	budget  budget // of retries
	pace    pace
	edged   atomic.Uint64 // payloads that were written anew for it
	kepts   uint64        // messages that went to its stream
	seen    *recentIDs    // ids of messages that came lately; nil: they do not matter
	later   heap          // hops whose first time has not come
	all     []*fifo       // those of lines
	above   []*fifo       // lines of the levels of priority from 1 on; nil: there is one level

	// Only durable queues, and those that spill, use what follows.
	spill         *spill // nil: nothing of it goes to disk for want of memory
	disk          bool   // hops of it may be on disk
	resting       bool   // nothing is dispatched: it stays on disk
	stuck         bool   // the journal takes nothing that can wait
	entering      int    // hops that are in no queue until they are on disk
	enteringBytes int64
	scribed       uint32 // the record in which it was named last
	scribedAs     uint32
}

// limits is what the topology says about one queue and its work, in the tracker's units.
type limits struct {
	messages  int
	bytes     int64
	full      topology.Full
	blocks    bool  // full: who fills it waits
	ttl       int64 // ns, 0: never
	inHand    int
	deadline  int64 // ns, 0: none
	heartbeat int64 // ns, 0: none
	task      int64 // ns, of a whole task that begins here; 0: none
	retries   int
	backoff   int64 // ns
	hops      int
	crashes   int
	then      topology.Then
	durable   bool
	direct    bool
}

// counts are the terms of the conservation law that are counted, and what is counted beside it.
type counts struct {
	admitted, done, quarantined, expired, cancelled, dropped uint64
	redelivered, failed, crashed, refused                    uint64
	bytesIn                                                  uint64
	spilled, spilledBytes                                    uint64 // whose payloads went to disk for want of memory
	diverted, starved, repeated                              uint64 // starved: retries that had to wait for the budget
	misfits                                                  uint64 // payloads that could not be converted for it
}

// buildSteps makes the steps of all satellites that speak to the bus, in file order.
func buildSteps(t *topology.Topology) []*step {
	var steps []*step
	for _, sat := range t.Satellites {
		if speaks(sat) {
			steps = append(steps, newStep(sat))
		}
	}
	relink(steps, func(*step) bool { return false })
	return steps
}

// speaks reports whether a satellite takes part.
func speaks(sat *topology.Satellite) bool {
	return sat.Speaks != topology.SpeaksNone && sat.Speaks != ""
}

func newStep(sat *topology.Satellite) *step {
	s := &step{name: sat.Name, sat: sat, cfg: limitsOf(sat), waiting: newFIFO(), suspect: newFIFO(), bound: newFIFO()}
	s.disk, s.hooked = s.cfg.durable, hooked(sat)
	s.spills()
	s.protect()
	return s
}

// reaches reports whether work at a can come to b.
func reaches(a, b *step, seen map[*step]bool) bool {
	if a == b {
		return true
	}
	if seen[a] {
		return false
	}
	seen[a] = true
	for _, n := range a.to {
		if reaches(n, b, seen) {
			return true
		}
	}
	return false
}

// limitsOf fills what a topology built by hand left zero.
func limitsOf(sat *topology.Satellite) limits {
	l := limits{
		messages: sat.Queue.MaxMessages, bytes: sat.Queue.MaxBytes, full: sat.Queue.Full, ttl: int64(sat.Queue.TTL),
		inHand: sat.Work.InHand, deadline: int64(sat.Work.Deadline), heartbeat: int64(sat.Work.Heartbeat), task: int64(sat.Task), retries: sat.Work.Retries, backoff: int64(sat.Work.Backoff),
		hops: sat.Work.Hops, crashes: sat.Work.Crashes, then: sat.Work.Then,
	}
	l.durable, l.direct = sat.Queue.Delivery == topology.DeliveryDurable, sat.Queue.Delivery == topology.DeliveryDirect
	if l.messages <= 0 {
		l.messages = 1 << 30
	}
	if l.bytes <= 0 {
		l.bytes = 1 << 50
	}
	if l.full == "" {
		l.full = topology.FullBlock
	}
	l.blocks = l.full == topology.FullBlock || l.full == topology.FullSpill
	if l.inHand <= 0 {
		l.inHand = 1
	}
	if l.hops <= 0 {
		l.hops = 64
	}
	if l.crashes <= 0 {
		l.crashes = 3
	}
	if l.backoff <= 0 {
		l.backoff = int64(200 * time.Millisecond)
	}
	return l
}

// full reports whether the queue is at its limit; what waits for its retry counts too.
func (s *step) full() bool {
	if s.spill != nil {
		return s.spilledFull()
	}
	return s.queued()+s.entering+s.holds() >= s.cfg.messages || s.bytes() >= s.cfg.bytes
}

// queued is how many hops wait for a worker.
func (s *step) queued() int {
	n := s.waiting.count + s.suspect.count + s.bound.count + s.inLine()
	for _, q := range s.above {
		n += q.count
	}
	return n
}

// bytes is what counts for the limit: all that waits, for a worker or for its retry.
func (s *step) bytes() int64 {
	n := s.waiting.bytes + s.suspect.bytes + s.bound.bytes + s.enteringBytes + s.holding
	if s.keys != nil {
		n += s.keys.bytes
	}
	for _, q := range s.above {
		n += q.bytes
	}
	return n
}

// blocked reports whether those who fill the queue have to wait: for room in it, or for the disk.
func (s *step) blocked() bool {
	return s.shut || s.cfg.blocks && s.full() && !s.lastCall() || s.stuck
}

// lastCall reports whether a full queue takes what those above have on their way all the same: the daemon ends, nothing is dispatched
// here any more, and who waits for room would wait for nothing. What stays on disk may be twice what is allowed and the windows of many
// sources, and no more: one that does not stop emitting has to be stopped.
func (s *step) lastCall() bool { return s.resting && s.bearable() }

// bearable reports whether a full queue may be given what cannot wait: no more than twice what is allowed and the windows of many sources.
func (s *step) bearable() bool {
	messages, bytes := s.most()
	return s.queued()+s.entering < 2*messages+lastWindows*emitMessages && s.bytes() < 2*bytes+lastWindows*emitBytes
}

// lastWindows is how many sources may have used up their windows at the end.
const lastWindows = 64

// gated reports whether a queue below is full, so that nothing may be dispatched here.
func (s *step) gated() bool {
	for _, g := range s.gates {
		if g.blocked() {
			return true
		}
	}
	return false
}

// room reports whether a message emitted by s on port may be admitted now.
func (s *step) room(port uint16) bool {
	if port != wire.AllLinks {
		return !s.routes[port].blocked()
	}
	for _, to := range s.to {
		if to.blocked() {
			return false
		}
	}
	return true
}

// lastRoom reports likewise for one that cannot wait until there is room, because nobody makes any.
func (s *step) lastRoom(port uint16) bool {
	bears := func(to *step) bool { return to.cfg.full != topology.FullBlock || !to.stuck && to.bearable() }
	if port != wire.AllLinks {
		return bears(s.routes[port])
	}
	return !slices.ContainsFunc(s.to, func(to *step) bool { return !bears(to) })
}

// port is what DATA says about where a hop came from.
func (s *step) port(from int16) uint16 {
	if from == outside {
		return wire.AllLinks
	}
	return s.ports[from]
}
