package web

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

func TestWhy(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	csv, site := topology.Ref{Name: "csv"}, topology.Ref{Name: "site"}
	topo := &topology.Topology{Satellites: []*topology.Satellite{
		{Name: "clock", To: []topology.Link{{To: "csv"}}},
		{Name: "csv", To: []topology.Link{{To: "far"}}},
		{Name: "site", Needs: []topology.Need{{Name: "csv"}}, After: []string{"clock"}, Ready: topology.Ready{Deadline: 30 * time.Second}},
	}}
	status := func(in supervisor.InstanceStatus) map[string]supervisor.SatelliteStatus {
		return map[string]supervisor.SatelliteStatus{
			"clock":     {Name: "clock", State: supervisor.Running},
			in.Ref.Name: {Name: in.Ref.Name, State: in.State, Why: in.Why, Instances: []supervisor.InstanceStatus{in}},
		}
	}
	backoff := supervisor.InstanceStatus{Ref: csv, State: supervisor.Backoff, Since: ago(412 * time.Millisecond), Restarts: 3,
		Why: "in back-off for 1.6s after exit code 3 (4th in a row)", Due: noon.Add(1188 * time.Millisecond)}
	died := supervisor.Death{Ref: csv, PID: 7301, Time: ago(412 * time.Millisecond), Cause: "exit code 3", Code: 3, Uptime: 2 * time.Second,
		Last: []string{"a", "cannot open\x07"}}
	asked := supervisor.Death{Ref: csv, PID: 7302, Time: noon, Asked: true, Signal: syscall.SIGTERM, Cause: "killed"}
	for name, c := range map[string]struct {
		in      supervisor.InstanceStatus
		deaths  []supervisor.Death
		queues  map[string]control.Queue
		reasons map[string][]string
		more    map[string]supervisor.SatelliteStatus
		strains []supervisor.Strain
		want    map[string][]string
	}{
		"back-off": {in: backoff, deaths: []supervisor.Death{died, asked}, want: map[string][]string{"csv:0": {
			"It is backoff, for 412ms (since 11:59:59): in back-off for 1.6s after exit code 3 (4th in a row).",
			"It is started again at 12:00:01, in 1.2s.",
			"Since this dsatd began it was restarted 3 times without being asked to.",
			"Process 7301 died 412ms ago (11:59:59) after 2s: exit code 3.",
			`Its last words: "cannot open\a".`}}},
		"at its limits": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Running, PID: 5, Since: ago(time.Hour)},
			strains: []supervisor.Strain{{Limit: "memory", Hits: 0}, {Limit: "memory_high", Hits: 1}, {Limit: "pids", Hits: 40}},
			want: map[string][]string{"csv:0": {"It is running as process 5, for 1h0m (since 11:00:00).",
				"Its limits.memory_high was passed, and it was slowed down once.", "Its limits.pids was reached, and a fork refused 40 times."}}},
		"running": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Running, PID: 5, Since: ago(25 * time.Hour)},
			queues: map[string]control.Queue{"csv": {Step: "csv", Workers: 1}},
			want: map[string][]string{"csv:0": {"It is running as process 5, for 25h0m (since 3 Mar 11:00:00)."},
				"csv": {"No message waits for it and none is in hand."}}},
		"nobody works": {in: backoff, queues: map[string]control.Queue{"csv": {Step: "csv", Waiting: 1, Held: 2, OldestAge: 90, Blocked: true, Quarantine: 2}},
			want: map[string][]string{"csv:0": {
				"It is backoff, for 412ms (since 11:59:59): in back-off for 1.6s after exit code 3 (4th in a row).",
				"It is started again at 12:00:01, in 1.2s.", "Since this dsatd began it was restarted 3 times without being asked to."},
				"csv": {"1 message waits for it, 2 for the time of their retry; 0 in hand of 0 workers. The oldest is 1m30s old.",
					"csv gets nothing: no session is up; csv:0 is backoff (in back-off for 1.6s after exit code 3 (4th in a row)).",
					"Its queue is full, so that those who fill it wait: clock.",
					"2 messages are set aside in quarantine and not tried again by itself: dsatctl quarantine list --step csv"}}},
		"held back": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Running, PID: 5},
			queues:  map[string]control.Queue{"csv": {Step: "csv", Waiting: 7, Workers: 1, InFlight: 1}, "far": {Step: "far", Blocked: true}},
			reasons: map[string][]string{"csv": {"it is given nothing while the queue of far is full"}},
			want: map[string][]string{"csv:0": {"It is running as process 5."},
				"csv": {"7 messages wait for it, 0 for the time of their retry; 1 in hand of 1 worker. The oldest is 0s old.",
					"It is given nothing while the queue of far is full."}}},
		"waits for others": {in: supervisor.InstanceStatus{Ref: site, State: supervisor.Starting, Why: "waits for csv to be ready"},
			more: map[string]supervisor.SatelliteStatus{"csv": {Name: "csv", State: supervisor.Fatal, Why: "gave up"}},
			want: map[string][]string{"site:0": {"It is starting: waits for csv to be ready.", "csv, before which site does not start, is fatal: gave up."}}},
		"not ready yet": {in: supervisor.InstanceStatus{Ref: site, State: supervisor.Starting, PID: 9, Started: ago(10 * time.Second), Why: "is not ready yet"},
			want: map[string][]string{"site:0": {"It is starting as process 9: is not ready yet.",
				"If it is not ready by 12:00:20, in 20s, it is stopped and that counts as a failure."}}},
		"stopping": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Stopping, PID: 9, Why: "is being stopped", Due: noon.Add(4 * time.Second)},
			want: map[string][]string{"csv:0": {"It is stopping as process 9: is being stopped.",
				"If it has not ended by 12:00:04, in 4s, harder measures follow: its stop signal, then SIGKILL."}}},
		"what a stop leaves": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Stopping, Why: "waits", Due: noon.Add(4 * time.Second)},
			want: map[string][]string{"csv:0": {"It is stopping: waits.", "What has not ended by 12:00:04, in 4s, is killed."}}},
		"asleep": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Stopped, Asleep: true, Why: "is started by the first connection to x"},
			want: map[string][]string{"csv:0": {"It is stopped: is started by the first connection to x.", "dsatctl start csv:0 starts it without one."}}},
		"hook": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Stopping, Why: "its after_stop hook runs", Due: noon.Add(4 * time.Second), Hook: "after_stop", HookDue: noon.Add(2 * time.Second)},
			want: map[string][]string{"csv:0": {"It is stopping: its after_stop hook runs.", "If the hook has not ended by 12:00:02, in 2s, it is killed."}}},
		"fatal": {in: supervisor.InstanceStatus{Ref: csv, State: supervisor.Fatal, Restarts: 1, Why: "gave up"},
			deaths: []supervisor.Death{{Ref: csv, Time: ago(time.Minute), Cause: "cannot execute x"}},
			want: map[string][]string{"csv:0": {"It is fatal: gave up.", "It is not tried again by itself: dsatctl start csv:0 tries anew.",
				"Since this dsatd began it was restarted once without being asked to.", "It failed to start 1m ago (11:59:00): cannot execute x."}}},
	} {
		t.Run(name, func(t *testing.T) {
			q := &inquiry{topology: topo, satellites: status(c.in), queues: c.queues, reasons: c.reasons, deaths: c.deaths, now: noon, strains: func(ref topology.Ref) []supervisor.Strain { return c.strains }}
			for n, s := range c.more {
				q.satellites[n] = s
			}
			got := map[string][]string{}
			for _, w := range q.answer([]topology.Ref{c.in.Ref}, false) {
				got[w.Name] = w.Text
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWait(t *testing.T) {
	h := lived(t, stage)
	h.told.Store(true)
	waited := make(chan error, 1)
	go func() {
		_, err := h.words().Wait(t.Context(), []string{"nobody", "talker"}, "stopped", 0)
		waited <- err
	}()
	if _, err := h.words().Wait(t.Context(), []string{"talker", "echo"}, "running", time.Minute); err != nil {
		t.Fatal(err)
	}
	_, err := h.words().Wait(t.Context(), []string{"talker", "nobody"}, "stopped", time.Millisecond)
	if err == nil || err.Error() != "cannot wait longer for stopped: talker:0 is running" || errorKind(err) != control.KindTimeout {
		t.Error(err)
	}
	if _, err := h.words().Stop(t.Context(), []string{"talker"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if _, err := h.words().Wait(t.Context(), []string{"talker"}, "backoff", 0); err == nil || errorKind(err).Status() != http.StatusBadRequest {
		t.Error(err)
	}
}

func TestWhyAndHistoryAreServed(t *testing.T) {
	h := lived(t, stage)
	if _, err := h.words().Stop(t.Context(), []string{"talker"}, 0); err != nil {
		t.Fatal(err)
	}
	deaths, err := h.words().History(t.Context(), []string{"talker"})
	if err != nil || len(deaths) != 1 || !deaths[0].Asked || deaths[0].Signal != 15 || len(deaths[0].Last) != 3 || deaths[0].MaxRSS == 0 {
		t.Errorf("%+v %v", deaths, err)
	}
	all, err := h.words().Why(t.Context(), []string{"nobody"})
	if err != nil || len(all) != 2 || !strings.Contains(all[1].Text[1], "nobody gets nothing: no session is up; nobody:0 is stopped") {
		t.Errorf("%+v %v", all, err)
	}
	if one, err := h.words().Why(t.Context(), []string{"echo:0"}); err != nil || len(one) != 1 {
		t.Errorf("%+v %v", one, err)
	}
}

// words is the Go client of the API.
func (h *house) words() *control.Client { return control.Dial(h.socket()) }

func TestStagesThatAreWaitedFor(t *testing.T) {
	running := supervisor.InstanceStatus{State: supervisor.Running}
	checked, sick, unready := running, running, running
	checked.Health, sick.Health = supervisor.Healthy, supervisor.Unhealthy
	unready.Health, unready.Unready = supervisor.Unhealthy, true
	for what, c := range map[string]struct {
		in  supervisor.InstanceStatus
		met string
	}{
		"without checks": {running, "running ready healthy"}, "healthy": {checked, "running ready healthy"}, "sick": {sick, "running ready"},
		"unready": {unready, "running"}, "failed": {supervisor.InstanceStatus{State: supervisor.Exited}, "exited"},
		"done": {supervisor.InstanceStatus{State: supervisor.Exited, Success: true}, "exited done"}, "backoff": {supervisor.InstanceStatus{State: supervisor.Backoff}, ""},
	} {
		var met []string
		for _, stage := range []string{"running", "ready", "healthy", "stopped", "exited", "done", "fatal"} {
			if lasting[stage](c.in) {
				met = append(met, stage)
			}
		}
		if got := strings.Join(met, " "); got != c.met {
			t.Errorf("%s: %s", what, got)
		}
	}
}
