package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

// BenchmarkThousand starts, kills and stops 1,000 children. DSAT_BENCH_CHILD names the program; a small static one shows the
// supervisor rather than the loader.
func BenchmarkThousand(b *testing.B) {
	child := os.Getenv("DSAT_BENCH_CHILD")
	if child == "" {
		child = "sleep"
	}
	var launch, respawn, back, stop time.Duration
	var pss, threads int
	for range b.N {
		s := satelliteOf("many", "", "")
		s.Command, s.Instances = []string{child, "100000"}, 1000
		changed := make(chan struct{}, 1)
		sup, err := New(Config{
			Topology: &topology.Topology{Name: "bench", Dir: "/", Satellites: list(s)}, RunDir: b.TempDir(), StateDir: b.TempDir(), Epoch: 1,
			Event: func(Event) {
				select {
				case changed <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- sup.Run(context.Background()) }()
		begin := time.Now()
		if err := sup.Boot(context.Background()); err != nil {
			b.Fatal(err)
		}
		launch += time.Since(begin)
		pss, threads = memory(), count("/proc/self/task")
		restarts := func(wid, n int) {
			for i := sup.find(ref("many", wid)); ; <-changed {
				if st := i.status.Load(); st.State == Running && st.Restarts >= n {
					return
				}
			}
		}
		begin = time.Now()
		_, _ = sup.Signal([]topology.Ref{ref("many", 500)}, 9)
		restarts(500, 1)
		respawn += time.Since(begin)
		begin = time.Now()
		for _, i := range sup.Snapshot()[0].Instances {
			_, _ = sup.Signal([]topology.Ref{i.Ref}, 9)
		}
		for wid := range 1000 {
			restarts(wid, 1)
		}
		back += time.Since(begin)
		begin = time.Now()
		if err := sup.StopAll(context.Background()); err != nil {
			b.Fatal(err)
		}
		stop += time.Since(begin)
		sup.Close()
		<-ended
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(ms(launch), "launch-ms")
	b.ReportMetric(ms(respawn), "respawn-ms")
	b.ReportMetric(ms(back), "back-ms")
	b.ReportMetric(ms(stop), "stop-ms")
	b.ReportMetric(float64(pss)/1024, "PSS-MiB")
	b.ReportMetric(float64(threads), "threads")
}

// memory is the PSS of this process in KiB.
func memory() int {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(text, []byte("\nPss:"))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		panic(fmt.Sprintf("PSS is no number: %v", err))
	}
	return n
}

func count(dir string) int {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	return len(entries)
}
