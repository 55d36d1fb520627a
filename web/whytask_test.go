package web

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

func TestWhyTask(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	csv := topology.Ref{Name: "csv"}
	q := &inquiry{
		topology: &topology.Topology{Satellites: []*topology.Satellite{
			{Name: "csv", To: []topology.Link{{To: "far"}}, Work: topology.Work{Deadline: time.Minute}}, {Name: "far"},
		}},
		satellites: map[string]supervisor.SatelliteStatus{"csv": {Name: "csv", Instances: []supervisor.InstanceStatus{
			{Ref: csv, State: supervisor.Stopping, Why: "is being restarted"}}}},
		queues: map[string]control.Queue{"csv": {Step: "csv", Waiting: 3, InFlight: 1, Workers: 1}, "far": {Step: "far", Waiting: 1, Blocked: true}},
		now:    noon,
	}
	died := []string{"attempt 1 at csv:0: the process ended: killed by signal 9 (SIGKILL)"}
	for name, c := range map[string]struct {
		task bus.TaskStatus
		want []string
	}{
		"open": {bus.TaskStatus{ID: "7.40", State: "running", Open: 4, Hops: []bus.HopStatus{
			{ID: "7.40", Step: "csv", State: "done", Age: 5 * time.Second},
			{ID: "7.41", Step: "csv", State: "in_flight", Instance: "csv:0", Attempts: 2, Age: 4 * time.Second, Failures: died},
			{ID: "7.42", Step: "csv", State: "waiting", Age: 3 * time.Second, Waits: []string{"2 others wait before it", "no worker has credit"}},
			{ID: "7.43", Step: "far", State: "waiting", Attempts: 1, Age: 3 * time.Second},
			{ID: "7.44", Step: "csv", State: "held", Attempts: 1, Age: 2 * time.Second, Retry: 1500 * time.Millisecond},
		}}, []string{
			"It goes on: 5 messages are known of it, 4 open; it began 5s ago.",
			"7.41 is in the hands of csv:0, attempt 2, 4s after it came; csv:0 is stopping: is being restarted; it has 1m for one.",
			"7.41, attempt 1 at csv:0: the process ended: killed by signal 9 (SIGKILL).",
			"7.42 waits for csv, for 3s; 3 messages wait there, and 1 in hand of 1 worker.",
			"7.42: 2 others wait before it; no worker has credit.",
			"7.43 waits for far, for 3s, and was tried once; 1 message waits there, and 0 in hand of 0 workers.",
			"far gets nothing: no session is up; it has no instance: dsatctl scale far 1.",
			"7.44 is tried again at csv at 12:00:01, in 1.5s; it was tried once so far.",
		}},
		"one message of it": {bus.TaskStatus{ID: "7.40", State: "running", Asked: "7.41", Hops: []bus.HopStatus{{ID: "7.41", Step: "csv", State: "done", Attempts: 1, Age: time.Second}}},
			[]string{"7.41 was done at csv, 1s after it came, tried once."}},
		"done": {bus.TaskStatus{ID: "7.40", State: "done", Hops: []bus.HopStatus{{ID: "7.40", Step: "csv", State: "done"}}}, []string{"It has ended: it is done."}},
		"failed": {bus.TaskStatus{ID: "7.40", State: "failed", Reason: "csv: cancelled on request", Hops: []bus.HopStatus{
			{ID: "7.41", Step: "csv", State: "quarantined", Attempts: 3, Age: time.Second, Reason: "2 processes died on it"},
			{ID: "7.42", Step: "csv", State: "cancelled", Age: time.Second},
		}}, []string{
			"It has ended, and not all of it was done: csv: cancelled on request.",
			"7.41 was set aside in quarantine at csv, 1s after it came, tried 3 times: 2 processes died on it. It is not tried again by itself: dsatctl quarantine show 7.41",
			"7.42 ended as cancelled at csv, 1s after it came, never tried: no reason is known.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, q.task(&c.task)); diff != "" {
				t.Error(diff)
			}
		})
	}
	crowd := bus.TaskStatus{ID: "7.40", State: "running"}
	for range 50 {
		crowd.Hops = append(crowd.Hops, bus.HopStatus{ID: "7.41", Step: "x", State: "held"})
	}
	if said := q.task(&crowd); len(said) != mostHopsTold+2 || said[mostHopsTold+1] != "30 other messages are not told of here: dsatctl task 7.40" {
		t.Errorf("%d: %q", len(said), said)
	}
}
