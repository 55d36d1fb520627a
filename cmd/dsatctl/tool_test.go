package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dsat/dsat/web/control"
)

func TestChooseDaemon(t *testing.T) {
	one := control.Found{Name: "a", RunDir: "/r/a", Socket: "/r/a/s", PID: 7, Alive: true}
	two := control.Found{Name: "b", RunDir: "/r/b", Socket: "/r/b/s", Alive: true}
	dead := control.Found{Name: "c", RunDir: "/r/c", Socket: "/r/c/s"}
	other := control.Found{Name: "d", RunDir: "/r/d", Socket: "/r/d/s", Denied: true}
	cases := []struct {
		found  []control.Found
		socket string
		code   int
		says   string
	}{
		{nil, "", exitUnavailable, "dsatd start FILE"},
		{[]control.Found{dead}, "", exitUnavailable, "/r/c was left behind"},
		{[]control.Found{dead, other}, "", exitDenied, "/r/d/s"},
		{[]control.Found{dead, one, other}, "/r/a/s", exitOK, ""},
		{[]control.Found{one, two}, "", exitUsage, "  --run-dir /r/a  (a, pid 7)\n  --run-dir /r/b"},
	}
	for _, c := range cases {
		socket, err := chooseDaemon(c.found)
		if socket != c.socket || exitCode(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: got %q, exit %d, %v", c.found, socket, exitCode(err), err)
		}
	}
}

func TestWhichDaemon(t *testing.T) {
	dir := serve(t, always(probe()))
	socket := filepath.Join(dir, control.SocketName)
	cases := []struct {
		args []string
		env  string
		code int
	}{
		{[]string{"status"}, dir, exitOK},
		{[]string{"--run-dir", dir}, "/nowhere", exitOK},
		{[]string{"--socket", socket}, "/nowhere", exitOK},
		{[]string{"--socket", socket, "--run-dir", dir}, dir, exitUsage},
		{[]string{"--run-dir", "/nowhere"}, dir, exitUnavailable},
		{[]string{"status"}, "/nowhere", exitUnavailable},
		{[]string{"--socket", "/" + strings.Repeat("x", 200)}, dir, exitUsage},
	}
	for _, c := range cases {
		t.Setenv(control.EnvRunDir, c.env)
		if got := dsatctl(t, "", c.args...); got.code != c.code {
			t.Errorf("%q with %s: %+v", c.args, c.env, got)
		}
	}
}

