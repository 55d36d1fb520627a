package bus

import (
	"testing"

	"github.com/dsat/dsat/topology"
)

// The story: every first life is incarnation 1 of its instance. When one plugin ended while another started, the folder that
// both had was removed under the other's feet, and it ended with "the plugin server ended".
func TestNoTwoLivesShareASocketDirectory(t *testing.T) {
	b := &Bus{cfg: Config{RunDir: "/run/x"}}
	seen := map[string]string{}
	for _, name := range []string{"a", "b", "a1"} {
		for wid := range 12 {
			for spawn := uint32(1); spawn < 12; spawn++ {
				ref, inc := topology.Ref{Name: name, WID: wid}, topology.NewIncarnation(3, spawn)
				dir, life := b.pluginDir(ref, inc), ref.String()+" "+inc.String()
				if other, ok := seen[dir]; ok {
					t.Fatalf("%s and %s share %s", life, other, dir)
				}
				if seen[dir] = life; len(dir) > len("/run/x/p/")+13 {
					t.Fatalf("%s is long", dir)
				}
			}
		}
	}
}
