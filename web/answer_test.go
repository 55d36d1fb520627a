package web

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/dsat/dsat/web/control"
)

func TestErrorsAreJSONWithAKind(t *testing.T) {
	h := lived(t, stage)
	for _, c := range []struct {
		what   string
		status int
		kind   control.Kind
		text   string
	}{
		{"GET /nowhere", 404, control.KindNotFound, "/nowhere"},
		{"GET /v1", 404, control.KindNotFound, "docs/api.md"},
		{"PUT /v1/status", 405, control.KindInvalid, "wants GET"},
		{"POST /v1/status", 405, control.KindInvalid, "wants GET"},
		{"DELETE /", 405, control.KindInvalid, "wants GET"},
		{"GET /v1/down", 405, control.KindInvalid, "wants POST"},
		{"GET /v1/satellites/echo/stop", 405, control.KindInvalid, "wants POST"},
		{"OPTIONS /metrics", 405, control.KindInvalid, "wants GET"},
		{"POST /v1/satellites/echo/polish", 404, control.KindNotFound, "polish"},
		{"POST /v1/satellites/echoo/stop", 404, control.KindNotFound, `"suggest":["echo"]`},
		{"POST /v1/satellites/echo/stop?timeout=soon", 400, control.KindInvalid, "soon"},
		{"POST /v1/satellites/echo/stop?timeout=-1s", 400, control.KindInvalid, "30s"},
		{"POST /v1/satellites/echo/scale?n=many", 400, control.KindInvalid, "many"},
		{"POST /v1/satellites/echo/scale?n=10001", 400, control.KindInvalid, "10000"},
		{"POST /v1/satellites/echo/scale?n=-1", 400, control.KindInvalid, "-1"},
		{"POST /v1/satellites/ghost/scale?n=1", 404, control.KindNotFound, "ghost"},
		{"POST /v1/satellites/echo/signal?signal=LOUD", 400, control.KindInvalid, "LOUD"},
		{"POST /v1/satellites/echo/signal?signal=65", 400, control.KindInvalid, "64"},
		{"POST /v1/satellites/echo/signal", 400, control.KindInvalid, "HUP"},
		{"POST /v1/down?timeout=0", 400, control.KindInvalid, "timeout"},
		{"GET /v1/logs/ghost", 404, control.KindNotFound, "ghost"},
		{"GET /v1/logs/echo?n=-3", 400, control.KindInvalid, "-3"},
		{"GET /events?since=yesterday", 400, control.KindInvalid, "yesterday"},
		{"POST /v1/send/ghost", 404, control.KindNotFound, "ghost"},
		{"POST /v1/send/talker", 400, control.KindInvalid, "does not speak"},
		{"POST /v1/send/echo?codec=yaml", 400, control.KindInvalid, "yaml"},
		{"POST /v1/send/echo?wait=ever", 400, control.KindInvalid, "ever"},
		{"GET /v1/tasks/what", 400, control.KindInvalid, "what"},
		{"GET /v1/tasks/7.999", 404, control.KindNotFound, "7.999"},
		{"GET /v1/quarantine?step=ghost", 404, control.KindNotFound, "ghost"},
		{"GET /v1/quarantine/x", 400, control.KindInvalid, `"x"`},
		{"GET /v1/quarantine/5", 404, control.KindNotFound, "5"},
		{"POST /v1/quarantine/5/retry", 404, control.KindNotFound, "5"},
		{"POST /v1/quarantine/5/burn", 404, control.KindNotFound, "burn"},
		{"POST /v1/quarantine/all/drop?step=ghost", 404, control.KindNotFound, "ghost"},
	} {
		got := h.ask("unix", c.what, "")
		if got.status != c.status || got.kind() != c.kind || !strings.Contains(strings.ReplaceAll(got.body, `\"`, `"`), c.text) {
			t.Errorf("%s: %d %s, want %d %s with %q", c.what, got.status, got.body, c.status, c.kind, c.text)
		}
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
			t.Errorf("%s: %v", c.what, got.header)
		}
		if got.status == http.StatusMethodNotAllowed && !strings.Contains(c.text, got.header.Get("Allow")) {
			t.Errorf("%s allows %q", c.what, got.header.Get("Allow"))
		}
	}
}

func TestFlagsOfAQuery(t *testing.T) {
	for query, want := range map[string]bool{"": false, "?v": true, "?v=": true, "?v=1": true, "?v=true": true, "?v=0": false, "?v=false": false, "?w": false} {
		r, err := http.NewRequest(http.MethodGet, "/"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := isSet(r, "v"); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}
