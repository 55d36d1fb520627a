package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
)

// A flood of connections that say nothing, and one of those that are answered for ever: neither takes a descriptor more than it may, and
// who asks something in between is answered, or told to come back.
func TestACrowdIsBounded(t *testing.T) {
	busy := make(chan struct{})
	entered := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			entered <- struct{}{}
			<-busy
		}
		fmt.Fprint(w, "here you are")
	}))
	c := newCrowd(4)
	server.Config.ConnState = c.state
	server.Start()
	defer server.Close()
	defer close(busy)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	ask := func(conn net.Conn, path string) *http.Response {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for range 50 {
		dial()
	}
	first := dial()
	if res := ask(first, "/"); res.StatusCode != http.StatusOK {
		t.Errorf("%s", res.Status)
	}
	for !c.silent() { // the server notes a little after the answer that the first one asks no more
		runtime.Gosched()
	}
	for range 4 {
		fmt.Fprint(dial(), "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-entered
	}
	if _, err := io.Copy(io.Discard, first); err != nil { // the silent ones were let go
		t.Logf("ended with %v", err)
	}
	c.mu.Lock()
	if len(c.inside) != 4 {
		t.Errorf("%d are inside", len(c.inside))
	}
	c.mu.Unlock()
	if res, err := http.ReadResponse(bufio.NewReader(dial()), nil); err != nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v %v", res, err)
	}
}

// silent: nobody is being answered.
func (c *crowd) silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, since := range c.inside {
		if since.IsZero() {
			return false
		}
	}
	return true
}

// Many at once through the real door, each on a connection of its own: all are answered or told to come back, and nothing is left of them.
func TestAFloodOfRequests(t *testing.T) {
	h := lived(t, stage)
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for range 50 {
		all.Go(func() {
			client := h.client("unix")
			for n := range 40 {
				res, err := client.Get("http://localhost" + []string{"/v1/status", "/metrics", "/v1/queues", "/nowhere"}[n%4])
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				mu.Lock()
				codes[res.StatusCode]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for code := range codes {
		if code != http.StatusOK && code != http.StatusNotFound && code != http.StatusServiceUnavailable {
			t.Errorf("%v", codes)
		}
	}
	if codes[http.StatusOK] == 0 || codes[http.StatusNotFound] != 500 {
		t.Errorf("%v", codes)
	}
	if r := h.ask("unix", "GET /v1/status", ""); r.status != http.StatusOK {
		t.Errorf("%+v", r)
	}
}
