package supervisor

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

var manyTrees = flag.Int("trees", 1000, "random trees of processes for TestForest")

// Whatever a satellite forks, and however it hides: after a stop nothing of it is there. Random trees of processes in control
// groups (ten thousand of them in `make ci`), and a share of that without them, where those that hide their environment are let off (they end with dsatd).
func TestForest(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	if out, err := exec.Command("gcc", "-O1", "-o", tree, "testdata/tree.c").CombinedOutput(); err != nil {
		t.Fatalf("cannot compile: %v\n%s", err, out)
	}
	const trees = 50
	rounds := max(*manyTrees/trees, 1)
	t.Run("groups", func(t *testing.T) {
		if _, err := delegated("auto"); err != nil {
			t.Skip(err)
		}
		forest(t, tree, "auto", trees, rounds)
	})
	t.Run("sessions", func(t *testing.T) { forest(t, tree, "off", trees, rounds/5) })
}

func forest(t *testing.T, tree, groups string, trees, rounds int) {
	s := satelliteOf("tree", "", "")
	s.Command = []string{tree}
	if groups != "off" {
		s.Command = append(s.Command, "hide")
	}
	s.Instances, s.Autostart = trees, false
	s.Stop.Deadline = 20 * time.Millisecond
	s.Restart.Limit = 0
	s.Dir = t.TempDir()
	s.Env["SEED"] = strconv.FormatInt(time.Now().UnixNano(), 36)
	r := start(t, list(s), func(c *Config) { c.Topology.Daemon.Cgroup = groups })
	var all []topology.Ref
	for wid := range trees {
		all = append(all, ref("tree", wid))
	}
	most := 0
	for round := range rounds {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if _, err := r.Start(ctx, all); err != nil {
			t.Fatalf("seed %s, round %d: %v", s.Env["SEED"], round, err)
		}
		most = max(most, len(inside(s.Dir)))
		results, err := r.Stop(ctx, all)
		cancel()
		if err != nil {
			t.Fatalf("seed %s, round %d: %v", s.Env["SEED"], round, err)
		}
		for _, res := range results {
			if res.Err != nil || res.State != Stopped {
				t.Errorf("seed %s, round %d: %+v", s.Env["SEED"], round, res)
			}
		}
		if left := inside(s.Dir); len(left) > 0 {
			t.Fatalf("seed %s, round %d: left behind: %v", s.Env["SEED"], round, left)
		}
	}
	if most < trees {
		t.Errorf("the forest never had more than %d processes", most)
	}
	t.Logf("%d trees; at most %d processes at once", rounds*trees, most)
}

// inside is every living process that works in a directory.
func inside(dir string) (found []string) {
	pids, _ := processes()
	for _, pid := range pids {
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != dir {
			continue
		}
		if p, err := readStat(pid); err == nil && !p.dead() {
			found = append(found, fmt.Sprintf("%+v", p))
		}
	}
	return found
}
