package bus

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// stream is a source that emits without end, within a small window, by name over the newest link it has heard of. It notes what
// was emitted and what was accepted.
type stream struct {
	routes            []string
	emitted, accepted atomic.Uint64
	limit             uint64
}

func (g *stream) handle(b *wire.Builder, r *wire.Record) {
	switch r.Kind {
	case wire.Welcome:
		var w wire.WelcomeBody
		_ = json.Unmarshal(r.Body, &w)
		g.routes = w.Routes
	case wire.Routes:
		var w wire.RoutesBody
		_ = json.Unmarshal(r.Body, &w)
		g.routes = w.Routes
	case wire.Accepted:
		g.accepted.Store(r.N)
	case wire.Drain:
		b.Add(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
		return
	}
	for n := g.emitted.Load(); n < g.limit && n-g.accepted.Load() < 32; n = g.emitted.Add(1) {
		port := uint16(wire.AllLinks)
		if p := slices.IndexFunc(g.routes, func(name string) bool { return name != "" }); p >= 0 && n%3 == 0 {
			port = uint16(p)
		}
		b.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, N: n + 1, Port: port}, []byte("message"))
	}
}

// Steps come, go and move, links change, while messages flow over real sockets: nobody is at fault, and no hop is lost.
func TestTheTopologyChangesUnderLoad(t *testing.T) {
	a, b := sat("a"), sat("b")
	a.Queue.MaxMessages, b.Queue.MaxMessages = 50, 50
	s := serve(t, sat("gen", "a"), a)
	g := &stream{limit: 3000}
	join := func(name string, handle func(*wire.Builder, *wire.Record)) (topology.Ref, topology.Incarnation) {
		ref, inc, env := s.admit(name, 0)
		s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, handle)
		return ref, inc
	}
	join("a", upper)
	join("gen", g.handle)
	both, onlyB, renamed := topo(sat("gen", "a", "b"), a, b), topo(b, sat("gen", "b"), a), topo(sat("gen", "c", "b"), sat("c"), b)
	back := topo(a, b, sat("gen", "b", "a"))
	joined := false
	for round := 0; g.accepted.Load() < g.limit; round++ {
		for _, c := range []struct {
			to  *topology.Topology
			opt ApplyOptions
		}{{both, ApplyOptions{}}, {onlyB, ApplyOptions{}}, {both, ApplyOptions{}}, {renamed, ApplyOptions{Moved: map[string]string{"a": "c"}}},
			{back, ApplyOptions{Moved: map[string]string{"c": "a"}}}} {
			if err := s.Apply(t.Context(), c.to, c.opt); err != nil {
				t.Fatal(err)
			}
			if !joined {
				join("b", upper)
				joined = true
			}
			if err := s.Alive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := s.until("all is done", func(l Ledger) bool { return l.Held+l.InFlight == 0 })
	if l.Admitted < g.limit || l.Done != l.Admitted {
		t.Errorf("%+v", l)
	}
	s.nobodyAtFault()
}

// nobodyAtFault takes what the bus has said so far.
func (s *served) nobodyAtFault() {
	s.t.Helper()
	for {
		select {
		case said := <-s.said:
			if len(said) > 5 && said[:5] == "fault" {
				s.t.Error(said)
			}
		default:
			return
		}
	}
}

func TestCancelReachesWhoHasTheMessageInHand(t *testing.T) {
	s := serve(t, sat("w"))
	ref, inc, env := s.admit("w", 0)
	inHand, told := make(chan struct{}), make(chan struct{})
	var n uint64
	var once sync.Once
	s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, func(b *wire.Builder, r *wire.Record) {
		switch r.Kind {
		case wire.Data:
			n = r.N
			close(inHand)
		case wire.Cancel:
			b.Add(&wire.Header{Kind: wire.Done, Epoch: 7, N: n}, nil) // too late, and no fault
			if r.N == n {
				once.Do(func() { close(told) })
			}
		case wire.Drain:
			b.Add(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
		}
	})
	if _, err := s.Send(t.Context(), "w", "", []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	<-inHand
	if waiting, held, hand, aside := s.Waiting("w"); waiting+held+aside != 0 || hand != 1 {
		t.Errorf("%d wait, %d held, %d in hand, %d set aside", waiting, held, hand, aside)
	}
	if err := s.Apply(t.Context(), topo(sat("v")), ApplyOptions{Discard: map[string]bool{"w": true}}); err != nil {
		t.Fatal(err)
	}
	<-told
	if err := s.Drain(t.Context(), ref, inc); err != nil {
		t.Error(err)
	}
	s.Gone(ref, inc, "exit code 0", nil)
	if l := s.Ledger(); l.Cancelled != 1 || !l.Balanced() {
		t.Errorf("%+v", l)
	}
	s.nobodyAtFault()
}
