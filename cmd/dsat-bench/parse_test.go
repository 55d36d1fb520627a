package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/topology"
)

func stampBytesOf(at, pid uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, at), pid)
}

func TestStampsAreReadWhole(t *testing.T) {
	raw := append(stampBytesOf(5_000_000_000, 42), stampBytesOf(6, 43)...)
	for torn := range stampBytes {
		all := parseStamps(append(raw[:32:32], raw[:torn]...))
		if len(all) != 2 || all[0] != (stamp{5_000_000_000, 42}) || all[1] != (stamp{6, 43}) {
			t.Fatalf("with %d bytes of a third: %v", torn, all)
		}
	}
	if all := parseStamps(nil); len(all) != 0 {
		t.Errorf("of nothing: %v", all)
	}
}

func TestWaitingForStampsEndsWithTheContext(t *testing.T) {
	s, err := newStamps(&lab{dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := s.wait(ctx, 1); !errors.Is(err, why) || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("%v", err)
	}
	if all, err := s.wait(ctx, 0); err != nil || len(all) != 0 {
		t.Errorf("for none: %v, %v", all, err)
	}
}

func TestMarksSurviveTheFile(t *testing.T) {
	m := victimMark{word: "begun", pid: 12, message: math.MaxUint64, at: 99}
	if got, err := parseMark(m.String()); err != nil || got != m {
		t.Errorf("%v came back as %v, %v", m, got, err)
	}
	for _, bad := range []string{"", "begun", "begun x 1 2", "killed 1 2 3", "done 1 -2 3"} {
		if m, err := parseMark(bad); err == nil {
			t.Errorf("%q was read as %v", bad, m)
		}
	}
}

// growing is a file that others append to: every read gets one piece, then its end for now.
type growing struct{ pieces []string }

func (g *growing) Read(p []byte) (int, error) {
	if len(g.pieces) == 0 || g.pieces[0] == "" {
		g.pieces = g.pieces[min(1, len(g.pieces)):]
		return 0, io.EOF
	}
	n := copy(p, g.pieces[0])
	g.pieces[0] = g.pieces[0][n:]
	return n, nil
}

func TestALineIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := bufio.NewReader(&growing{pieces: []string{"beg", "un 1", " 2 3\ndone", " 1 2 4\n"}})
		for _, want := range []string{"begun 1 2 3\n", "done 1 2 4\n"} {
			if got, err := nextLine(t.Context(), lines); got != want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := nextLine(ctx, lines); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the end: %q, %v", got, err)
		}
	})
}

func TestTimesComeThroughTheFile(t *testing.T) {
	times := newTimes()
	times.add(1, 77) // the warm-up
	for i := range int64(1000) {
		times.add(int64(warmUp)+1+i, (i+1)*1000)
	}
	path := filepath.Join(t.TempDir(), "times")
	if err := times.write(path); err != nil {
		t.Fatal(err)
	}
	q, err := readTimes(path)
	if err != nil {
		t.Fatal(err)
	}
	near := func(got, want float64) bool { return math.Abs(got-want) <= want/500 }
	if q.count != 1000 || !near(q.p50, 500) || !near(q.p99, 990) || !near(q.p999, 999) || !near(q.max, 1000) {
		t.Errorf("%+v", q)
	}
	for _, bad := range []string{"", "1 2", "0 0 0 0 0", "x 1 2 3 4"} {
		if q, err := parseTimes(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, q)
		}
	}
}

const scrape = `# TYPE dsat_hop_duration_seconds histogram
dsat_hop_duration_seconds_bucket{step="source",le="0.0001"} 99
dsat_hop_duration_seconds_bucket{step="worker",le="0.0001"} 10
dsat_hop_duration_seconds_bucket{step="worker",le="0.0002"} 30
dsat_hop_duration_seconds_bucket{step="worker",le="+Inf"} 31
dsat_hop_duration_seconds_sum{step="worker"} 1
`

func TestBucketsOfAScrape(t *testing.T) {
	b, err := parseBuckets(strings.NewReader(scrape))
	if err != nil || len(b) != 2 || b[1] != (bucket{0.0002, 30}) {
		t.Fatalf("%v, %v", b, err)
	}
	if got := b.quantile(0.5); math.Abs(got-0.000125) > 1e-9 { // rank 15: a quarter into the second
		t.Errorf("the median is %v", got)
	}
	if d := b.since(b); d.quantile(0.5) != 0 {
		t.Errorf("of nothing new: %v", d)
	}
	if _, err := parseBuckets(strings.NewReader(`dsat_hop_duration_seconds_bucket{step="worker",le="x"} y`)); err == nil {
		t.Error("garbage was read")
	}
}

func TestEveryCastIsATopology(t *testing.T) {
	for _, c := range carriers() {
		for name, peers := range map[string]cast{
			"load":    {carrier: c.carrier, source: peerEnv{role: "source", size: 64}, worker: peerEnv{role: "sink", out: "/tmp/o"}, workers: handful, shape: shape{4, 1}},
			"victims": {carrier: c.carrier, worker: peerEnv{role: "victim"}, workers: victims, shape: shape{consumers: workers}},
		} {
			text, err := peers.topology()
			if err != nil {
				t.Fatal(err)
			}
			checkTopology(t, c.carrier+" "+name, text)
		}
	}
	checkTopology(t, "idle", idleTopology("[daemon]\ncgroup = \"off\"\n", 3, []string{"/bin/true", "x"}, atOnce))
}

func checkTopology(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bench.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Load([]string{file}, topology.Options{}); err != nil {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
}
