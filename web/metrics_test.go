package web

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// staged are rooms in which one of everything happened. This process stands for an instance's.
func staged() rooms {
	cpu := func(wid, pid int, state supervisor.State) supervisor.InstanceStatus {
		return supervisor.InstanceStatus{Ref: topology.Ref{Name: "cpu", WID: wid}, State: state, Want: supervisor.Up, PID: pid, Restarts: wid, Started: noon, Health: supervisor.Healthy}
	}
	q := bus.QueueStatus{Breaker: "closed",
		Step: "cpu", Waiting: 3, Bytes: 300, InFlight: 2, Held: 1, OldestAge: 1500 * time.Millisecond, Workers: 1, Quarantine: 4, Blocked: true,
		Refused: 5, Failed: 6, Crashed: 7, BytesIn: 800, Direct: &bus.DirectStatus{Receivers: 1, Sent: 9, Bytes: 90, Received: 8, Missed: 1},
		Ledger: bus.Ledger{Admitted: 16, Done: 4, Quarantined: 3, Expired: 2, Cancelled: 1, Held: 4, InFlight: 2, Redelivered: 9},
	}
	q.Latency.Counts[0], q.Latency.Counts[3], q.Latency.Sum = 2, 1, time.Millisecond
	q.Latency.Counts[len(q.Latency.Counts)-1] = 1
	return rooms{
		forwards: func() []logs.Forwarding { return []logs.Forwarding{{To: "journald", Sent: 7, Lost: 1}} },
		satellites: func() []supervisor.SatelliteStatus {
			return []supervisor.SatelliteStatus{{Name: "cpu", Instances: []supervisor.InstanceStatus{
				cpu(0, os.Getpid(), supervisor.Running), cpu(1, 0, supervisor.Backoff),
			}}}
		},
		bus: func() (bus.Stats, error) {
			return bus.Stats{Queues: []bus.QueueStatus{q}, Streams: []bus.StreamGauge{{Name: "probe/cpu", Messages: 5, Bytes: 500, Lost: 1}}, Ledger: q.Ledger, Tasks: 5, Strays: 2, Evicted: 1, Routes: []bus.RouteStatus{{Step: "cpu", Unrouted: 2, Links: []bus.LinkStatus{
				{Link: topology.Link{To: "csv"}, Taken: 3, Others: map[string]uint64{"csv2": 1}}, {Link: topology.Link{To: "csv2"}, Taken: 1, Skipped: 4, Failed: 5}}}}, Legacy: stagedLegacy(), Journal: &bus.JournalStats{Dir: "/j"}}, nil
		},
		ready:   func() bool { return true },
		strains: func(topology.Ref) []supervisor.Strain { return []supervisor.Strain{{Limit: "pids", Hits: 3}} },
	}
}

// stagedLegacy is a door at which everything happened.
func stagedLegacy() *bus.LegacyStatus {
	return &bus.LegacyStatus{Where: "here", Ports: []bus.LegacyPort{{Links: []string{"PUSH_any_ORCHESTER"}, In: 9, Malformed: map[string]uint64{"parts": 2}, Refused: map[string]uint64{"type": 1}}},
		Steps: []bus.LegacyStep{{Name: "cpu", Errors: 3, Late: 1}}}
}

func collectorOf(r rooms) *collector {
	return newCollector(r, control.Version{Version: "v1", Go: "go1", ZeroMQ: "4.3"}, noon)
}

