package bus

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// Direct links carry messages from one satellite to another without passing here, at most once. The loop connects: it tells senders
// where receivers listen, by ROUTES; it counts, by what both sides tell (TALLY); and it reroutes: a receiver that is drained or gone is
// taken off the senders' lists first. Where a link cannot be direct, at the moment or ever, its messages go through the queue as
// tracked ones: nothing waits for a receiver but there.

// carried is what direct links to one step have carried.
type carried struct {
	sent, bytes      uint64 // by what senders say
	received, missed uint64 // by what receivers say; missed: gaps in the sequence of a sender
}

// DirectStatus is what went to a step along direct links, besides its queue.
type DirectStatus struct {
	Receivers int // instances that listen
	Senders   int // sessions that know of one of them
	Sent      uint64
	Bytes     uint64 // of the payloads sent
	Received  uint64
	Missed    uint64 // sent, and lost on the way, by the gaps that receivers saw
}

// directly is a session's part in direct links.
type directly struct {
	able     bool   // its client knows of them
	endpoint string // where it listens; "": nowhere
	told     string // what it was told last: take and direct
	sent     map[uint16]tallied
	received tallied
}

// tallied is how far a TALLY was.
type tallied struct{ n, m uint64 }

// takes reports whether messages to s may come directly: nothing is wanted of its queue but to pass them on.
func (s *step) takes() bool {
	return s.cfg.direct && s.keys == nil && s.guard == nil && !s.paused && !s.shut && s.index != outside
}

// directInbox is the only endpoint at which a life may listen: in the directory that was made for it.
func (b *Bus) directInbox(i *instance) string {
	return "ipc://" + filepath.Join(b.pluginDir(i.ref, i.inc), "in")
}

// listens: a session takes messages of direct links from now on.
func (o *orchester) listens(s *session, r *wire.Record) error {
	if !s.direct.able || string(r.Body) != o.bus.directInbox(s.inst) {
		return violated("it listens at %.120q, which is not the place it was given", r.Body)
	}
	s.direct.endpoint = string(r.Body)
	o.rejoin = true
	return nil
}

// tally takes note of what a session says it has carried since its WELCOME.
func (o *orchester) tally(s *session, r *wire.Record) error {
	before, to := &s.direct.received, s.step
	if r.Flags&wire.FlagReceived == 0 {
		if int(r.Port) >= len(s.step.routes) {
			return violated("TALLY of link %d of %d", r.Port, len(s.step.routes))
		}
		to = s.step.routes[r.Port]
		if s.direct.sent == nil {
			s.direct.sent = map[uint16]tallied{}
		}
		was := s.direct.sent[r.Port]
		before = &was
		defer func() { s.direct.sent[r.Port] = was }()
	}
	if r.N < before.n || r.M < before.m {
		return violated("a TALLY that goes back from %d to %d messages", before.n, r.N)
	}
	n, m := r.N-before.n, r.M-before.m
	*before = tallied{r.N, r.M}
	if r.Flags&wire.FlagReceived == 0 {
		to.carried.sent += n
		to.carried.bytes += m
		return nil
	}
	to.carried.received += n
	to.carried.missed += m
	return nil
}

// joint is what a session has to know of direct links: whether it shall listen, and "PORT ORIGIN ENDPOINT" for each receiver.
func (o *orchester) joint(s *session) (take bool, direct []string) {
	if !s.direct.able || s.draining || s.inst.step.index == outside {
		return false, nil
	}
	take = s.step.takes()
	if s.step.router != nil || s.step.recorder != nil { // who decides where a message goes, and keeps it, is the daemon
		return take, nil
	}
	for port, to := range s.step.routes {
		if !to.takes() || !slices.Contains(s.step.to, to) {
			continue
		}
		origin := slices.Index(to.origins, s.step)
		for _, w := range to.workers {
			x := w.sess
			if x.direct.endpoint != "" && w.open && w.messages > 0 && !x.draining && !x.bye && x.inst.owner == s.inst.owner && origin >= 0 && !s.inst.sat.Converts(x.inst.sat) {
				direct = append(direct, fmt.Sprintf("%d %d %s", port, origin, x.direct.endpoint))
			}
		}
	}
	return take, direct
}

// meet tells those sessions whose direct links are others than they know.
func (o *orchester) meet() {
	o.rejoin = false
	for _, i := range o.instances {
		s := i.sess
		if s == nil || !s.direct.able || s.bye || s.peer.refused || s.peer.left || i.gone {
			continue
		}
		take, direct := o.joint(s)
		now := directions(take, direct)
		if now == s.direct.told {
			continue
		}
		o.version++
		o.sendRoutes(s)
	}
}

func directions(take bool, direct []string) string {
	return fmt.Sprint(take, " ", strings.Join(direct, " "))
}

// sendRoutes tells a session its links, in a frame of its own: what is in one frame was said under one set of links.
func (o *orchester) sendRoutes(s *session) {
	body := s.step.routing()
	body.Take, body.Direct = o.joint(s)
	s.direct.told = directions(body.Take, body.Direct)
	s.peer.seal()
	o.post(s.peer, &wire.Header{Kind: wire.Routes, N: o.version}, wire.AppendJSON(nil, &body))
	s.peer.seal()
}

// directStatus is nil for a step that nothing came to directly, and that takes nothing so.
func (s *step) directStatus() *DirectStatus {
	if !s.cfg.direct && s.carried == (carried{}) {
		return nil
	}
	d := &DirectStatus{Sent: s.carried.sent, Bytes: s.carried.bytes, Received: s.carried.received, Missed: s.carried.missed}
	for _, w := range s.workers {
		if w.sess != nil && w.sess.direct.endpoint != "" {
			d.Receivers++
		}
	}
	return d
}

// directPossible reports whether a satellite's processes may take part in direct links: those that open sockets of ZeroMQ.
func directPossible(sat *topology.Satellite) bool {
	return sat.Speaks == topology.SpeaksBus && sat.Plugin == ""
}

// all is what an upgrade takes along.
func (c *carried) all() []uint64 { return []uint64{c.sent, c.bytes, c.received, c.missed} }

func (c *carried) restore(from []uint64) {
	if len(from) == 4 {
		*c = carried{from[0], from[1], from[2], from[3]}
	}
}
