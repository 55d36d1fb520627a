package web

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who knocks at a door that is held shut waits, is refused by nobody, and comes in when it opens.
func TestADoorHeldShutRefusesNobody(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "door"))
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l}
	defer d.Close()
	in := make(chan net.Conn)
	go func() {
		for {
			c, err := d.Accept()
			if err != nil {
				close(in)
				return
			}
			in <- c
		}
	}()
	knock := func() net.Conn {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return c
	}
	defer knock().Close()
	defer (<-in).Close()
	if err := d.freeze(); err != nil {
		t.Fatal(err)
	}
	defer knock().Close()
	if c, err := raw(l); err != nil { // it waits in the kernel, for whoever has the descriptor next
		t.Errorf("nobody waits: %v", err)
	} else {
		defer c.Close()
	}
	defer knock().Close()
	d.thaw()
	defer (<-in).Close()
	if err := d.freeze(); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	if _, open := <-in; open {
		t.Error("somebody came in through a door that was closed")
	}
}

// raw accepts as the next dsatd would: through another descriptor of the same socket.
func raw(l net.Listener) (net.Conn, error) {
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	next, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	defer next.Close()
	return next.Accept()
}

func TestFreezeWaitsForChangesAndNotForQuestions(t *testing.T) {
	var g guests
	ask := func(method, path string) func() {
		r, err := http.NewRequest(method, "http://dsat"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return g.begin(r)
	}
	defer ask("GET", "/events")()
	defer ask("POST", "/v1/upgrade")()
	s := &Server{}
	s.unix = &door{Listener: listening(t)}
	defer s.unix.Close()
	s.guests.changes = map[string]int{"POST /v1/satellites/x/stop": 1}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Freeze(ctx); err == nil || !strings.Contains(err.Error(), "POST /v1/satellites/x/stop is under way") {
		t.Errorf("a stop was under way: %v", err)
	}
	if s.unix.shut != nil {
		t.Error("the door stayed shut after a freeze that was given up")
	}
	if _, change := g.inside(); change != "" {
		t.Errorf("%s is no change to wait for", change)
	}
	end := ask("POST", "/v1/satellites/x/start")
	if _, change := g.inside(); change == "" {
		t.Error("a start is a change to wait for")
	}
	end()
	if _, change := g.inside(); change != "" {
		t.Errorf("%s has ended", change)
	}
}

func listening(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "door"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}