func TestMetricsAreWellNamedAndConsistent(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectorOf(staged()))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsTellWhatTheRoomsSay(t *testing.T) {
	want := `# HELP dsat_hop_duration_seconds Time from dispatch to the answer DONE.
# TYPE dsat_hop_duration_seconds histogram
`
	sum := 0
	counts := map[float64]int{2.5e-05: 2, 0.00025: 1}
	h := bus.Histogram{}
	for _, bound := range h.Bounds() {
		sum += counts[bound]
		want += fmt.Sprintf("dsat_hop_duration_seconds_bucket{step=%q,le=%q} %d\n", "cpu", fmt.Sprint(bound), sum)
	}
	want += `dsat_hop_duration_seconds_bucket{step="cpu",le="+Inf"} 4
dsat_hop_duration_seconds_sum{step="cpu"} 0.001
dsat_hop_duration_seconds_count{step="cpu"} 4
# HELP dsat_hops_total Hops of the step by their end.
# TYPE dsat_hops_total counter
dsat_hops_total{outcome="cancelled",step="cpu"} 1
dsat_hops_total{outcome="diverted",step="cpu"} 0
dsat_hops_total{outcome="done",step="cpu"} 4
dsat_hops_total{outcome="dropped",step="cpu"} 0
dsat_hops_total{outcome="expired",step="cpu"} 2
dsat_hops_total{outcome="quarantined",step="cpu"} 3
# HELP dsat_instance_up 1 when the instance runs and is ready.
# TYPE dsat_instance_up gauge
dsat_instance_up{satellite="cpu",wid="0"} 1
dsat_instance_up{satellite="cpu",wid="1"} 0
# HELP dsat_ledger_balanced 1 when admitted equals the sum of all ends, held and in flight.
# TYPE dsat_ledger_balanced gauge
dsat_ledger_balanced 1
# HELP dsat_queue_oldest_age_seconds Age of the oldest message waiting for the step or in hand there.
# TYPE dsat_queue_oldest_age_seconds gauge
dsat_queue_oldest_age_seconds{step="cpu"} 1.5
# HELP dsat_start_time_seconds When this dsatd started, in seconds since the Unix epoch.
# TYPE dsat_start_time_seconds gauge
dsat_start_time_seconds 1.7726256e+09
`
	if err := testutil.CollectAndCompare(collectorOf(staged()), strings.NewReader(want), "dsat_hop_duration_seconds", "dsat_hops_total",
		"dsat_instance_up", "dsat_ledger_balanced", "dsat_queue_oldest_age_seconds", "dsat_start_time_seconds"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(collectorOf(staged()), "dsat_instance_state"); n != 14 {
		t.Errorf("%d series of states", n)
	}
}

// What the bus counts is absent when it does not answer; a zero would look like a restart.
func TestMetricsWithoutTheBus(t *testing.T) {
	silent := staged()
	silent.bus = func() (bus.Stats, error) { return bus.Stats{}, errors.New("stuck") }
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectorOf(silent))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); strings.HasPrefix(name, "dsat_hop") || strings.HasPrefix(name, "dsat_queue") || name == "dsat_ledger_balanced" {
			t.Errorf("%s is told", name)
		}
		if f.GetName() == "dsat_bus_up" && f.GetMetric()[0].GetGauge().GetValue() != 0 {
			t.Error("the bus is said to be up")
		}
	}
}

// docs/metrics.md is the golden list of names, types and labels, and the documentation of them. What is described is gathered.
func TestMetricsAreDocumented(t *testing.T) {
	c := collectorOf(staged())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(c.all) {
		t.Errorf("%d metrics are described, %d gathered", len(c.all), len(families))
	}
	var b strings.Builder
	b.WriteString(metricsHead)
	for _, f := range families {
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.Sort(labels)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, " "), f.GetHelp())
	}
	path := filepath.Join("..", "docs", "metrics.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/metrics.md is not as expected; if it is better: go test ./web -run TestMetricsAreDocumented -update\n%s", diff)
	}
}

const metricsHead = `# Metrics

` + "Written from the collector itself by `go test ./web -run TestMetricsAreDocumented -update`." + `

` + "`GET /metrics`" + ` answers in Prometheus's formats, compressed when asked. Label values come from the topology only, so their number is
bounded by it; a satellite or step that is gone has no series. Besides these there are client_golang's own: ` + "`go_*`, `process_*`" + `
(of dsatd itself) and ` + "`promhttp_*`" + `. Counters begin with 0 at each start of dsatd.

Worth an alert: ` + "`dsat_instance_wanted == 1 and dsat_instance_up == 0`, `rate(dsat_instance_restarts_total[5m]) > 0`, `dsat_queue_blocked == 1`," + `
` + "`dsat_queue_oldest_age_seconds` above what the step may take, `increase(dsat_hops_total{outcome=\"quarantined\"}[5m]) > 0`," + `
` + "`dsat_ledger_balanced == 0`, `dsat_bus_up == 0`." + `

| metric | type | labels | meaning |
|---|---|---|---|
`
