// Command dsat-bench measures dsat beside named floors and peers and writes what it saw to docs/bench/.
//
// Every comparison runs its contenders in turn, A B A B ..., at least five times, and prints each figure's median with its
// spread and the ratio to the floor in the same run: these machines are noisy, ratios travel, digits do not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab is where a run of the bench works: a throw-away folder with the binaries it needs.
type lab struct {
	dir      string // temporary, removed at the end
	bin      string // dsatd and dsatctl
	runs     int
	peers    []string // managers beside the loop, by name
	children []int    // how many each manager has to keep
	cache    string   // peers' programs, kept for the next run
}

func main() {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(runPeer(role))
	}
	runs := flag.Int("n", 5, "runs of each contender")
	bin := flag.String("bin", "bin", "folder of dsatd and dsatctl")
	out := flag.String("out", "docs/bench", "folder the tables are written to")
	only := flag.String("only", "", "one comparison: supervise, bus, brokers, redelivery, containment or memory")
	peers := flag.String("peers", strings.Join(usualPeers, ","), "managers that supervise measures beside the loop in C; there is also "+dsatNoGroups)
	children := flag.String("children", "100,1000", "how many children they have to keep")
	limit := flag.Duration("limit", 70*time.Minute, "give up after so long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not done within %v", *limit))
	l := &lab{bin: *bin, runs: max(*runs, 1), peers: strings.Split(*peers, ",")}
	err := l.numbers(*children)
	if err == nil {
		err = bench(ctx, l, *out, *only)
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dsat-bench:", err)
		os.Exit(1)
	}
}

// comparison is one page of docs/bench/.
type comparison struct {
	name string
	run  func(context.Context, *lab) (*report, error)
}

// numbers reads how many children there are to be.
func (l *lab) numbers(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 1000 { // runsvdir takes no more
			return fmt.Errorf("-children %s: %q is no number from 1 to 1000", text, word)
		}
		l.children = append(l.children, n)
	}
	return nil
}

func bench(ctx context.Context, l *lab, out, only string) error {
	bin, err := filepath.Abs(l.bin)
	if err != nil {
		return err
	}
	if _, err := managersNamed(l.peers); err != nil {
		return err
	}
	for _, name := range []string{"dsatd", "dsatctl"} {
		if _, err := os.Stat(filepath.Join(bin, name)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot find %s in %s: run `make build` first", name, bin)
		}
	}
	dir, err := os.MkdirTemp("", "dsat-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l.dir, l.bin = dir, bin
	if l.cache, err = os.UserCacheDir(); err != nil { // no home: nothing is kept
		l.cache = dir
	}
	l.cache = filepath.Join(l.cache, "dsat-bench")
	for _, c := range []comparison{{"supervise", supervise}, {"bus", busSpeed}, {"brokers", brokers}, {"redelivery", redelivery}, {"containment", containment}, {"memory", memory}} {
		if only != "" && only != c.name {
			continue
		}
		fmt.Printf("== %s\n", c.name)
		r, err := c.run(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, errors.Join(err, context.Cause(ctx)))
		}
		text := r.markdown(time.Now())
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
