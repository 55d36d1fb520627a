package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// managed is a manager and what it hears.
func managed(t *testing.T, name string, env map[string]string) (*manager, *net.UnixConn) {
	t.Helper()
	ear, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ear.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	for key, value := range env {
		t.Setenv(key, value)
	}
	m, err := findManager(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m, ear
}

func hear(t *testing.T, ear *net.UnixConn) []string {
	t.Helper()
	buf := make([]byte, 4096)
	if err := ear.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := ear.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(buf[:n]), "\n")
}

func TestManagerHears(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@dsat-test-" + strconv.Itoa(os.Getpid())} {
		m, ear := managed(t, name, nil)
		m.ready("all is\nwell")
		if got := hear(t, ear); !slices.Equal(got, []string{"READY=1", "MAINPID=" + strconv.Itoa(os.Getpid()), "STATUS=all is; well"}) {
			t.Errorf("%s: ready: %q", name, got)
		}
		m.reloading()
		got := hear(t, ear)
		if len(got) != 3 || got[0] != "RELOADING=1" || !strings.HasPrefix(got[1], "MONOTONIC_USEC=") {
			t.Errorf("%s: reloading: %q", name, got)
		}
		m.stopping()
		if got := hear(t, ear); got[0] != "STOPPING=1" {
			t.Errorf("%s: stopping: %q", name, got)
		}
	}
}

// A child that saw the variables could speak for dsatd; an exec in place needs them again.
func TestManagerTakesItsVariables(t *testing.T) {
	m, _ := managed(t, filepath.Join(t.TempDir(), "notify"), map[string]string{"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())})
	for _, key := range managerVariables {
		if v, ok := os.LookupEnv(key); ok {
			t.Errorf("%s is still there: %q", key, v)
		}
	}
	if len(m.env) != 3 || m.period != 5*time.Second {
		t.Errorf("env %q, period %s", m.env, m.period)
	}
}

func TestWatchdogOfAnotherIsNotOurs(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"2000000", "", time.Second}, {"2000000", "1234567", 0}, {"x", "", 0}, {"-5", "", 0}, {"0", "", 0}, {"99999999999999999", "", 0},
	} {
		if got := watchdogPeriod(c.usec, c.pid, slog.New(slog.DiscardHandler)); got != c.want {
			t.Errorf("USEC %q PID %q: %s, want %s", c.usec, c.pid, got, c.want)
		}
	}
}

func TestManagerRefusesNonsense(t *testing.T) {
	for _, name := range []string{"relative", "@" + strings.Repeat("x", 200), "vsock:2:1234"} {
		t.Setenv("NOTIFY_SOCKET", name)
		if _, err := findManager(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	m, err := findManager(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m.ready("nobody hears this, and nothing hangs")
	m.close()
}

// WATCHDOG=1 says that the loops answered, and nothing else does.
func TestWatchdogAsksTheLoops(t *testing.T) {
	m, ear := managed(t, filepath.Join(t.TempDir(), "notify"), map[string]string{"WATCHDOG_USEC": "20000", "WATCHDOG_PID": ""})
	ctx, cancel := context.WithCancel(context.Background())
	asked, answer := make(chan struct{}), make(chan error)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.report(ctx, func(context.Context) error {
			asked <- struct{}{}
			return <-answer
		}, func() (string, bool) { return "so far so good", false })
	}()
	<-asked
	answer <- errors.New("the loop does not answer")
	<-asked
	m.tell("MARK=1") // the first question was not followed by WATCHDOG=1
	answer <- nil
	if got := hear(t, ear); got[0] != "MARK=1" {
		t.Errorf("before any loop had answered: %q", got)
	}
	if got := hear(t, ear); !slices.Equal(got, []string{"WATCHDOG=1"}) {
		t.Errorf("after the loops had answered: %q", got)
	}
	cancel()
	for {
		select {
		case <-asked:
			answer <- context.Canceled
		case <-done:
			return
		}
	}
}

// During a long stop more time is asked for, also without a watchdog.
func TestBusyAsksForTime(t *testing.T) {
	m, ear := managed(t, filepath.Join(t.TempDir(), "notify"), nil)
	m.pulse(context.Background(), func(context.Context) error { return nil }, true)
	if got := hear(t, ear); !slices.Equal(got, []string{"EXTEND_TIMEOUT_USEC=30000000"}) {
		t.Errorf("%q", got)
	}
}
