package bus

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// codecVector is the codec of a hop whose body is a whole vector of DSAT 0.6, as it came. Only hops to steps that speak v1 have it: what
// the orchester makes of a vector follows from it and is made anew at each dispatch, so that a redelivery says the same, and
// nothing has to be kept beside the body. It never travels to a satellite of another language. It fits a byte, for the journal has one.
const codecVector = uint16(0xFE)

// legacy is what the loop knows of [bus.v1]; the orchester's is nil where there is none. Its sockets are the carrier's, its messages
// are hops like all others.
type legacy struct {
	o       *orchester
	conf    *topology.V1
	carrier *v1Carrier // nil in tests
	pid     []byte     // ours, as the orchester writes it
	ports   []*legacyPort
	publish *legacyPort                  // PUB_TRACKER_any
	steps   map[string]*elder            // those that speak v1
	lives   map[string]*legacyLife       // by the number of the process
	bySat   map[topology.Ref]*legacyLife // the newest of each instance
	scratch []byte
}

// legacyPort is one endpoint: a socket, and what came and went through it.
type legacyPort struct {
	links     []string
	url       string
	socket    v1.Scheme
	bind      bool
	end       string // where we stand
	others    []string
	peer      *peer
	in, out   uint64
	malformed map[v1.Reason]uint64
	refused   map[string]uint64
	peers     map[string]uint64 // bad vectors by address, of tcp
	why       string            // of the last one that was not taken
	pending   []arrival         // wait for room; meanwhile nothing is read
	kept      int               // bytes of them
}

// openLegacy makes the loop's side of the sockets. It is called before anything runs.
func (o *orchester) openLegacy(c *v1Carrier, conf *topology.V1) {
	if c == nil {
		return
	}
	l := newLegacy(o, conf)
	l.carrier = c
	byKey := map[string]*legacyPort{}
	for _, s := range c.sockets {
		p := &legacyPort{peer: s.peer}
		s.peer.port = p
		byKey[s.peer.address] = p
		l.ports = append(l.ports, p)
	}
	l.plan(func(p *v1.Planned) *legacyPort { return byKey[socketKey(p)] })
	o.legacy = l
}

func newLegacy(o *orchester, conf *topology.V1) *legacy {
	return &legacy{o: o, conf: conf, pid: strconv.AppendInt(nil, int64(os.Getpid()), 10), steps: map[string]*elder{},
		lives: map[string]*legacyLife{}, bySat: map[topology.Ref]*legacyLife{}}
}

// plan gives ports and steps their links.
func (l *legacy) plan(port func(*v1.Planned) *legacyPort) {
	for i := range l.conf.Open {
		link := &l.conf.Open[i]
		if link.End == "" {
			continue
		}
		p := port(link)
		p.links, p.others = append(p.links, link.Name), append(p.others, link.Peer())
		p.url, p.socket, p.bind, p.end = link.Endpoint.URL, link.Socket(), link.Bind, link.End
		p.malformed, p.refused, p.peers = map[v1.Reason]uint64{}, map[string]uint64{}, map[string]uint64{}
		if link.From() == v1.Tracker {
			l.publish = p
		}
	}
	for _, s := range l.o.t.steps {
		if s.sat.Speaks == topology.SpeaksV1 {
			l.enrol(s)
		}
	}
}

