package bus

import (
	"strings"
	"testing"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// direct is a step that wants its messages directly.
func direct(name string, to ...string) *topology.Satellite {
	s := sat(name, to...)
	s.Queue.Delivery = topology.DeliveryDirect
	return s
}

// listen says where an actor takes messages of direct links.
func (a *actor) listen() {
	a.say(&wire.Header{Kind: wire.Listen, Epoch: 7}, []byte(a.inbox()))
}

func (a *actor) inbox() string { return a.st.o.bus.directInbox(a.st.o.instances[a.ref]) }

func (a *actor) tally(flags uint8, port uint16, n, m uint64) {
	a.say(&wire.Header{Kind: wire.Tally, Epoch: 7, Flags: flags, Port: port, N: n, M: m}, nil)
}

// endpoints is what the last ROUTES says of direct links; nothing when there was none.
func (a *actor) endpoints() string {
	if r := a.routes(); r != nil {
		return strings.Join(r.Direct, ", ")
	}
	return "no ROUTES"
}

var able = wire.HelloBody{Direct: true}

// A sender is told who listens, as long as it does: not who is drained, gone, or another user.
func TestSendersAreToldWhoListens(t *testing.T) {
	st := newStage(t, sat("gen", "copy"), direct("copy"))
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true, Direct: true})
	a := st.join("copy", 0, 2, able)
	gen.look()
	a.listen()
	if got, want := gen.endpoints(), "0 0 "+a.inbox(); got != want {
		t.Fatalf("one listens: %q, want %q", got, want)
	}
	b := st.join("copy", 1, 3, able)
	if got := gen.endpoints(); got != "no ROUTES" {
		t.Fatalf("who has not said that it listens is told of: %q", got)
	}
	b.listen()
	if got := gen.endpoints(); !strings.Contains(got, a.inbox()) || !strings.Contains(got, b.inbox()) {
		t.Fatalf("two listen: %q", got)
	}
	st.o.drain(a.ref, a.inc, make(chan struct{}))
	st.turn()
	if got, want := gen.endpoints(), "0 0 "+b.inbox(); got != want {
		t.Fatalf("one is drained: %q, want %q", got, want)
	}
	b.die("killed")
	if got := gen.endpoints(); got != "" {
		t.Fatalf("the other is dead: %q", got)
	}
	// Meanwhile messages go through the queue, and wait there.
	gen.emit("x")
	if l := st.ledger(); l.Held != 1 {
		t.Errorf("%+v", l)
	}
	if len(st.faults) > 0 {
		t.Error(st.faults)
	}
}

// Whoever cannot, or may not, is told nothing, and served through the queue.
func TestNotEveryLinkIsDirect(t *testing.T) {
	rated := direct("copy")
	rated.Work.Rate = topology.Rate{N: 5, Per: 1}
	plugin := direct("copy")
	plugin.Plugin = "copy"
	conditional := sat("gen", "copy")
	conditional.To[0].OneIn = 2
	kept := sat("gen", "copy")
	for name, c := range map[string]struct {
		gen, copy *topology.Satellite
		hello     wire.HelloBody
		owner     int
	}{
		"an old client":   {sat("gen", "copy"), direct("copy"), wire.HelloBody{Source: true}, 0},
		"another user":    {sat("gen", "copy"), direct("copy"), wire.HelloBody{Source: true, Direct: true}, 99},
		"a rate":          {sat("gen", "copy"), rated, wire.HelloBody{Source: true, Direct: true}, 0},
		"a plugin":        {sat("gen", "copy"), plugin, wire.HelloBody{Source: true, Direct: true}, 0},
		"a condition":     {conditional, direct("copy"), wire.HelloBody{Source: true, Direct: true}, 0},
		"a stream":        {kept, direct("copy"), wire.HelloBody{Source: true, Direct: true}, 0},
		"a tracked queue": {sat("gen", "copy"), sat("copy"), wire.HelloBody{Source: true, Direct: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, c.gen, c.copy)
			if c.gen == kept {
				st.o.byName["gen"].recorder = forgetful{}
			}
			gen := st.join("gen", 0, 1, c.hello)
			a := st.join("copy", 0, 2, able)
			st.o.instances[a.ref].owner.UID += c.owner
			gen.look()
			if st.o.instances[a.ref].sess.direct.able {
				a.listen()
			}
			if got := gen.endpoints(); got != "no ROUTES" && got != "" {
				t.Errorf("told %q", got)
			}
			gen.emit("x")
			if d := a.only(wire.Data); len(d) != 1 {
				t.Errorf("%d messages through the queue", len(d))
			}
		})
	}
}

// forgetful is a stream that keeps nothing.
type forgetful struct{}

func (forgetful) Append(string, uint64, uint16, uint16, string, []byte) {}
func (forgetful) Flush()                                                {}

// A receiver that was told to end by somebody else wants nothing more, and is taken off the lists before it leaves.
func TestWhoWantsNothingMoreIsTakenOff(t *testing.T) {
	st := newStage(t, sat("gen", "copy"), direct("copy"))
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true, Direct: true})
	a := st.join("copy", 0, 2, able)
	a.listen()
	gen.look()
	a.say(&wire.Header{Kind: wire.Credit, Epoch: 7}, nil)
	if got := gen.endpoints(); got != "" {
		t.Errorf("told %q", got)
	}
	a.say(&wire.Header{Kind: wire.Credit, Epoch: 7, N: 5, M: 1 << 20}, nil)
	if got := gen.endpoints(); !strings.Contains(got, a.inbox()) {
		t.Errorf("told %q", got)
	}
}

// Both sides tell how much was carried; what they say adds up over their lives, and who says nonsense is refused.
func TestTalliesAddUp(t *testing.T) {
	st := newStage(t, sat("gen", "copy"), direct("copy"))
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true, Direct: true})
	a := st.join("copy", 0, 2, able)
	a.listen()
	gen.tally(0, 0, 10, 640)
	gen.tally(0, 0, 25, 1600)
	a.tally(wire.FlagReceived, 0, 20, 3)
	a.die("killed")
	b := st.join("copy", 0, 3, able)
	b.tally(wire.FlagReceived, 0, 2, 0)
	want := carried{sent: 25, bytes: 1600, received: 22, missed: 3}
	if got := st.o.byName["copy"].carried; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(st.faults) > 0 {
		t.Fatal(st.faults)
	}
	gen.tally(0, 0, 24, 1600)
	b.say(&wire.Header{Kind: wire.Listen, Epoch: 7}, []byte("ipc:///etc/passwd"))
	if len(st.faults) != 2 || !strings.Contains(st.faults[0], "goes back") || !strings.Contains(st.faults[1], "not the place") {
		t.Errorf("%q", st.faults)
	}
}
