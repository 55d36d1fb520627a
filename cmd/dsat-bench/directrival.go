package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/dsat/dsat/web/control"
)

//go:embed c/peer.c
var peerC []byte

// errNotTimed says that a rival has no latencies here.
var errNotTimed = errors.New("not timed")

// directRival is dsat's class direct, between satellites in C.
type directRival struct{ lab *lab }

// directName is what it is called.
const directName = "dsat direct, C"

func (directRival) label() string { return directName }
func (directRival) ours() bool    { return true }
func (directRival) words() string {
	return "satellites/c on both sides of a direct link: at most once, past the daemon, which counts. Its floor is " + rawName + "; frames carry as many messages as became ready while the one before was sent."
}

// buildPeer compiles the satellite. It is found from the root of the repository.
func buildPeer(ctx context.Context, l *lab) error {
	sources, err := filepath.Glob("satellites/c/*.c")
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		return errors.New("cannot find satellites/c: run the bench in the root of the repository")
	}
	main := filepath.Join(l.dir, "peer.c")
	if err := os.WriteFile(main, peerC, 0o600); err != nil {
		return err
	}
	args := append([]string{"-std=c11", "-D_GNU_SOURCE", "-O2", "-Isatellites/c", "-o", filepath.Join(l.dir, "peer"), main}, sources...)
	if out, err := exec.CommandContext(ctx, "gcc", append(args, "-lzmq", "-lpthread")...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build peer.c: %w\n%s", err, out)
	}
	return nil
}

func (d directRival) through(ctx context.Context, size int, s shape) (rate float64, err error) {
	peer := filepath.Join(d.lab.dir, "peer")
	text := fmt.Sprintf("dsat = 1\n[satellite.source]\ncommand = [%q, \"source\", \"%d\"]\nspeaks = \"bus\"\nto = \"worker\"\ninstances = %d\n"+
		"[satellite.worker]\ncommand = [%q, \"sink\"]\nspeaks = \"bus\"\ninstances = %d\nqueue = { delivery = \"direct\" }\n", peer, size, s.publishers, peer, s.consumers)
	err = d.lab.withDaemon(ctx, text, func(ctx context.Context, c *control.Client) error {
		if err := sleep(ctx, warmUp); err != nil {
			return err
		}
		before, at, err := receivedAt(ctx, c)
		if err != nil {
			return err
		}
		if err := sleep(ctx, 2*span); err != nil { // what receivers tell is up to a tenth of a second old
			return err
		}
		after, end, err := receivedAt(ctx, c)
		rate = float64(after-before) / (float64(end-at) / 1e9)
		if err == nil && after == before {
			err = errIdle
		}
		return err
	})
	return rate, err
}

// receivedAt is how many messages came along direct links, and when.
func receivedAt(ctx context.Context, c *control.Client) (received uint64, at int64, err error) {
	queues, err := c.Queues(ctx)
	at = monotonic()
	for _, q := range queues {
		if q.Direct != nil {
			received += q.Direct.Received
		}
	}
	return received, at, err
}

func (directRival) late(context.Context, int, shape) (quantiles, error) {
	return quantiles{}, errNotTimed
}
