package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake serves the handler on a unix socket and returns a client of it.
func fake(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	socket := filepath.Join(shortDir(t), SocketName)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return Dial(socket)
}

// shortDir is a directory whose path leaves room for a socket: that of t.TempDir holds the name of the test.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestClientAsksForThePathsOfTheTable(t *testing.T) {
	ctx := t.Context()
	minute := time.Minute
	cases := []struct {
		call func(*Client) error
		want string
		body string
	}{
		{func(c *Client) error { _, err := c.Status(ctx); return err }, "GET /v1/status", ""},
		{func(c *Client) error { _, err := c.Version(ctx); return err }, "GET /v1/version", ""},
		{func(c *Client) error { _, err := c.Start(ctx, []string{"cpu"}, 0); return err }, "POST /v1/satellites/cpu/start", ""},
		{func(c *Client) error { _, err := c.Stop(ctx, []string{"cpu:0", "n*"}, minute); return err }, "POST /v1/satellites/cpu:0,n%2A/stop?timeout=1m0s", ""},
		{func(c *Client) error { _, err := c.Restart(ctx, []string{"a/b?"}, 0); return err }, "POST /v1/satellites/a%2Fb%3F/restart", ""},
		{func(c *Client) error { _, err := c.Scale(ctx, "cpu", 4, 0); return err }, "POST /v1/satellites/cpu/scale?n=4", ""},
		{func(c *Client) error { _, err := c.Signal(ctx, []string{"cpu"}, "HUP"); return err }, "POST /v1/satellites/cpu/signal?signal=HUP", ""},
		{func(c *Client) error { return c.Down(ctx, minute) }, "POST /v1/down?timeout=1m0s", ""},
		{func(c *Client) error { _, err := c.Send(ctx, "csv", "json", []byte("x\x00"), minute); return err }, "POST /v1/send/csv?codec=json&wait=1m0s", "x\x00"},
		{func(c *Client) error { _, err := c.Send(ctx, "csv", "", nil, 0); return err }, "POST /v1/send/csv", ""},
		{func(c *Client) error {
			_, err := c.Call(ctx, CallRequest{Step: "c/v", Codec: "json", Payload: []byte("x"), Timeout: minute, Lasting: true, Session: "a.b"})
			return err
		}, "POST /v1/call/c%2Fv?codec=json&lasting=1&session=a.b&timeout=1m0s", "x"},
		{func(c *Client) error {
			_, err := c.Call(ctx, CallRequest{Step: "cv", Detach: true})
			return err
		}, "POST /v1/call/cv?detach=1", ""},
		{func(c *Client) error { _, err := c.Reply(ctx, "7.1", minute); return err }, "GET /v1/replies/7.1?wait=1m0s", ""},
		{func(c *Client) error { _, err := c.Reply(ctx, "7.1", 0); return err }, "GET /v1/replies/7.1", ""},
		{func(c *Client) error { return c.CloseReply(ctx, "7.1") }, "POST /v1/replies/7.1/close", ""},
		{func(c *Client) error { _, err := c.Task(ctx, "7"); return err }, "GET /v1/tasks/7", ""},
		{func(c *Client) error { _, err := c.CancelTask(ctx, "7"); return err }, "POST /v1/tasks/7/cancel", ""},
		{func(c *Client) error { _, err := c.QuarantineGet(ctx, "9"); return err }, "GET /v1/quarantine/9", ""},
		{func(c *Client) error { _, err := c.QuarantineRetry(ctx, "all", Aside{Step: "csv"}); return err }, "POST /v1/quarantine/all/retry?step=csv", ""},
		{func(c *Client) error { _, err := c.QuarantineDrop(ctx, "9", Aside{}); return err }, "POST /v1/quarantine/9/drop", ""},
	}
	var got, body string
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		got, body = r.Method+" "+r.RequestURI, string(content)
		io.WriteString(w, "{}")
	})
	for _, c := range cases {
		if err := c.call(client); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
		got = strings.NewReplacer("%2C", ",", "%3A", ":").Replace(got)
		if got != c.want || body != c.body {
			t.Errorf("asked %q with body %q, want %q with %q", got, body, c.want, c.body)
		}
	}
}

