package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/web/control"
)

func TestAMessageThereAndBack(t *testing.T) {
	h := lived(t, stage)
	got := read[control.Sent](t, h.ask("tcp", "POST /v1/send/echo?wait=30s&codec=text", "hello <world>"))
	want := control.Sent{Task: got.Task, State: "done", Results: []control.Body{{Codec: "text", Text: "hello <world>"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	task := read[control.Task](t, h.ask("tcp", "GET /v1/tasks/"+got.Task, ""))
	if task.State != "done" || task.Open != 0 || len(task.Hops) != 1 || task.Hops[0].Step != "echo" || task.Hops[0].State != "done" {
		t.Errorf("%+v", task)
	}
	got = read[control.Sent](t, h.ask("tcp", "POST /v1/send/echo?wait=30s", "\xff\xfe"))
	if len(got.Results) != 1 || string(got.Results[0].Base64) != "\xff\xfe" || got.Results[0].Text != "" {
		t.Errorf("%+v", got)
	}
	got = read[control.Sent](t, h.ask("tcp", "POST /v1/send/echo", "x"))
	if got.State != "accepted" || got.Task == "" {
		t.Errorf("%+v", got)
	}
}

// A wait that is over is no error: the task goes on, and its id says where.
func TestAWaitThatIsOverTellsTheTask(t *testing.T) {
	h := lived(t, stage)
	got := read[control.Sent](t, h.ask("unix", "POST /v1/send/nobody?wait=20ms", "x"))
	if got.State != "running" || got.Task == "" {
		t.Fatalf("%+v", got)
	}
	if task := read[control.Task](t, h.ask("unix", "GET /v1/tasks/"+got.Task, "")); task.State != "running" || task.Open != 1 {
		t.Errorf("%+v", task)
	}
	sent, err := control.Dial(h.socket()).Send(t.Context(), "nobody", "", []byte("y"), 20*time.Millisecond)
	if err != nil || sent.State != "running" {
		t.Errorf("%+v, %v", sent, err)
	}
	for _, q := range read[[]control.Queue](t, h.ask("tcp", "GET /v1/queues", "")) {
		if want := map[string]int{"nobody": 2}[q.Step]; q.Waiting != want || !q.Ledger.Balanced {
			t.Errorf("%+v", q)
		}
	}
	st := read[control.Status](t, h.ask("tcp", "GET /v1/status", ""))
	if st.Ledger == nil || st.Ledger.Held != 2 || !st.Ledger.Balanced || !st.Ready || st.State != "running" || st.Epoch != 7 || st.HTTP != h.HTTP() {
		t.Errorf("%+v", st)
	}
}

func TestAPayloadHasALimit(t *testing.T) {
	h := lived(t, stage)
	got := h.ask("tcp", "POST /v1/send/nobody", strings.Repeat("x", maxPayload+1))
	if got.status != http.StatusBadRequest || got.kind() != control.KindInvalid || !strings.Contains(got.body, "16777216 bytes") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func errorKind(err error) control.Kind {
	var failure *control.Error
	if errors.As(err, &failure) {
		return failure.Kind
	}
	return ""
}

// poison is a step that fails every message, at once and for good.
const poison = `
dsat = 1
name = "poison"

[satellite.deadly]
command = ["sh", "-c", "read x; exit 3"]
speaks  = "lines"
work    = { retries = 0, then = "quarantine" }
`

func TestQuarantineThroughTheAPI(t *testing.T) {
	h := lived(t, poison)
	client := control.Dial(h.socket())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sent, err := client.Send(ctx, "deadly", "text", []byte("poison"), time.Minute)
	if err != nil || sent.State != "failed" || sent.Reason == "" {
		t.Fatalf("%+v, %v", sent, err)
	}
	list, err := client.Quarantine(ctx, control.Aside{Step: "deadly"})
	if err != nil || len(list) != 1 || list[0].Payload != nil || list[0].Size != 6 {
		t.Fatalf("%+v, %v", list, err)
	}
	one, err := client.QuarantineGet(ctx, list[0].ID)
	if err != nil || one.Payload == nil || one.Payload.Text != "poison" {
		t.Errorf("%+v, %v", one, err)
	}
	if edited, err := client.QuarantineEdit(ctx, one.ID, "", []byte("worse")); err != nil || edited.Payload.Text != "worse" || string(edited.Payload.JSON) != `"worse"` {
		t.Errorf("%+v, %v", edited, err)
	}
	exported := 0
	for m, err := range client.QuarantineExport(ctx, control.Aside{Reason: "exit code 3"}) {
		if exported++; err != nil || m.ID != one.ID || m.Payload.Text != "worse" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if exported != 1 {
		t.Errorf("%d messages were exported", exported)
	}
	if others, err := client.Quarantine(ctx, control.Aside{Reason: "^no such"}); err != nil || len(others) != 0 {
		t.Errorf("%+v, %v", others, err)
	}
	if _, err := client.Quarantine(ctx, control.Aside{Reason: "("}); errorKind(err) != control.KindInvalid {
		t.Error(err)
	}
	if changed, err := client.QuarantineRetry(ctx, "all", control.Aside{Step: "deadly"}); err != nil || len(changed.IDs) != 1 || changed.IDs[0] != one.ID {
		t.Error(changed, err)
	}
	if _, err := client.QuarantineDrop(ctx, list[0].ID, control.Aside{}); errorKind(err) != control.KindNotFound {
		t.Error(err)
	}
	if _, err := client.QuarantineDrop(ctx, "all", control.Aside{}); err != nil {
		t.Error(err)
	}
}

func TestATaskIsCancelled(t *testing.T) {
	h := lived(t, stage)
	got := read[control.Sent](t, h.ask("unix", "POST /v1/send/nobody", "x"))
	if task, err := control.Dial(h.socket()).CancelTask(t.Context(), got.Task); err != nil || task.State != "failed" || task.Open != 0 || task.Hops[0].State != "cancelled" {
		t.Errorf("%+v, %v", task, err)
	}
	if _, err := control.Dial(h.socket()).CancelTask(t.Context(), got.Task); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("cancelled twice: %v", err)
	}
}