func TestJSONIsPassedUnchanged(t *testing.T) {
	body := `{"name": "probe",   "satellites":[{"name":"cpu"}], "new":1}`
	serve(t, always(body))
	for _, args := range []string{"--json", "status --json", "restart cpu --json", "task 1 --json", "quarantine show 1 --json", "send a b --json"} {
		if got := dsatctl(t, "", strings.Fields(args)...); got.out != body+"\n" || got.code != 0 {
			t.Errorf("%s: %+v", args, got)
		}
	}
	got := dsatctl(t, "", "status", "cpu", "--json")
	var status control.Status
	if err := json.Unmarshal([]byte(got.out), &status); err != nil || len(status.Satellites) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestJSONStreams(t *testing.T) {
	serve(t, answers(map[string]any{
		"GET /events?follow=0":   "id: 1-1\ndata: {\"seq\":  1}\n\nid: 1-2\ndata: {\"seq\":2}\n\n",
		"GET /v1/logs/cpu?n=100": `{"text":  "a"}` + "\n",
	}))
	if got := dsatctl(t, "", "events", "--json"); got.out != "{\"seq\":  1}\n{\"seq\":2}\n" {
		t.Errorf("%+v", got)
	}
	if got := dsatctl(t, "", "logs", "cpu", "--json"); got.out != `{"text":  "a"}`+"\n" {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAsJSON(t *testing.T) {
	failure := &control.Error{Kind: control.KindNotFound, Message: "cannot find it", Suggest: []string{"cpu"}}
	serve(t, always(failure))
	for args, want := range map[string]control.Kind{"stop x --json": control.KindNotFound, "stop --json": control.KindInvalid} {
		got := dsatctl(t, "", strings.Fields(args)...)
		var envelope control.ErrorAnswer
		if err := json.Unmarshal([]byte(got.errs), &envelope); err != nil || envelope.Error.Kind != want || got.out != "" {
			t.Errorf("%s: %+v, %v", args, got, err)
		}
	}
}

func TestColours(t *testing.T) {
	serve(t, always(probe()))
	cases := []struct {
		name     string
		terminal bool
		env      map[string]string
		args     []string
		want     bool
	}{
		{"terminal", true, nil, nil, true},
		{"pipe", false, nil, nil, false},
		{"flag", true, nil, []string{"--no-color"}, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, nil, false},
		{"forced", false, map[string]string{"CLICOLOR_FORCE": "1"}, nil, true},
		{"both", false, map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, nil, false},
		{"dumb", true, map[string]string{"TERM": "dumb"}, nil, false},
	}
	plainText := dsatctl(t, "").out
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TERM", "xterm")
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			got := dsatctlAt(t.Context(), ends{terminal: c.terminal}, c.args...)
			if strings.Contains(got.out, "\x1b[") != c.want {
				t.Errorf("%q", got.out)
			}
			bare := strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "").Replace(got.out)
			if bare != plainText {
				t.Errorf("colours move the columns:\n%s\nwant\n%s", bare, plainText)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestOutputThatCannotBeWritten(t *testing.T) {
	serve(t, always(probe()))
	for _, args := range [][]string{nil, {"--json"}, {"completion", "bash"}} {
		if got := dsatctlAt(t.Context(), ends{out: broken{syscall.EPIPE}}, args...); got.code != 0 || got.errs != "" {
			t.Errorf("%q: a closed pipe is not quiet: %+v", args, got)
		}
		if got := dsatctlAt(t.Context(), ends{out: broken{errors.New("disk full")}}, args...); got.code != 1 || !strings.Contains(got.errs, "disk full") {
			t.Errorf("%q: a full disk is not told: %+v", args, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "id: 1-1\ndata: {\"seq\":1}\n\n")
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	if got := dsatctlAt(ctx, ends{}, "events", "-f"); got.code != exitOK || got.errs != "" {
		t.Errorf("-f: %+v", got)
	}
	if got := dsatctlAt(ctx, ends{}, "restart", "cpu"); got.code != exitInterrupted {
		t.Errorf("restart: %+v", got)
	}
}

func TestPayloads(t *testing.T) {
	var got string
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		answer(w, control.Sent{Task: "1", State: "accepted"})
	})
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte("from file\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{"plain": "plain", "@" + file: "from file\x00", "-": "from stdin\n", "": ""} {
		if r := dsatctl(t, "from stdin\n", "send", "csv", arg); r.code != 0 || got != want {
			t.Errorf("%q: sent %q, want %q: %+v", arg, got, want, r)
		}
	}
	if r := dsatctl(t, "", "send", "csv", "@"+file+"x"); r.code != exitFailed || !strings.Contains(r.errs, "no such file") {
		t.Errorf("%+v", r)
	}
}

func TestCompletion(t *testing.T) {
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == control.PathStatus {
			answer(w, probe())
			return
		}
		answer(w, []control.Quarantined{{ID: "17", Reason: "why"}})
	})
	cases := map[string][]string{
		"restart c":            {"clock", "cpu", "cpu:0", "cpu:1"},
		"restart cpu cpu":      {"cpu:0", "cpu:1"},
		"signal HUP we":        {"web"},
		"send ":                {"cpu"},
		"quarantine retry 1":   {"17\twhy"},
		"completion ":          {"bash", "zsh", "fish"},
		"logs --socket /no c":  nil,
		"status -v --json clo": {"clock"},
	}
	for line, want := range cases {
		words := strings.Split(line, " ")
		out := dsatctl(t, "", append([]string{"__complete"}, words...)...).out
		got := slices.DeleteFunc(strings.Split(out, "\n"), func(s string) bool { return s == "" || strings.HasPrefix(s, ":") })
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := dsatctl(t, "", "completion", shell); got.code != 0 || !strings.Contains(got.out, "dsatctl") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
	if got := dsatctl(t, "", "completion", "cmd.exe"); got.code != exitUsage {
		t.Errorf("%+v", got)
	}
}

func TestVersion(t *testing.T) {
	serve(t, always(control.Version{Version: "v9", Go: "go1", ZeroMQ: "4.3"}))
	if got := dsatctl(t, "", "version"); got.code != 0 || !strings.Contains(got.out, "dsatd   v9 (go1, ZeroMQ 4.3)") {
		t.Errorf("%+v", got)
	}
	t.Setenv(control.EnvRunDir, "/nowhere")
	got := dsatctl(t, "", "--version", "--json")
	var v versions
	if err := json.Unmarshal([]byte(got.out), &v); err != nil || v.Dsatd != nil || v.Dsatctl.Go == "" || got.code != 0 {
		t.Errorf("without a daemon: %+v, %v", got, err)
	}
}

// daemonEnv makes the test binary a daemon that ends when it is told to.
const daemonEnv = "DSATCTL_TEST_DAEMON"

func TestMain(m *testing.M) {
	socket := os.Getenv(daemonEnv)
	if socket == "" {
		os.Exit(m.Run())
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening")
	err = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{}")
		w.(http.Flusher).Flush()
		if r.URL.Path == control.PathDown {
			os.Exit(0) // in the midst of the answer
		}
	}))
	fmt.Println(err)
	os.Exit(1)
}

func TestDownWaitsForTheEnd(t *testing.T) {
	socket := filepath.Join(shortDir(t), control.SocketName)
	daemon := exec.Command(os.Args[0])
	daemon.Env = append(os.Environ(), daemonEnv+"="+socket)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	if _, err := out.Read(make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	if got := dsatctl(t, "", "down", "--socket", socket); got.code != 0 {
		daemon.Process.Kill()
		t.Fatalf("%+v", got)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", daemon.Process.Pid)) // we have not waited: it must be a zombie
	if err != nil || !strings.Contains(string(stat), ") Z ") {
		t.Errorf("down returned before the daemon was gone: %s, %v", stat, err)
	}
	if got := dsatctl(t, "", "down", "--socket", socket); got.code != exitUnavailable {
		t.Errorf("a second down: %+v", got)
	}
}

func TestDownWithoutWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != control.PathDown {
			return
		}
		io.WriteString(w, "{}")
		if asked++; asked == 2 {
			w.(http.Flusher).Flush()
			cancel()
		}
	})
	if got := dsatctlAt(ctx, ends{}, "down", "--no-wait"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if got := dsatctlAt(ctx, ends{}, "down"); got.code != exitInterrupted { // this process never ends while it is tested
		t.Errorf("%+v", got)
	}
}
