package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// sat makes a satellite with generous limits.
func sat(name string, to ...string) *topology.Satellite {
	s := &topology.Satellite{Name: name, Speaks: topology.SpeaksBus, Instances: 1,
		Queue: topology.Queue{Delivery: topology.DeliveryTracked, MaxBytes: 64 << 20, MaxMessages: 100_000, Full: topology.FullBlock},
		Work:  topology.Work{InHand: 1024, Retries: 3, Backoff: time.Millisecond, Hops: 16, Crashes: 3, Then: topology.ThenQuarantine}}
	for _, n := range to {
		s.To = append(s.To, topology.Link{To: n})
	}
	return s
}

func topo(sats ...*topology.Satellite) *topology.Topology {
	return &topology.Topology{Name: "test", Satellites: sats}
}

// fake is a carrier that keeps what it is told.
type fake struct{ flushed, finished, dropped int }

func (f *fake) flush(*peer)  { f.flushed++ }
func (f *fake) finish(*peer) { f.finished++ }
func (f *fake) drop(*peer)   { f.dropped++ }

// stage is an orchester without carriers and goroutines, and what it said.
type stage struct {
	t      testing.TB
	o      *orchester
	faults []string
	hellos []string
}

func newStage(t testing.TB, sats ...*topology.Satellite) *stage {
	t.Helper()
	st := &stage{t: t}
	b := &Bus{cfg: Config{Topology: topo(sats...), Epoch: 7}, start: time.Now(), done: make(chan struct{}),
		in: make(chan inbound, inboundFrames), pool: make(framePool, keptFrames)}
	b.cfg.Log = discardLog()
	b.mail.wake, b.notes.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	b.cfg.Fault = func(r topology.Ref, _ topology.Incarnation, why string) {
		st.faults = append(st.faults, r.String()+": "+why)
	}
	b.cfg.Hello = func(r topology.Ref, _ topology.Incarnation) { st.hellos = append(st.hellos, r.String()) }
	b.topology.Store(b.cfg.Topology)
	b.shelf = newShelf(b)
	b.loop = newOrchester(b)
	st.o = b.loop
	return st
}

// turn ends a turn and makes the notifications.
func (st *stage) turn() {
	st.o.letters()
	st.o.endTurn()
	l := st.o.bus.notes.list
	st.o.bus.notes.list = nil
	for _, f := range l {
		f()
	}
}

// actor is a peer played by the test.
type actor struct {
	st   *stage
	p    *peer
	ref  topology.Ref
	inc  topology.Incarnation
	car  *fake
	b    wire.Builder
	seq  uint64
	tok  string
	data []uint64      // dispatch numbers in hand
	came []wire.Record // DATA that came with the WELCOME, once its edge was done
}

// join admits an instance and says HELLO for it.
func (st *stage) join(name string, wid int, spawn uint32, h wire.HelloBody) *actor {
	st.t.Helper()
	a := st.admit(name, wid, spawn)
	a.hello(h)
	st.o.bus.group.Wait()
	a.came = a.only(wire.Data)
	return a
}

func (st *stage) admit(name string, wid int, spawn uint32) *actor {
	a := &actor{st: st, car: &fake{}, ref: topology.Ref{Name: name, WID: wid}, inc: topology.NewIncarnation(7, spawn)}
	a.p = newPeer(a.car, st.o.bus.pool)
	a.tok = fmt.Sprintf("token-%d", spawn)
	st.o.admit(a.ref, a.inc, a.tok, Owner{})
	return a
}

func (a *actor) hello(h wire.HelloBody) {
	h.Step, h.WID, h.Incarnation = a.ref.Name, a.ref.WID, uint64(a.inc)
	if h.Token == "" {
		h.Token = a.tok
	}
	a.say(&wire.Header{Kind: wire.Hello}, wire.AppendJSON(nil, &h))
}

// say sends one record in a frame and ends the turn.
func (a *actor) say(h *wire.Header, body []byte) {
	a.b.Reset()
	a.b.Add(h, body)
	a.frame(a.b.Frame())
}

func (a *actor) frame(f []byte) {
	a.st.o.now = a.st.o.bus.now()
	a.st.o.frame(a.p, append([]byte(nil), f...))
	a.st.turn()
}

func (a *actor) emit(bodies ...string) {
	a.b.Reset()
	for _, s := range bodies {
		a.seq++
		a.b.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: a.seq}, []byte(s))
	}
	a.frame(a.b.Frame())
}

func (a *actor) done(n uint64, outputs ...string) {
	a.b.Reset()
	a.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: n})
	for _, s := range outputs {
		a.b.Output(wire.AllLinks, wire.Text, []byte(s))
	}
	a.b.End()
	a.frame(a.b.Frame())
}

// look returns all records sent to the actor since the last look.
func (a *actor) look() []wire.Record {
	a.st.t.Helper()
	a.st.turn()
	var recs []wire.Record
	for _, f := range a.p.box.take(nil) {
		r, err := wire.Parse(f)
		if err != nil {
			a.st.t.Fatal(err)
		}
		var rec wire.Record
		for r.Next(&rec) {
			c := rec
			c.Body = append([]byte(nil), rec.Body...)
			recs = append(recs, c)
		}
	}
	return recs
}

// only returns the records of one kind among those of a look.
func (a *actor) only(k wire.Kind) []wire.Record {
	var out []wire.Record
	for _, r := range a.look() {
		if r.Kind == k {
			out = append(out, r)
		}
	}
	return out
}

// die ends the actor as the kernel and its carrier would tell.
func (a *actor) die(cause string) {
	a.st.o.now = a.st.o.bus.now()
	a.st.o.gone(a.ref, a.inc, cause, []string{"last words"})
	a.st.o.inputEnded(a.p, nil)
	a.st.turn()
}

func (st *stage) ledger() Ledger {
	st.t.Helper()
	l := st.o.t.ledger()
	if !l.Balanced() {
		st.t.Fatalf("the ledger does not balance: %+v", l)
	}
	if wrong := st.o.t.audit(); len(wrong) > 0 {
		st.t.Fatal("what is counted of the journal is wrong: ", wrong)
	}
	return l
}
