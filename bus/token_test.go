package bus

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// A process that outlived its dsatd has the token that the next one expects, and nobody else has.
func TestTokensOutliveTheDaemon(t *testing.T) {
	dir := t.TempDir()
	token := func(ref topology.Ref, inc topology.Incarnation) string {
		key, err := tokenKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		return (&Bus{key: key}).token(ref, inc)
	}
	cpu := topology.Ref{Name: "cpu"}
	first := token(cpu, 1)
	if first != token(cpu, 1) || len(first) != 32 {
		t.Error("a token changed with the daemon")
	}
	if first == token(cpu, 2) || first == token(topology.Ref{Name: "cpu", WID: 1}, 1) {
		t.Error("two lives have one token")
	}
	path := filepath.Join(dir, keyName)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil { // by a full disk
		t.Fatal(err)
	}
	if other := token(cpu, 1); other == first || other != token(cpu, 1) {
		t.Error("a torn key was used")
	}
}

// A source that had a session with a daemon that died goes on with its numbers where it knows itself accepted.
func TestSourceGoesOnWithAnotherDaemon(t *testing.T) {
	st := newStage(t, sat("clock", "cpu"), sat("cpu"))
	clock := st.admit("clock", 0, 1)
	clock.hello(wire.HelloBody{Source: true, Accepted: 41})
	welcome := clock.only(wire.Welcome)
	var w wire.WelcomeBody
	if len(welcome) != 1 || wire.ParseJSON(&welcome[0], &w) != nil || w.Accepted != 41 {
		t.Fatalf("%+v", welcome)
	}
	for n, want := range map[uint64]uint64{41: 41, 42: 42} { // a repeat, and the next
		clock.say(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: n}, []byte("x"))
		if got := clock.only(wire.Accepted); len(got) != 1 || got[0].N < want {
			t.Errorf("EMIT %d: %+v", n, got)
		}
	}
	if l := st.ledger(); l.Admitted != 1 || len(st.faults) > 0 {
		t.Errorf("%+v %v", l, st.faults)
	}
}
