package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is the topology of these tests: a filter that works, a step nobody works for, a talker and one that will not end.
const stage = `
dsat = 1
name = "stage"

[satellite.echo]
command = "cat"
speaks  = "lines"

[satellite.nobody]
command   = "sleep 1000"
speaks    = "bus"
autostart = false

[satellite.talker]
command = ["sh", "-c", "echo one; echo two; echo three; exec sleep 1000"]
ready   = { log = "three" }

[satellite.stubborn]
command = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]
ready   = { log = "deaf" }
stop    = { deadline = "1s" }
`

// house is a daemon without its process: real rooms and real doors.
type house struct {
	*Server
	t    *testing.T
	down chan time.Duration
	told atomic.Bool // events of processes reach the hub; not by default, so that tests of the hub are alone with it
}

// built is a house whose rooms exist and do not run: loops that are stuck look the same from outside.
func built(t *testing.T, text string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "web") // short: sockets are made in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "stage.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	topo, err := topology.Load([]string{file}, topology.Options{})
	if err != nil {
		t.Fatal(err)
	}
	topo.Daemon.HTTP = "127.0.0.1:0"
	h := &house{t: t, down: make(chan time.Duration, 1)}
	log := slog.New(slog.DiscardHandler)
	carrier, err := bus.New(bus.Config{
		Topology: topo, RunDir: dir, Epoch: 7, Log: log, Event: func(bus.Event) {},
		Hello: func(ref topology.Ref, inc topology.Incarnation) { h.cfg.Supervisor.Hello(ref, inc) },
		Fault: func(ref topology.Ref, inc topology.Incarnation, why string) { h.cfg.Supervisor.Fault(ref, inc, why) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(carrier.Close)
	hub := NewHub(7)
	keeper, err := supervisor.New(supervisor.Config{Topology: topo, RunDir: dir, Epoch: 7, Log: log, Bus: carrier, Event: func(supervisor.Event) {
		if h.told.Load() {
			hub.Publish(control.Event{Kind: "state"})
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keeper.Close)
	h.Server, err = Open(Config{
		Topology: topo, RunDir: dir, Epoch: 7, Version: control.Version{Version: "v1", Go: "go1", ZeroMQ: "4"}, Log: log,
		Hub: hub, Supervisor: keeper, Bus: carrier, Down: func(d time.Duration) { h.down <- d }, Change: still{},
		Doctor:  func(context.Context) []control.Finding { return nil },
		Upgrade: func(context.Context, string) error { return errors.New("there is no other dsatd here") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// lived is a house in which everything runs.
func lived(t *testing.T, text string) *house {
	t.Helper()
	h := built(t, text)
	ended := make(chan error, 2)
	go func() { ended <- h.cfg.Bus.Serve(context.Background()) }()
	go func() { ended <- h.cfg.Supervisor.Run(context.Background()) }()
	t.Cleanup(func() {
		h.cfg.Supervisor.Close()
		h.cfg.Bus.Close()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	h.Serve()
	if err := errors.Join(h.cfg.Bus.Alive(t.Context()), h.cfg.Supervisor.Alive(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := h.cfg.Supervisor.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.SetState("running")
	return h
}

func (h *house) socket() string { return filepath.Join(h.cfg.RunDir, control.SocketName) }

// client speaks to one door, "unix" or "tcp", on a connection of its own for each request.
func (h *house) client(door string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			if door == "unix" {
				return d.DialContext(ctx, "unix", h.socket())
			}
			return d.DialContext(ctx, "tcp", h.HTTP())
		},
	}}
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends "METHOD /path" through a door; of headers, Host is the request's.
func (h *house) ask(door, what, body string, headers ...string) reply {
	h.t.Helper()
	res := h.open(door, what, body, headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

func (h *house) open(door, what, body string, headers ...string) *http.Response {
	h.t.Helper()
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://localhost"+path, bytes.NewBufferString(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := h.client(door).Do(req)
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	return res
}

// openAt asks without a body and leaves the answer open until ctx ends.
func (h *house) openAt(ctx context.Context, door, what string) *http.Response {
	h.t.Helper()
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := h.client(door).Do(req)
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	return res
}

func (h *house) refs(pattern string) []topology.Ref {
	h.t.Helper()
	refs, err := h.cfg.Supervisor.Select(pattern)
	if err != nil {
		h.t.Fatal(err)
	}
	return refs
}

// kind is the kind of an error answer, "" of any other.
func (r reply) kind() control.Kind {
	var e control.ErrorAnswer
	if json.Unmarshal([]byte(r.body), &e) != nil || e.Error == nil {
		return ""
	}
	return e.Error.Kind
}

func read[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	if r.status != http.StatusOK {
		t.Fatalf("%d: %s", r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return v
}
