package bus

import (
	"os"
	"path/filepath"
	"testing"

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
