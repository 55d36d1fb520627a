// Command dsat-bench measures dsat beside named floors and peers and writes what it saw to docs/bench/.
//
// Every comparison runs its contenders in turn, A B A B ..., at least five times, and prints each figure's median with its
// spread and the ratio to the floor in the same run: these machines are noisy, ratios travel, digits do not.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// lab is where a run of the bench works: a throw-away folder with the binaries it needs.
type lab struct {
	dir  string // temporary, removed at the end
	bin  string // dsatd and dsatctl
	runs int
}

func main() {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(runPeer(role))
	}
	runs := flag.Int("n", 5, "runs of each contender")
	bin := flag.String("bin", "bin", "folder of dsatd and dsatctl")
	out := flag.String("out", "docs/bench", "folder the tables are written to")
	only := flag.String("only", "", "one comparison: supervise, bus or redelivery")
	flag.Parse()
	if err := bench(*runs, *bin, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "dsat-bench:", err)
		os.Exit(1)
	}
}

// comparison is one page of docs/bench/.
type comparison struct {
	name string
	run  func(*lab) (*report, error)
}

func bench(runs int, bin, out, only string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dsat-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := &lab{dir: dir, bin: bin, runs: max(runs, 1)}
	for _, c := range []comparison{{"supervise", supervise}, {"bus", busSpeed}, {"redelivery", redelivery}} {
		if only != "" && only != c.name {
			continue
		}
		fmt.Printf("== %s\n", c.name)
		r, err := c.run(l)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		text := r.markdown()
		fmt.Print(text)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, c.name+".md"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
