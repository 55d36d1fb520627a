package web

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/web/control"
)

// The loops do not run, which from here looks as if they were stuck: everything is answered all the same, in bounded time.
func TestStuckLoopsHangNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := built(t, stage)
		mux := h.mux()
		for _, c := range []struct {
			what   string
			status int
			text   string
		}{
			{"GET /", 200, "queues and ledger are not known"},
			{"GET /livez", 503, "supervisor's loop does not answer"},
			{"GET /readyz", 503, "not ready"},
			{"GET /readyz?verbose", 503, `{"ready":false,"why":["dsatd is starting"]}`},
			{"GET /metrics", 200, "\ndsat_bus_up 0\n"},
			{"GET /v1/status", 200, `"why":"queues and ledger are not known: cannot wait longer for the bus`},
			{"GET /v1/version", 200, `"zeromq":"4"`},
			{"GET /v1/queues", 504, `"kind":"timeout"`},
			{"GET /v1/logs/talker", 200, ""},
			{"GET /v1/tasks/7.1", 504, `"kind":"timeout"`},
			{"GET /v1/quarantine", 504, `"kind":"timeout"`},
			{"GET /v1/quarantine/1", 504, `"kind":"timeout"`},
			{"POST /v1/quarantine/1/drop", 504, `"kind":"timeout"`},
			{"POST /v1/send/echo", 504, "cannot tell whether"},
			{"POST /v1/send/echo?wait=1m", 504, "cannot tell whether"},
		} {
			method, path, _ := strings.Cut(c.what, " ")
			begin := time.Now()
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, path, nil).WithContext(context.WithValue(t.Context(), doorKey{}, accessOperate))
			mux.ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("%s: %d %s, want %d with %q", c.what, w.Code, w.Body, c.status, c.text)
			}
			most := 8 * time.Second
			if strings.Contains(path, "wait") {
				most += time.Minute
			}
			if took := time.Since(begin); took > most {
				t.Errorf("%s took %v", c.what, took)
			}
		}
	})
}

// pipes is a listener over memory, so that a bubble's clock runs while both ends wait.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// talk opens a connection to the house's doors, says something and returns what the other end has to say.
func talk(t *testing.T, h *house, say string) net.Conn {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	h.serve(p, tcpDoor, h.mux())
	here, there := net.Pipe()
	p.conns <- there
	if _, err := here.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
	return here
}

// A caller that takes in nothing more loses its connection, and what was held for it.
func TestACallerThatDoesNotReadIsCutOff(t *testing.T) {
	for _, path := range []string{"/events", "/v1/status", "/metrics", "/"} {
		synctest.Test(t, func(t *testing.T) {
			h := built(t, stage)
			for range hubKeep {
				h.hub.Publish(control.Event{Kind: "bus", Cause: strings.Repeat("x", 100)})
			}
			begin := time.Now()
			conn := talk(t, h, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			time.Sleep(writePatience + loopPatience + time.Second) // in the bubble: until all others wait
			synctest.Wait()
			if _, err := conn.Write([]byte("x")); err == nil {
				t.Errorf("%s: the connection lives after %v", path, time.Since(begin))
			}
		})
	}
}

// A caller that announces a body and does not send it is answered and let go.
func TestACallerThatDoesNotSendItsBodyIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := built(t, stage)
		begin := time.Now()
		conn := talk(t, h, "POST /v1/send/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if took := time.Since(begin); res.StatusCode != http.StatusBadRequest || took != bodyPatience {
			t.Errorf("%d after %v", res.StatusCode, took)
		}
	})
}

// A stream of an idle daemon lives on: every piece has a deadline of its own.
func TestAnIdleStreamOutlivesTheDeadlineOfAPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := built(t, stage)
		conn := talk(t, h, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		for n := range 3 {
			if !lines.Scan() || lines.Text() != ": alive" || !lines.Scan() || lines.Text() != "" {
				t.Fatalf("sign of life %d: %q, %v", n, lines.Text(), lines.Err())
			}
		}
		h.hub.Publish(control.Event{Kind: "daemon", Cause: "late"})
		if !lines.Scan() || lines.Text() != "id: 7-1" {
			t.Errorf("%q, %v", lines.Text(), lines.Err())
		}
		conn.Close()
	})
}
