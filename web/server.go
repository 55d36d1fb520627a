package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// Config is what a Server needs to answer.
type Config struct {
	Topology   *topology.Topology // of the start: its listener, its directories
	RunDir     string
	StateDir   string
	Epoch      uint32
	Version    control.Version
	Log        *slog.Logger
	Hub        *Hub
	Supervisor *supervisor.Supervisor
	Bus        *bus.Bus
	Change     Changer
	Down       func(drain time.Duration)                      // begins the end of the daemon, returns at once; 0 is the topology's own deadline
	Doctor     func(ctx context.Context) []control.Finding    // looks at the machine
	Upgrade    func(ctx context.Context, binary string) error // executes another dsatd in place; returns only when it could not
	Inherited  map[string]int                                 // listeners of the dsatd that was executed before; what is used is taken out
}

// Server is every door of the daemon. Open binds them, Serve answers, Close ends both.
type Server struct {
	cfg   Config
	hub   *Hub
	since time.Time

	unix    *door
	tcp     *door // nil: there is none
	guests  guests
	servers []*http.Server
	serving sync.WaitGroup
	closing chan struct{} // closed first, so that followers of streams leave and Shutdown ends

	closeOnce sync.Once

	mu    sync.Mutex
	state string // starting, running, stopping
}

// Open binds the unix socket, and the TCP listener when the topology names one. Nothing is answered before Serve.
func Open(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, hub: cfg.Hub, since: time.Now(), closing: make(chan struct{}), state: "starting"}
	local, err := openUnix(cfg)
	if err != nil {
		return nil, err
	}
	s.unix = &door{Listener: local}
	if addr := cfg.Topology.Daemon.HTTP; addr != "" {
		tcp := inherited(cfg.Inherited, inheritedTCP)
		if tcp == nil {
			tcp, err = net.Listen("tcp", addr)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot listen for HTTP on %s: %w (choose another with --http HOST:PORT, or --http '' for the unix socket only)", addr, err), s.unix.Close())
		}
		s.tcp = &door{Listener: tcp}
	}
	return s, nil
}

// openUnix takes over the control socket, or makes it.
func openUnix(cfg Config) (net.Listener, error) {
	if l := inherited(cfg.Inherited, inheritedUnix); l != nil {
		return l, nil
	}
	socket := filepath.Join(cfg.RunDir, control.SocketName)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove the old control socket: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("cannot open the control socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot protect the control socket: %w", err), l.Close())
	}
	return l, nil
}

// Serve answers on every door until Close.
func (s *Server) Serve() {
	mux := s.mux()
	s.serve(s.unix, unixDoor, mux)
	if s.tcp != nil {
		s.serve(s.tcp, tcpDoor, mux)
	}
}

func (s *Server) serve(l net.Listener, who func(context.Context, net.Conn) context.Context, mux http.Handler) {
	crowd := newCrowd(mostInside)
	server := &http.Server{
		Handler:           mux,
		ConnContext:       who,
		ConnState:         func(c net.Conn, state http.ConnState) { s.guests.state(c, state); crowd.state(c, state) },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	s.servers = append(s.servers, server)
	s.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log.Error("a door closed by itself", "address", l.Addr().String(), "err", err)
		}
	})
}

// Close ends the streams, lets answers under way finish for a moment, and closes the doors.
func (s *Server) Close() {
	s.stopStreams()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, server := range s.servers {
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
	if len(s.servers) == 0 {
		_ = s.unix.Close()
		if s.tcp != nil {
			_ = s.tcp.Close()
		}
	}
	s.serving.Wait()
}

// stopStreams lets followers of events and logs leave.
func (s *Server) stopStreams() { s.closeOnce.Do(func() { close(s.closing) }) }

// HTTP is the address the TCP listener is bound to, "" without one.
func (s *Server) HTTP() string {
	if s.tcp == nil {
		return ""
	}
	return s.tcp.Addr().String()
}

// SetState tells what the daemon is doing: starting, running or stopping.
func (s *Server) SetState(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// State is what SetState told last.
func (s *Server) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}
