package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/dsat/dsat/web/control"
)

// door is a listener that can be held shut without refusing anybody: who knocks waits in the kernel's queue, for us or for the dsatd that
// is executed in our place.
type door struct {
	net.Listener

	mu   sync.Mutex
	shut chan struct{} // closed when the door opens again; nil: it is open
}

// deadliner is what TCP and unix listeners have beside net.Listener.
type deadliner interface{ SetDeadline(time.Time) error }

// Accept lets the next one in.
func (d *door) Accept() (net.Conn, error) {
	for {
		d.mu.Lock()
		shut := d.shut
		d.mu.Unlock()
		if shut != nil {
			<-shut
			continue
		}
		c, err := d.Listener.Accept()
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			continue // it was shut while we waited, or is open again
		}
		return c, err
	}
}

func (d *door) freeze() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut == nil {
		d.shut = make(chan struct{})
	}
	return d.Listener.(deadliner).SetDeadline(time.Unix(1, 0))
}

func (d *door) thaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut == nil {
		return
	}
	_ = d.Listener.(deadliner).SetDeadline(time.Time{}) // a listener that is closed needs none
	close(d.shut)
	d.shut = nil
}

// Close also lets Accept go that waits at a shut door.
func (d *door) Close() error {
	err := d.Listener.Close()
	d.thaw()
	return err
}

// guests counts who is inside: connections that have not said anything yet, and requests that change something.
type guests struct {
	mu      sync.Mutex
	fresh   map[net.Conn]struct{}
	changes map[string]int // by what they do
}

func (g *guests) state(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fresh == nil {
		g.fresh = make(map[net.Conn]struct{})
	}
	if delete(g.fresh, c); state == http.StateNew {
		g.fresh[c] = struct{}{}
	}
}

// begin notes a request that changes something; the function it returns says that it is answered.
func (g *guests) begin(r *http.Request) (end func()) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || patient[r.URL.Path] {
		return func() {}
	}
	what := r.Method + " " + r.URL.Path
	g.count(what, 1)
	return func() { g.count(what, -1) }
}

// patient are changes that do not stand in the way of an upgrade: the upgrade itself.
var patient = map[string]bool{control.PathUpgrade: true}

func (g *guests) count(what string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changes == nil {
		g.changes = make(map[string]int)
	}
	if g.changes[what] += n; g.changes[what] == 0 {
		delete(g.changes, what)
	}
}

func (g *guests) inside() (fresh int, change string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for what := range g.changes {
		return len(g.fresh), what
	}
	return len(g.fresh), ""
}

const (
	freezeLook = 5 * time.Millisecond
	freshGrace = 100 * time.Millisecond // for who has knocked and says nothing
)

// Freeze holds the doors shut: who comes waits. It returns when no request that changes something is under way, or tells which one is
// when the context ends; then the doors are open. Streams and questions are not waited for.
func (s *Server) Freeze(ctx context.Context) error {
	for _, d := range s.doors() {
		if err := d.freeze(); err != nil {
			s.Thaw()
			return fmt.Errorf("cannot hold the doors shut: %w", err)
		}
	}
	since := time.Now()
	for {
		fresh, change := s.guests.inside()
		if change == "" && (fresh == 0 || time.Since(since) > freshGrace) {
			return nil
		}
		select {
		case <-ctx.Done():
			s.Thaw()
			return fmt.Errorf("cannot hold the doors shut: %s is under way", change)
		case <-time.After(freezeLook):
		}
	}
}

// Thaw opens the doors again.
func (s *Server) Thaw() {
	for _, d := range s.doors() {
		d.thaw()
	}
}

func (s *Server) doors() []*door {
	all := []*door{s.unix}
	if s.tcp != nil {
		all = append(all, s.tcp)
	}
	return all
}

// The keys of Handover.
const (
	inheritedUnix = "web.unix"
	inheritedTCP  = "web.tcp"
)

// Handover is the listeners, by the keys Config.Inherited takes. They stay the server's own, and close with an exec unless the
// caller sees to it.
func (s *Server) Handover() (map[string]int, error) {
	fds := make(map[string]int)
	for _, d := range s.doors() {
		key := inheritedTCP
		if d == s.unix {
			key = inheritedUnix
		}
		raw, err := d.Listener.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds[key] = int(fd) })
		}
		if err != nil {
			return nil, fmt.Errorf("cannot hand over a listener: %w", err)
		}
	}
	return fds, nil
}

// inherited is a listener the dsatd before has left open; nil when there is none of that key.
func inherited(fds map[string]int, key string) net.Listener {
	fd, ok := fds[key]
	if !ok {
		return nil
	}
	delete(fds, key)
	f := os.NewFile(uintptr(fd), key)
	l, err := net.FileListener(f)
	_ = f.Close() // the listener has a descriptor of its own
	if err != nil {
		return nil
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(true)
	}
	return l
}
