package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/web/control"
)

// noon is when all tests take place.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// result is what one run of dsatctl left.
type result struct {
	code int
	out  string
	errs string
}

// dsatctl runs the tool, without its process.
func dsatctl(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return dsatctlAt(t.Context(), ends{in: strings.NewReader(stdin)}, args...)
}

func dsatctlAt(ctx context.Context, e ends, args ...string) result {
	var out, errs bytes.Buffer
	e.errs, e.now = &errs, func() time.Time { return noon }
	if e.out == nil {
		e.out = &out
	}
	code := run(ctx, e, args)
	return result{code: code, out: out.String(), errs: errs.String()}
}

// serve puts the handler where the search finds it as the only daemon, named probe, and returns its run directory.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	home := shortDir(t)
	t.Setenv("XDG_RUNTIME_DIR", home)
	dir := filepath.Join(home, "dsat", "probe")
	t.Setenv(control.EnvRunDir, dir) // daemons of the machine that runs the tests are none of ours
	if err := control.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return dir
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{control.EnvRunDir, "RUNTIME_DIRECTORY", "NO_COLOR", "CLICOLOR_FORCE"} {
		t.Setenv(name, "")
	}
	return dir
}

func answer(w http.ResponseWriter, value any) {
	if failure, ok := value.(*control.Error); ok {
		w.WriteHeader(failure.Kind.Status())
		value = control.ErrorAnswer{Error: failure}
	}
	if text, ok := value.(string); ok {
		io.WriteString(w, text)
		return
	}
	json.NewEncoder(w).Encode(value)
}

// always answers everything with one value.
func always(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, value) }
}

// table answers "METHOD path?query" with its value, all else with an error that tells what was asked.
func answers(values map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method + " " + r.URL.Path
		if r.URL.RawQuery != "" {
			asked += "?" + r.URL.RawQuery
		}
		value, ok := values[asked]
		if !ok {
			value = &control.Error{Kind: control.KindFailed, Message: fmt.Sprintf("the test has no answer to %q", asked)}
		}
		answer(w, value)
	}
}

// probe is a status with everything in it.
func probe() *control.Status {
	one := func(state string, pid int, since time.Duration) control.Instance {
		return control.Instance{State: state, PID: pid, Since: ago(since), Incarnation: 1<<32 + uint64(pid)}
	}
	cpu0, cpu1 := one("running", 4244, 192*time.Second), one("backoff", 0, 2*time.Second)
	cpu1.WID, cpu1.Restarts, cpu1.Why = 1, 3, "exit code 3; next start in 4s"
	off := one("stopped", 0, 26*time.Hour)
	return &control.Status{
		Name: "probe", PID: 4242, Since: ago(26 * time.Hour), State: "running", HTTP: "127.0.0.1:9555",
		Satellites: []control.Satellite{
			{Name: "clock", Want: "up", State: "running", Speaks: "bus", Instances: []control.Instance{one("running", 4243, 192*time.Second)}},
			{Name: "cpu", Want: "up", State: "backoff", Speaks: "bus", Why: "1 of 2 instances is not running",
				Instances: []control.Instance{cpu0, cpu1}, Queue: &control.Queue{Step: "cpu", Waiting: 1200, Held: 34, InFlight: 32}},
			{Name: "web", Want: "down", State: "stopped", Speaks: "none", Instances: []control.Instance{off}},
			{Name: "odd\x1b[2J", Want: "up", State: "fatal", Why: "cannot start:\tno \x07file"},
		},
		Ledger: &control.Ledger{Admitted: 1234567, Done: 1233301, Held: 1234, InFlight: 32, Balanced: true},
	}
}