// enrol makes a step one of those that speak v1.
func (l *legacy) enrol(s *step) *elder {
	if e := l.steps[s.name]; e != nil {
		return e
	}
	e := &elder{legacy: l, step: s, byKey: map[string][]*flight{}}
	for i := range l.conf.Open {
		link := &l.conf.Open[i]
		switch {
		case link.End == "":
		case link.To() == s.name && link.From() != v1.Tracker:
			if p := l.port(link); e.out == nil || link.From() == v1.Orchester {
				e.out = p
			}
		case link.From() == s.name && link.End != v1.Orchester && link.End != v1.Tracker:
			e.forwards = append(e.forwards, link.End)
		}
	}
	inst := &instance{ref: topology.Ref{Name: s.name}, step: s, sat: s.sat}
	e.sess = &session{inst: inst, peer: &peer{left: true}, elder: e}
	e.sess.worker = worker{step: s, name: s.name, sess: e.sess, bytes: handBytes}
	inst.sess = e.sess
	if e.out != nil {
		e.sess.peer = e.out.peer
		e.out.peer.left = true // no record of the bus is for it
		s.enlist(&e.sess.worker)
	}
	l.steps[s.name] = e
	return e
}

func (l *legacy) port(link *v1.Planned) *legacyPort {
	for _, p := range l.ports {
		if slices.Contains(p.links, link.Name) {
			return p
		}
	}
	return nil
}

// follow takes over what a change of the topology made of the steps. Links cannot change (fits).
func (l *legacy) follow(next *topology.Topology) {
	l.conf = &next.V1
	for name, e := range l.steps {
		if e.step.index == outside || e.step.sat.Speaks != topology.SpeaksV1 {
			e.retire()
			delete(l.steps, name)
		}
	}
	for _, s := range l.o.t.steps {
		if s.sat.Speaks == topology.SpeaksV1 {
			l.enrol(s).refresh()
		}
	}
}

// fits says why the bus cannot go over to a topology: who stands at which end is settled when the sockets are opened.
func (l *legacy) fits(next *topology.Topology) error {
	ends := func(v *topology.V1) (all []string) {
		for i := range v.Open {
			if p := &v.Open[i]; p.End != "" {
				all = append(all, p.Name+" "+p.End+" "+socketKey(p))
			}
		}
		return all
	}
	var now []string
	if l != nil {
		now = ends(l.conf)
	}
	if slices.Equal(now, ends(&next.V1)) {
		return nil
	}
	return &Error{KindConflict, "cannot change who stands at which end of the links of [bus.v1] while dsatd runs: restart dsatd, or `dsatctl upgrade`; processes live on"}
}

// frame takes what a socket has received.
func (l *legacy) frame(p *legacyPort, b []byte) {
	for {
		address, vector, rest, ok := nextArrival(b)
		if !ok {
			return
		}
		b = rest
		p.in++
		v, err := v1.Parse(vector)
		switch {
		case err != nil:
			l.spoilt(p, address, err)
		case p.end == v1.Tracker:
			l.report(p, &v, vector)
		case p.end == v1.Orchester:
			l.arrive(p, &v, vector, address)
		default:
			l.output(p, &v, vector, address)
		}
	}
}

// deliver sends hop h to a step that speaks v1.
func (l *legacy) deliver(e *elder, h *hop, n uint64) {
	out, err := l.vector(e, h)
	if err == nil {
		err = out.Check()
	}
	if err != nil {
		e.unfit = append(e.unfit, unfit{n, err.Error()})
		return
	}
	e.push(&out, n)
	l.announce(v1.Reported(out))
}

// vector is what is sent for a hop: what the orchester makes of a vector, or a new one.
func (l *legacy) vector(e *elder, h *hop) (v1.Vector, error) {
	if h.codec == codecVector {
		v, err := v1.Parse(h.body.data)
		if err != nil {
			return v, err
		}
		return v1.Forwarded(v, l.pid), nil
	}
	form, ok := forms[wire.Codec(h.codec)]
	if !ok {
		return v1.Vector{}, &v1.Malformed{Reason: v1.ReasonSerialization, Text: "a DSAT 0.6 satellite cannot read a payload written as " + codecName(h.codec) + ": put a filter that speaks json before it"}
	}
	emitter := "dsat"
	if h.from != outside {
		emitter = l.o.t.steps[h.from].name
	}
	name := []byte(e.step.name)
	return v1.Vector{Where: []byte(l.conf.Where), Step: []byte(v1.Orchester), WID: []byte{'0'}, PID: l.pid, Next: name,
		Emitter: []byte(emitter), Type: name, Channel: []byte(e.step.sat.V1.Channel),
		TaskID: strconv.AppendUint(nil, h.id&(1<<40-1), 10), Event: []byte(v1.Init), Seq: strconv.AppendUint(nil, uint64(h.hops)+1, 10),
		Serialization: []byte(v1.Write(form)), Payload: h.body.data}, nil
}

