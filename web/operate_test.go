package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

func TestOperatingProcesses(t *testing.T) {
	h := lived(t, stage)
	client := control.Dial(h.socket())
	pid := func(change *control.Change, err error) int {
		t.Helper()
		if err != nil || len(change.Instances) != 1 || change.Instances[0].Error != "" || change.Instances[0].State != "running" {
			t.Fatalf("%+v, %v", change, err)
		}
		return change.Instances[0].PID
	}
	first := pid(client.Start(t.Context(), []string{"talker"}, 0))
	second := pid(client.Restart(t.Context(), []string{"talker:0"}, time.Minute))
	if first == second || first == 0 || second == 0 {
		t.Errorf("pid %d, then %d", first, second)
	}
	if third := pid(client.Signal(t.Context(), []string{"talk*"}, "CONT")); third != second {
		t.Errorf("pid %d, then %d", second, third)
	}
	change, err := client.Scale(t.Context(), "talker", 3, time.Minute)
	if err != nil || len(change.Instances) != 2 || change.Instances[1].WID != 2 || change.Instances[1].State != "running" {
		t.Errorf("%+v, %v", change, err)
	}
	change, err = client.Stop(t.Context(), []string{"talker", "echo"}, time.Minute)
	if err != nil || len(change.Instances) != 4 {
		t.Fatalf("%+v, %v", change, err)
	}
	for _, i := range change.Instances {
		if i.State != "stopped" || i.PID != 0 || i.Error != "" {
			t.Errorf("%+v", i)
		}
	}
	if st := read[control.Status](t, h.ask("tcp", "GET /v1/status", "")); st.Satellites[0].Want != "down" || !st.Ready {
		t.Errorf("%+v", st)
	}
}

func TestATimeoutNamesWhatIsNotDone(t *testing.T) {
	h := lived(t, stage)
	got := h.ask("unix", "POST /v1/satellites/stubborn/stop?timeout=20ms", "")
	if got.status != http.StatusGatewayTimeout || got.kind() != control.KindTimeout || !strings.Contains(got.body, "stubborn:0 is stopping") ||
		!strings.Contains(got.body, "goes on") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if change := read[control.Change](t, h.ask("unix", "POST /v1/satellites/stubborn/stop", "")); change.Instances[0].State != "stopped" {
		t.Errorf("%+v", change)
	}
}

func TestLateNamesAFew(t *testing.T) {
	var results []supervisor.Result
	for wid := range 8 {
		r := supervisor.Result{Ref: topology.Ref{Name: "cpu", WID: wid}, State: supervisor.Stopping}
		if wid > 0 {
			r.Err = errWaiting
		}
		results = append(results, r)
	}
	for n, want := range map[int]string{
		0: "cannot finish in the time given: another change of the same satellite is under way; what was begun goes on",
		2: "cannot finish in the time given: cpu:1 is stopping; what was begun goes on",
		8: "cannot finish in the time given: cpu:1 is stopping, cpu:2 is stopping, cpu:3 is stopping, cpu:4 is stopping, cpu:5 is stopping and 2 more are not there yet; what was begun goes on",
	} {
		if got := late(results[:n]).Error(); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

var errWaiting = &control.Error{Kind: control.KindTimeout}

func TestDownTellsHowLongToDrain(t *testing.T) {
	h := lived(t, stage)
	if got := h.ask("unix", "POST /v1/down?timeout=90s", ""); got.status != http.StatusOK || <-h.down != 90*time.Second {
		t.Error(got)
	}
	if got := h.ask("unix", "POST /v1/down", ""); got.status != http.StatusOK || <-h.down != 0 {
		t.Error(got)
	}
}

func TestSignalsByNameAndNumber(t *testing.T) {
	for text, want := range map[string]int{"HUP": 1, "SIGHUP": 1, "hup": 1, "9": 9, "sigusr1": 10, "64": 64} {
		if got, err := signalOf(text); err != nil || int(got) != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-9", "65", "SIG", "NOPE", "SIGSIGHUP"} {
		if got, err := signalOf(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}
