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

func TestACallThereAndBack(t *testing.T) {
	h := lived(t, stage)
	got := read[control.Sent](t, h.ask("tcp", "POST /v1/call/echo?codec=text&timeout=20s", "hello"))
	if diff := cmp.Diff(control.Sent{Task: got.Task, State: "done", Results: []control.Body{{Codec: "text", Text: "hello"}}}, got); diff != "" {
		t.Error(diff)
	}
	var parts []string
	end, err := control.Dial(h.socket()).CallStream(t.Context(), control.CallRequest{Step: "echo", Payload: []byte("hi")},
		func(b *control.Body) error { parts = append(parts, b.Text); return nil })
	if err != nil || end.State != "done" || len(parts) != 1 || parts[0] != "hi" || len(end.Results) > 0 {
		t.Errorf("%+v, %q, %v", end, parts, err)
	}
	got = read[control.Sent](t, h.ask("tcp", "POST /v1/call/nobody?timeout=20ms", "x"))
	if got.State != "expired" || got.Task == "" {
		t.Errorf("%+v", got)
	}
	if task := read[control.Task](t, h.ask("tcp", "GET /v1/tasks/"+got.Task, "")); task.State != "failed" || len(task.Hops) != 1 || task.Hops[0].State != "expired" {
		t.Errorf("%+v", task)
	}
	for _, path := range []string{"/v1/call/echoo", "/v1/call/echoo?stream"} {
		if r := h.ask("tcp", "POST "+path, "x"); r.status != http.StatusNotFound || r.kind() != control.KindNotFound || !strings.Contains(r.body, `"suggest":["echo"`) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if r := h.ask("tcp", "POST /v1/call/echo?timeout=soon", "x"); r.kind() != control.KindInvalid {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Who hangs up is forgotten, and what it wanted is not done.
func TestACallerThatHangsUpIsForgotten(t *testing.T) {
	h := lived(t, stage)
	for _, stream := range []string{"", "&stream"} {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := control.Dial(h.socket()).Call(ctx, control.CallRequest{Step: "nobody", Payload: []byte(stream), Timeout: time.Hour})
			gone <- err
		}()
		waits := func(n int) bool {
			for _, q := range read[[]control.Queue](t, h.ask("unix", "GET /v1/queues", "")) {
				if q.Step == "nobody" {
					return q.Waiting == n
				}
			}
			return false
		}
		for !waits(1) {
			if t.Context().Err() != nil {
				t.Fatal("it never waited")
			}
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for !waits(0) {
			if t.Context().Err() != nil {
				t.Fatal("it waits still")
			}
		}
	}
}

func TestADetachedCallIsFetchedAndClosed(t *testing.T) {
	h := lived(t, stage)
	client := control.Dial(h.socket())
	sent, err := client.Call(t.Context(), control.CallRequest{Step: "echo", Codec: "text", Payload: []byte("hi"), Detach: true})
	if err != nil || sent.State != "accepted" {
		t.Fatalf("%+v, %v", sent, err)
	}
	for range 2 {
		got := read[control.Sent](t, h.ask("tcp", "GET /v1/replies/"+sent.Task+"?wait=20s", ""))
		if diff := cmp.Diff(control.Sent{Task: sent.Task, State: "done", Results: []control.Body{{Codec: "text", Text: "hi"}}}, got); diff != "" {
			t.Error(diff)
		}
	}
	for range 2 {
		if err := client.CloseReply(t.Context(), sent.Task); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.Reply(t.Context(), sent.Task, 0); errorKind(err) != control.KindNotFound {
		t.Error(err)
	}
	sent, err = client.Call(t.Context(), control.CallRequest{Step: "nobody", Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.Reply(t.Context(), sent.Task, 20*time.Millisecond); err != nil || got.State != "running" {
		t.Errorf("%+v, %v", got, err)
	}
}
