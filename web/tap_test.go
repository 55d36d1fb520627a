package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/web/control"
)

// A viewer through the API sees messages of a link with their payload as JSON, cut where it is wanted; another one counts.
func TestTapThroughTheAPI(t *testing.T) {
	h := lived(t, `
dsat = 1
name = "tapped"

[satellite.tick]
command = ["sh", "-c", "while sleep 0.02; do echo tick; done"]
speaks  = "lines"
mode    = "source"
to      = "echo"

[satellite.echo]
command = "cat"
speaks  = "lines"
`)
	client := control.Dial(h.socket())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for m, err := range client.Tap(ctx, control.TapQuery{From: "tick", To: "echo"}) {
		if err != nil || m.From != "tick" || m.Instance != "echo:0" || string(m.Payload) != `"tick"` || m.Cut != "" {
			t.Errorf("%+v, %v", m, err)
		}
		break
	}
	for m, err := range client.Tap(ctx, control.TapQuery{To: "echo", Cut: 3}) {
		if err != nil || m.Cut != `"ti` || m.Payload != nil {
			t.Errorf("%+v, %v", m, err)
		}
		break
	}
	for rates, err := range client.TapCounts(ctx, control.TapQuery{To: "echo"}) {
		if err != nil || len(rates) == 1 && (rates[0].From != "tick" || rates[0].Messages == 0 || rates[0].Rate <= 0) {
			t.Errorf("%+v, %v", rates, err)
		}
		break
	}
	for path, want := range map[string]string{
		"/v1/tap?to=ecko": "no such satellite", "/v1/tap?to=echo&rate=0": "cannot read rate", "/v1/tap?to=echo&sample=x": "cannot read sample", "/v1/tap?to=echo&cut=-1": "cannot read cut",
	} {
		if got := h.ask("unix", "GET "+path, ""); got.status < 400 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}
