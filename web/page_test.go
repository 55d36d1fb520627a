package web

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/web/control"
)

func TestThePageIsDrawnAndKeepsToItsPolicy(t *testing.T) {
	h := lived(t, stage)
	wid := 0
	h.hub.Publish(control.Event{Kind: "state", Satellite: "echo", WID: &wid, To: "backoff", Cause: `said "<script>alert(1)</script>"`})
	if _, err := h.cfg.Supervisor.Scale(t.Context(), "talker", 2); err != nil {
		t.Fatal(err)
	}
	got := h.ask("tcp", "GET /", "")
	policy := got.header.Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`'nonce-([A-Z0-9]{26})'`).FindStringSubmatch(policy)
	if got.status != 200 || nonce == nil || !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "script-src 'unsafe") {
		t.Fatalf("%d, %s", got.status, policy)
	}
	for _, want := range []string{
		"<title>stage - dsat</title>", "running, ready", `<tr id="echo">`, `<tr id="talker:1" class="part">`, ">balanced<", `<td class="backoff">backoff`,
		"echo:0", "&lt;script&gt;", `<script nonce="` + nonce[1] + `">`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if n := strings.Count(got.body, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	for _, far := range []string{"http://", "https://", "//cdn", " src=", " style=", " onclick"} {
		if strings.Contains(got.body, far) {
			t.Errorf("the page has %q", far)
		}
	}
	if again := h.ask("tcp", "GET /", ""); strings.Contains(again.body, nonce[1]) {
		t.Error("a nonce came twice")
	}
}

func TestThePageTellsWhyNotReady(t *testing.T) {
	h := lived(t, quiet)
	h.SetState("stopping")
	if got := h.ask("tcp", "GET /", ""); !strings.Contains(got.body, "stopping, not ready") || !strings.Contains(got.body, "dsatd is stopping") {
		t.Error(got.body)
	}
	ready := h.ask("tcp", "GET /readyz?verbose", "")
	if ready.status != 503 || ready.body != `{"ready":false,"why":["dsatd is stopping"]}`+"\n" {
		t.Errorf("%d %s", ready.status, ready.body)
	}
	h.SetState("running")
	for what, want := range map[string]string{"GET /readyz": "ready\n", "GET /readyz?verbose": `{"ready":true}` + "\n", "GET /livez": "ok\n"} {
		if got := h.ask("tcp", what, ""); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %q", what, got.status, got.body)
		}
	}
}

func TestAgesAndClocks(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m", 61 * time.Second: "1m1s", 10 * time.Minute: "10m",
		time.Hour: "1h0m", 100 * time.Minute: "1h40m", 25 * time.Hour: "1d1h", 240 * time.Hour: "10d0h",
	} {
		if got := ageOf(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	now := time.Date(2026, 3, 4, 12, 0, 0, 5e6, time.Local)
	if got := clockOf(now, now); got != "12:00:00.005" {
		t.Error(got)
	}
	if got := clockOf(now.AddDate(0, 0, -1), now); got != "2026-03-03 12:00:00" {
		t.Error(got)
	}
	if got := shorten([]string{"a", "b", "c"}, 2); strings.Join(got, "|") != "a|b|and 1 more: see readiness" {
		t.Error(got)
	}
}
