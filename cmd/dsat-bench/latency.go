package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dsat/dsat/web/control"
)

// latencies fills the rows of one carrier: EMIT to ACCEPTED, and the open loops.
func (l *lab) latencies(ctx context.Context, r *report, c contender, half int) error {
	out := filepath.Join(l.dir, "times")
	pingPong := cast{carrier: c.carrier, source: peerEnv{role: "pingpong", size: 64, out: out}, worker: peerEnv{role: "sink"}, workers: handful}
	if err := l.latency(ctx, r, c.name, "EMIT to ACCEPTED", pingPong, out); err != nil {
		return err
	}
	for _, load := range []struct {
		row  string
		rate int
	}{{"1,000/s", 1000}, {"100,000/s", 100_000}, {"half load", half}} {
		open := cast{carrier: c.carrier, source: peerEnv{role: "source", size: 64, rate: load.rate}, worker: peerEnv{role: "sink", out: out}, workers: handful}
		if err := l.latency(ctx, r, c.name, "due to handled at "+load.row, open, out); err != nil {
			return err
		}
	}
	return nil
}

// latency runs one cast and reports what it timed.
func (l *lab) latency(ctx context.Context, r *report, name, row string, peers cast, out string) error {
	hops, t, err := l.timed(ctx, peers, out)
	if err != nil {
		return err
	}
	r.add(row+", p50 us", name, t.p50)
	r.add(row+", p99 us", name, t.p99)
	if peers.source.rate == 1000 {
		r.add(hopRow, name, hops.quantile(0.5)*1e6)
	}
	return nil
}

// timed runs one cast and takes what the peer with the stopwatch left in out, and the daemon's own histogram of hops.
func (l *lab) timed(ctx context.Context, peers cast, out string) (hops buckets, q quantiles, err error) {
	text, err := peers.topology()
	if err != nil {
		return nil, q, err
	}
	if err := os.RemoveAll(out); err != nil {
		return nil, q, err
	}
	err = l.withDaemon(ctx, text, func(ctx context.Context, _ *control.Client) error {
		if err := sleep(ctx, warmUp); err != nil {
			return err
		}
		before, err := l.hops(ctx)
		if err != nil {
			return err
		}
		if err := sleep(ctx, measure); err != nil {
			return err
		}
		after, err := l.hops(ctx)
		hops = after.since(before)
		return err
	})
	if err != nil {
		return nil, q, err
	}
	q, err = readTimes(out)
	return hops, q, err
}

// bucket is one of a cumulative histogram: so many durations of at most le seconds.
type bucket struct{ le, count float64 }

type buckets []bucket

// since is what came after an earlier reading.
func (b buckets) since(before buckets) buckets {
	d := slices.Clone(b)
	for i := range min(len(d), len(before)) {
		d[i].count -= before[i].count
	}
	return d
}

// quantile is read linearly between the bounds, as Prometheus does; 0 of an empty histogram.
func (b buckets) quantile(q float64) float64 {
	if len(b) == 0 {
		return 0
	}
	rank := q * b[len(b)-1].count
	lower, below := 0.0, 0.0
	for _, k := range b {
		if k.count >= rank && k.count > below {
			return lower + (k.le-lower)*(rank-below)/(k.count-below)
		}
		lower, below = k.le, k.count
	}
	return 0
}

// hops reads the daemon's histogram of the worker's hops.
func (l *lab) hops(ctx context.Context) (buckets, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.socket())
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dsatd/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := parseBuckets(answer.Body)
	return b, errors.Join(err, answer.Body.Close())
}

// parseBuckets picks the worker's hop histogram out of a scrape.
func parseBuckets(scrape io.Reader) (buckets, error) {
	const label = `dsat_hop_duration_seconds_bucket{step="worker",le="`
	var b buckets
	lines := bufio.NewScanner(scrape)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), label)
		if !ok || strings.HasPrefix(rest, "+Inf") {
			continue
		}
		le, count, ok := strings.Cut(rest, `"} `)
		if !ok {
			return nil, fmt.Errorf("cannot read %q as a bucket", lines.Text())
		}
		bound, err1 := strconv.ParseFloat(le, 64)
		n, err2 := strconv.ParseFloat(count, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("cannot read %q as a bucket: %w", lines.Text(), err)
		}
		b = append(b, bucket{bound, n})
	}
	return b, lines.Err()
}
