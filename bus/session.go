package bus

import (
	"crypto/subtle"
	"fmt"
	"math"
	"slices"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// What a session may have on its way, in messages and bytes of their bodies. The bytes towards a peer stay below the flow
// control window of a plugin's stream, so that a send to a peer that reads does not wait.
const (
	handBytes    = 960 << 10
	emitMessages = 4096
	emitBytes    = 512 << 10
	stagedBytes  = 64 << 20
)

// session is what follows a HELLO.
type session struct {
	worker
	peer     *peer
	inst     *instance
	filter   bool
	writes   writing
	elder    *elder // of all processes of a step that speaks v1 together
	draining bool
	bye      bool

	seq       uint64 // last EMIT received
	accepted  uint64 // last EMIT admitted
	wrote     bool   // one of them is in the record in the making
	unwritten int    // records with some of them that are not on disk
	ackDue    bool
	ping      pinging
	direct    directly
	wants     int           // most messages in hand the peer wants, by its last CREDIT
	pending   []pendingEmit // received, not admitted
	held      int           // bytes of pending

	calls  calling
	topics bool // it understands TOPIC
	staged map[uint64][]stagedOut
	stage  int // bytes staged
}

type pendingEmit struct {
	m    message
	port uint16
}

type stagedOut struct {
	port    uint16
	codec   wire.Codec
	payload []byte
}

// violation is a sentence that says how a peer broke the protocol.
type violation string

func (v violation) Error() string { return string(v) }

func violated(format string, args ...any) error { return violation(fmt.Sprintf(format, args...)) }

// frame handles all records of one frame.
func (o *orchester) frame(p *peer, frame []byte) {
	if p.refused {
		o.strays++
		return
	}
	if p.port != nil {
		o.legacy.frame(p.port, frame)
		return
	}
	r, err := wire.Parse(frame)
	for err == nil && !p.refused && r.Next(&o.rec) {
		err = o.record(p, &o.rec)
	}
	o.rec.Body, o.out.Payload = nil, nil
	if err != nil {
		o.refuse(p, wire.ErrProtocol, err.Error())
	}
}

// refuse takes nothing more from a peer. An instance known by it is to be killed.
func (o *orchester) refuse(p *peer, code uint64, why string) {
	p.refused = true
	o.strays++
	o.post(p, &wire.Header{Kind: wire.Error, N: code}, []byte(why))
	switch {
	case p.sess != nil:
		p.sess.open = false
		p.sess.unanswered()
		o.tellFault(p.sess.inst.ref, p.sess.inst.inc, "broke the protocol: "+why)
	case p.bound:
		o.tellFault(p.ref, p.inc, "broke the protocol: "+why)
	default:
		o.tellStranger(why)
		p.flush()
		o.dismiss(p)
	}
}

// dismiss ends what the loop has to do with a peer.
func (o *orchester) dismiss(p *peer) {
	p.refused, p.left = true, true
	p.carrier.drop(p)
}

func (o *orchester) record(p *peer, r *wire.Record) error {
	if r.Kind == wire.Hello {
		return o.hello(p, r)
	}
	s := p.sess
	if s == nil {
		return violated("%v before HELLO", r.Kind)
	}
	if s.bye {
		if r.Kind == wire.Pong { // the PING has crossed the BYE
			return nil
		}
		return violated("%v after BYE", r.Kind)
	}
	if r.Epoch != o.t.epoch {
		if r.Kind == wire.Done && len(o.t.before) > 0 && o.adopt(s, r) {
			return nil
		}
		s.step.count.refused++
		return nil
	}
	switch r.Kind {
	case wire.Done:
		return o.done(s, r)
	case wire.Emit:
		return o.emit(s, r)
	case wire.Fail:
		return o.fail(s, r)
	case wire.Out:
		return o.stageOut(s, r)
	case wire.Progress:
		s.heard = o.now
		o.t.progress(o.now, &s.worker, r.N)
	case wire.Credit:
		s.wants = int(min(r.N, math.MaxInt))
		s.messages = min(s.wants, s.step.cfg.inHand)
		s.bytes = int(min(r.M, handBytes))
		s.step.dirty, o.rejoin = true, o.rejoin || s.direct.endpoint != ""
	case wire.Ping:
		o.post(p, &wire.Header{Kind: wire.Pong, N: r.N}, nil)
	case wire.Pong:
		s.pong(r.N)
	case wire.Call:
		return o.call(s, r)
	case wire.Cancel:
		return o.dropCall(s, r.N)
	case wire.Bye:
		return o.sayBye(s)
	case wire.Listen:
		return o.listens(s, r)
	case wire.Tally:
		return o.tally(s, r)
	default:
		return violated("%v is for the daemon to say", r.Kind)
	}
	return nil
}

func (o *orchester) hello(p *peer, r *wire.Record) error {
	if p.sess != nil {
		return violated("HELLO twice")
	}
	var h wire.HelloBody
	if err := wire.ParseJSON(r, &h); err != nil {
		return err
	}
	ref, inc := topology.Ref{Name: h.Step, WID: h.WID}, topology.Incarnation(h.Incarnation)
	i := o.find(ref, inc)
	if i == nil || i.gone || (p.bound && (p.ref != ref || p.inc != inc)) || subtle.ConstantTimeCompare([]byte(i.token), []byte(h.Token)) != 1 {
		o.refuse(p, wire.ErrToken, fmt.Sprintf("HELLO of %v: wrong token, or a life of it that is over", ref))
		return nil
	}
	if i.sess != nil {
		return violated("HELLO twice: %v has a session on another connection", ref)
	}
	if why := misread(i, h.Codecs); why != "" {
		o.refuse(p, wire.ErrProtocol, why)
		return nil
	}
	o.welcome(i, p, &h, false)
	o.tellHello(i)
	return nil
}

// welcome opens the session of an instance.
func (o *orchester) welcome(i *instance, p *peer, h *wire.HelloBody, filter bool) {
	st := i.step
	accepted := h.Accepted
	if !filter {
		accepted = max(accepted, o.resumed(i))
	}
	s := &session{peer: p, inst: i, filter: filter, seq: accepted, accepted: accepted, topics: h.Topics, wants: math.MaxInt}
	s.worker = worker{step: st, name: i.ref.String(), sess: s, concurrency: max(h.Concurrency, 1), messages: st.cfg.inHand, bytes: handBytes, open: true, heard: o.now}
	if filter && i.sat.Mode != topology.ModePipelined && i.sat.Mode != topology.ModeSink {
		s.wants, s.messages = 1, 1
	}
	p.sess, i.sess, i.peer = s, s, p
	s.writes, p.edge = o.writingOf(i.sat), o.edgeOf(s)
	s.direct.able = h.Direct && directPossible(i.sat)
	o.ration(s)
	st.source = h.Source && len(st.from) == 0
	if !st.source {
		st.enlist(&s.worker)
	}
	held := o.claim(s, h.Holds)
	take, direct := o.joint(s)
	s.direct.told = directions(take, direct)
	o.sessions++
	body := wire.AppendJSON(nil, &wire.WelcomeBody{Session: o.sessions, Take: take, Direct: direct, Epoch: o.t.epoch, InHand: s.messages, Bytes: s.bytes, EmitMessages: emitMessages,
		EmitBytes: emitBytes, Accepted: s.accepted, Routes: linkNames(st.routes, st.to), From: linkNames(st.origins, st.from), DeadlineMS: st.cfg.deadline / 1e6, MaxBody: wire.MaxBody,
		Calls: linkNames(st.callees, st.calls), CallMessages: callMessages, CallBytes: callBytes, CallMS: callDefault.Milliseconds(),
		Held: held, Emits: formatBody(i.sat.Emits), Accepts: formatBody(i.sat.Accepts)})
	o.post(p, &wire.Header{Kind: wire.Welcome}, body)
	if i.draining {
		o.startDrain(s)
	}
}

func (o *orchester) done(s *session, r *wire.Record) error {
	if r.M > s.last {
		return violated("DONE up to %d, of which it was given none beyond %d", r.M, s.last)
	}
	if len(r.Body) > 0 || len(s.staged) > 0 {
		if err := o.outputs(s, r); err != nil {
			return err
		}
	}
	if !o.t.done(o.now, &s.worker, r.N, r.M) {
		return o.stray(s, r.N)
	}
	o.breath()
	return nil
}

// outputs admits all outputs of a DONE, those staged first; the DONE itself follows at once.
func (o *orchester) outputs(s *session, r *wire.Record) error {
	for n := r.N; len(s.staged) > 0 && n <= max(r.N, r.M); n++ {
		if !s.hand.holds(n) {
			continue
		}
		for _, out := range o.unstage(s, n) {
			o.t.output(o.now, &s.worker, n, &wire.Output{Port: out.port, Codec: s.coded(out.codec), Payload: out.payload})
		}
	}
	if len(r.Body) == 0 || !s.hand.holds(r.N) {
		return nil
	}
	for it := r.Outputs(); it.Next(&o.out); {
		if err := s.checkPort(o.out.Port); err != nil {
			return err
		}
	}
	for it := r.Outputs(); it.Next(&o.out); {
		o.out.Codec = s.coded(o.out.Codec)
		o.t.output(o.now, &s.worker, r.N, &o.out)
	}
	return nil
}

func (s *session) checkPort(port uint16) error {
	if port != wire.AllLinks && int(port) >= max(len(s.step.routes), 1) {
		return violated("output to link %d of %d", port, len(s.step.routes))
	}
	return nil
}

func (o *orchester) stageOut(s *session, r *wire.Record) error {
	if !s.hand.holds(r.N) {
		return o.stray(s, r.N)
	}
	if err := s.checkPort(r.Port); err != nil {
		return err
	}
	if s.stage += len(r.Body); s.stage > stagedBytes {
		return violated("more than %d bytes of outputs staged", stagedBytes)
	}
	if s.staged == nil {
		s.staged = map[uint64][]stagedOut{}
	}
	s.staged[r.N] = append(s.staged[r.N], stagedOut{r.Port, r.Codec, slices.Clone(r.Body)})
	return nil
}

func (o *orchester) unstage(s *session, n uint64) []stagedOut {
	outs := s.staged[n]
	delete(s.staged, n)
	for _, out := range outs {
		s.stage -= len(out.payload)
	}
	return outs
}

func (o *orchester) fail(s *session, r *wire.Record) error {
	if len(s.staged) > 0 {
		o.unstage(s, r.N)
	}
	reason := string(r.Body[:min(len(r.Body), 4096)])
	if !o.t.fail(o.now, &s.worker, r.N, r.Flags&wire.FlagRetry != 0, reason) {
		return o.stray(s, r.N)
	}
	return nil
}

// stray judges an answer to what the session does not hold: late and double ones are counted, another's are not forgiven.
func (o *orchester) stray(s *session, n uint64) error {
	if n > s.last {
		return violated("an answer to dispatch %d, which it was never given", n)
	}
	for _, st := range o.t.steps {
		for _, w := range st.workers {
			if w.hand.holds(n) {
				return violated("an answer to dispatch %d, which %s has in hand", n, w.name)
			}
		}
	}
	s.step.count.refused++
	return nil
}

func (o *orchester) emit(s *session, r *wire.Record) error {
	if r.N <= s.seq {
		o.ack(s) // a repeat: say again how far we are
		return nil
	}
	if r.N != s.seq+1 {
		return violated("EMIT %d after %d", r.N, s.seq)
	}
	if r.Port != wire.AllLinks && int(r.Port) >= len(s.step.routes) {
		return violated("EMIT to link %d of %d", r.Port, len(s.step.routes))
	}
	s.seq = r.N
	if len(s.pending) == 0 && o.lets(s, r.Port) {
		o.t.emit(o.now, s.step, r.Port, o.messageOf(s, r))
		s.accepted = r.N
		s.spend()
		o.ack(s)
		o.written(s)
		return nil
	}
	return o.hold(s, r)
}

// lets reports whether an EMIT of a session along a link is let in. While the bus is being frozen those of a worker still are that has
// something in hand: it may be waiting to say what a message gave rise to that came to it directly, and would answer nothing before. Then
// no room has to be waited for, as for the outputs of a DONE: nobody makes any.
func (o *orchester) lets(s *session, port uint16) bool {
	if !o.t.frozen {
		return s.step.room(port)
	}
	return s.hand.live > 0 && s.step.lastRoom(port)
}

// hold keeps an EMIT until its queues have room. Its source has a window, and stays in it.
func (o *orchester) hold(s *session, r *wire.Record) error {
	if len(s.pending) == 0 {
		o.gated = append(o.gated, s)
	}
	if s.held += len(r.Body); len(s.pending) >= emitMessages || (len(s.pending) > 0 && s.held > emitBytes) {
		return violated("more EMITs than the window of %d messages or %d bytes", emitMessages, emitBytes)
	}
	m := o.messageOf(s, r)
	if m.wish != nil {
		own := *m.wish
		m.wish = &own
	}
	s.pending = append(s.pending, pendingEmit{m, r.Port})
	return nil
}

// admitPending admits what there is room for and reports whether nothing is left.
func (o *orchester) admitPending(s *session) bool {
	k := 0
	for k < len(s.pending) && o.lets(s, s.pending[k].port) {
		e := s.pending[k]
		s.held -= len(e.m.body.data)
		o.t.emit(o.now, s.step, e.port, e.m)
		s.accepted++
		s.spend()
		o.ack(s)
		o.written(s)
		k++
	}
	if k > 0 {
		s.pending = slices.Delete(s.pending, 0, k)
	}
	return len(s.pending) == 0
}

func (o *orchester) ack(s *session) {
	if !s.ackDue {
		s.ackDue = true
		o.acks = append(o.acks, s)
	}
}

func (o *orchester) sayBye(s *session) error {
	if n := s.hand.live; n > 0 {
		return violated("BYE with %d messages unanswered", n)
	}
	s.bye, s.open = true, false
	s.unanswered()
	o.hangUp(s)
	o.post(s.peer, &wire.Header{Kind: wire.Bye}, nil)
	return nil
}
