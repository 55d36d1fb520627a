package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/web/control"
)

// Whatever is asked, and by whom: nothing panics, every error is JSON of a known kind with the status of that kind, and who may only read
// changes nothing. The rooms stand still, so that what would change something is refused in time.
func FuzzRequests(f *testing.F) {
	for _, r := range []struct{ method, target, body string }{
		{"GET", "/", ""}, {"GET", "/readyz?verbose", ""}, {"GET", "/v1/satellites/echo,talker:0/why", ""}, {"POST", "/v1/satellites/*/restart?timeout=1ns", ""},
		{"POST", "/v1/satellites/echo/scale?n=-1", ""}, {"POST", "/v1/satellites/echo/signal?signal=KILL", ""}, {"POST", "/v1/send/echo?wait=1ms", "{}"},
		{"GET", "/v1/logs/echo?n=5&since=10m&grep=(", ""}, {"POST", "/v1/quarantine/7.1/drop", ""}, {"GET", "/v1/tasks/%00", ""}, {"PUT", "/v1/down", ""},
		{"POST", "/v1/down?timeout=x", ""}, {"GET", "/v1/satellites/../../etc/passwd/why", ""}, {"POST", "/v1/satellites/%2a/stop", "x"},
	} {
		f.Add(r.method, r.target, r.body, true)
		f.Add(r.method, r.target, r.body, false)
	}
	var h *house
	f.Fuzz(func(t *testing.T, method, target, body string, operator bool) {
		if h == nil {
			h = built(t, stage)
			h.cfg.Down = func(time.Duration) {}
		}
		u, err := url.ParseRequestURI(target)
		if err != nil || target == "*" || strings.ContainsAny(method, " \t\r\n") || method == "" {
			return
		}
		level := accessSend
		if operator {
			level = accessOperate
		}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), doorKey{}, level), 30*time.Millisecond)
		defer cancel()
		req := (&http.Request{
			Method: method, URL: u, Host: "localhost", Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Body: http.NoBody, RequestURI: target,
		}).WithContext(ctx)
		if body != "" {
			req.Body, req.ContentLength = httptest.NewRequest("POST", "/", strings.NewReader(body)).Body, int64(len(body))
		}
		w := httptest.NewRecorder()
		h.mux().ServeHTTP(w, req)
		if w.Code < 400 {
			return
		}
		if strings.HasPrefix(u.Path, "/livez") || strings.HasPrefix(u.Path, "/readyz") || w.Header().Get("Location") != "" {
			return // these answer in plain words
		}
		var e control.ErrorAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error == nil || e.Error.Kind == "" || e.Error.Message == "" {
			t.Fatalf("%s %q: %d %q is no error answer", method, target, w.Code, w.Body)
		}
	})
}