func TestClientLists(t *testing.T) {
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == PathQueues {
			io.WriteString(w, `[{"step":"csv","waiting":3}]`)
			return
		}
		io.WriteString(w, `[{"id":"1","step":"`+r.URL.Query().Get("step")+`"}]`)
	})
	queues, err := client.Queues(t.Context())
	if diff := cmp.Diff([]Queue{{Step: "csv", Waiting: 3}}, queues); diff != "" || err != nil {
		t.Error(err, diff)
	}
	set, err := client.Quarantine(t.Context(), Aside{Step: "csv"})
	if diff := cmp.Diff([]Quarantined{{ID: "1", Step: "csv"}}, set); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestTeePassesTheAnswerUnchanged(t *testing.T) {
	answer := `{"name":  "probe", "unknown": [1 , 2]}`
	client := fake(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	var out bytes.Buffer
	status, err := client.Tee(&out).Status(t.Context())
	if err != nil || status.Name != "probe" || out.String() != answer+"\n" {
		t.Errorf("got %v, %v, tee %q", status, err, out.String())
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	cases := []struct {
		name    string
		status  int
		body    string
		kind    Kind
		message string
		suggest []string
	}{
		{"told", 404, `{"error":{"kind":"not_found","message":"cannot find cpuu: no","suggest":["cpu"]}}`, KindNotFound, "cannot find cpuu: no", []string{"cpu"}},
		{"kind wins over status", 500, `{"error":{"kind":"conflict","message":"m"}}`, KindConflict, "m", nil},
		{"kind missing", 403, `{"error":{"message":"m"}}`, KindDenied, "m", nil},
		{"somebody else's page", 404, `<html>`, KindNotFound, "without a reason", nil},
		{"empty", 503, ``, KindUnavailable, "without a reason", nil},
		{"null", 500, `{"error":null}`, KindFailed, "without a reason", nil},
		{"good but garbled", 200, `{"name":`, KindFailed, "cannot read the answer", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client := fake(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			_, err := client.Status(t.Context())
			var failure *Error
			if !errors.As(err, &failure) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if failure.Kind != c.kind || !strings.Contains(failure.Message, c.message) || !cmp.Equal(failure.Suggest, c.suggest) {
				t.Errorf("got %+v, want %s with %q", failure, c.kind, c.message)
			}
		})
	}
}

func TestKindAndStatusAgree(t *testing.T) {
	for _, kind := range []Kind{KindInvalid, KindDenied, KindNotFound, KindConflict, KindTimeout, KindUnavailable, KindFailed} {
		if back := KindOf(kind.Status()); back != kind {
			t.Errorf("%s is told as %d, which is read as %s", kind, kind.Status(), back)
		}
	}
}

func wantKind(t *testing.T, err error, kind Kind) {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) || failure.Kind != kind {
		t.Errorf("got %v, want an error of kind %s", err, kind)
	}
}

func TestNobodyThere(t *testing.T) {
	dir := shortDir(t)
	_, err := Dial(filepath.Join(dir, "none")).Status(t.Context())
	wantKind(t, err, KindUnavailable)

	stale := filepath.Join(dir, SocketName)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	_, err = Dial(stale).Status(t.Context())
	wantKind(t, err, KindUnavailable)

	_, err = Dial("/" + strings.Repeat("x", 120)).Status(t.Context())
	wantKind(t, err, KindInvalid)
	if !strings.Contains(err.Error(), "121 bytes") {
		t.Error(err)
	}
}

// A daemon that was stopped or hangs still has connections accepted by the kernel.
func TestAHangingDaemonHangsNobody(t *testing.T) {
	socket := filepath.Join(shortDir(t), SocketName)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := Dial(socket)
	client.patience = 20 * time.Millisecond
	_, err = client.Status(t.Context())
	wantKind(t, err, KindTimeout)
	_, err = client.Restart(t.Context(), []string{"cpu"}, 0)
	wantKind(t, err, KindTimeout)
	for _, err = range client.Logs(t.Context(), LogQuery{Names: []string{"cpu"}, N: 1, Follow: true}) {
		wantKind(t, err, KindTimeout)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = client.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
}

// A change may take longer than a question as long as the daemon answers others.
func TestASlowChangeIsWaitedFor(t *testing.T) {
	asked := make(chan struct{}, 64)
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == PathVersion {
			asked <- struct{}{}
			io.WriteString(w, "{}")
			return
		}
		for range 3 { // more than the patience: it is asked twice within one
			<-asked
		}
		json.NewEncoder(w).Encode(Change{Instances: []ChangedInstance{{Name: "cpu"}}})
	})
	client.patience = 300 * time.Millisecond
	change, err := client.Restart(t.Context(), []string{"cpu"}, 0)
	if err != nil || len(change.Instances) != 1 {
		t.Errorf("got %v, %v", change, err)
	}
}