// What a payload is called on either side.
var (
	forms  = map[wire.Codec]v1.Form{wire.Raw: v1.Text, wire.Text: v1.Text, wire.JSON: v1.JSON}
	codecs = [...]wire.Codec{v1.Text: wire.Raw, v1.JSON: wire.JSON, v1.MsgPack: wire.Raw}
)

// unwrapped is the payload of a hop for who does not speak v1: its step may have changed its language while it waited.
func unwrapped(h *hop) (wire.Codec, []byte) {
	v, err := v1.Parse(h.body.data)
	if err != nil {
		return wire.Raw, h.body.data
	}
	return codecOf(&v), v.Payload
}

// codecOf is the codec of a vector's payload. One whose serialization is refused is bytes, which nobody reads.
func codecOf(v *v1.Vector) wire.Codec {
	form, err := v1.Read(string(v.Serialization))
	if err != nil {
		return wire.Raw
	}
	return codecs[form]
}

// send gives a socket a vector; it goes at the end of the turn.
func (l *legacy) send(p *legacyPort, vector []byte) {
	p.out++
	if !p.peer.dirty {
		p.peer.dirty = true
		l.o.dirty = append(l.o.dirty, p.peer)
	}
	p.peer.sealed = append(p.peer.sealed, vector)
}

// announced bounds what waits to be published: ZeroMQ takes all of it at once, unless its goroutine has no time.
const announced = 10_000

// announce publishes a report to those who listen to the tracker.
func (l *legacy) announce(v v1.Vector) {
	if p := l.publish; p != nil {
		l.announceBytes(v.Append(nil))
	}
}

func (l *legacy) announceBytes(b []byte) {
	if p := l.publish; p != nil && len(p.peer.sealed) < announced && p.peer.box.waiting() < announced {
		l.send(p, b)
	}
}

// spoilt counts a vector that cannot be read.
func (l *legacy) spoilt(p *legacyPort, address string, err error) {
	reason := v1.ReasonParts
	if m, ok := err.(*v1.Malformed); ok { //nolint:errorlint // Parse returns it bare
		reason = m.Reason
	}
	p.malformed[reason]++
	p.blame(address)
	l.tell(p, p.malformed[reason], "malformed ("+string(reason)+")", err.Error(), address)
}

// refuse counts a vector that is well-formed and not taken.
func (l *legacy) refuse(p *legacyPort, address, reason, why string) {
	p.refused[reason]++
	p.blame(address)
	l.tell(p, p.refused[reason], "refused ("+reason+")", why, address)
}

// blamed bounds how many addresses are told apart.
const blamed = 64

func (p *legacyPort) blame(address string) {
	if _, known := p.peers[address]; address != "" && (known || len(p.peers) < blamed) {
		p.peers[address]++
	}
}

// tell makes an event of the 1st, 10th, 100th ... of a kind.
func (l *legacy) tell(p *legacyPort, n uint64, what, why, address string) {
	if address != "" {
		why += " (from " + address + ")"
	}
	p.why = why
	if s := strconv.FormatUint(n, 10); strings.Trim(s, "0") == "1" {
		l.o.tellEvent("", topology.Ref{}, 0, p.links[0]+": "+s+" "+what+", the last one: "+why)
	}
}

// unreachable reports whether a step speaks v1 and no link leads to it.
func (l *legacy) unreachable(s *step) bool {
	return l != nil && l.steps[s.name] != nil && l.steps[s.name].out == nil
}
