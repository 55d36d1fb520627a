// Package satellites is the Go SDK: it turns a function into a satellite of dsatd, without cgo and without libzmq.
//
//	func main() {
//		err := satellites.Run(func(ctx context.Context, m *satellites.Message, out *satellites.Output) error {
//			out.Emit(bytes.ToUpper(m.Payload))
//			return nil
//		})
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//	}
//
// In the topology such a program is a plugin with a path:
//
//	[satellite.upper]
//	plugin = "./upper"
//	to     = "csv"
//
// What a worker may rely on:
//
//   - A message is acknowledged when its handler returned nil, together with all its outputs: both or neither.
//   - An error gives the message back: it is tried again, here or elsewhere, as often as the topology says, unless the
//     error is Permanent. A panic is an error; the process goes on.
//   - A message may come again after a crash: delivery is at least once. Message.ID stays the same.
//   - Messages are handled in the order of delivery, Concurrency (default 1) at a time.
//   - What the program prints goes to its captured log: `dsatctl logs NAME`.
//   - SIGTERM and a drain let handlers finish; SIGINT is left to dsatd.
package satellites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/bus/wire"
)

// Handler does the work of one message. ctx ends when the message is not wanted any more or the session is lost; it,
// m and out may be used until the handler returns. nil acknowledges; an error gives the message back.
type Handler func(ctx context.Context, m *Message, out *Output) error

// Source emits messages until ctx ends (drain, SIGTERM) or it has no more; then it returns. What it emitted is
// delivered before the process ends.
type Source func(ctx context.Context, e *Emitter) error

// Option changes how Run and RunSource work.
type Option func(*settings)

type settings struct {
	concurrency int
	codec       wire.Codec
	codecSet    bool
	beforeAck   func() error
	err         error
}

// Concurrency lets n handlers run at the same time (default 1).
func Concurrency(n int) Option {
	return func(s *settings) { s.concurrency = max(n, 1) }
}

// Codec names how payloads that are emitted are written: raw, text, json, cbor, struct. The default of a worker is that
// of the message it handles, the default of a source is raw.
func Codec(name string) Option {
	return func(s *settings) {
		c, err := wire.ParseCodec(name)
		s.codec, s.codecSet, s.err = c, true, errors.Join(s.err, err)
	}
}

// BeforeAck has f called after a batch of messages was handled and before any of them is acknowledged: the place to
// flush a buffer once for many messages. An error of f gives all messages of the batch back. Handlers run one at a time.
func BeforeAck(f func() error) Option {
	return func(s *settings) { s.beforeAck = f }
}

func apply(opts []Option) (settings, error) {
	s := settings{concurrency: 1}
	for _, o := range opts {
		o(&s)
	}
	if s.beforeAck != nil {
		s.concurrency = 1
	}
	return s, s.err
}

// Permanent marks an error as not worth another attempt: the message goes to quarantine (or where the topology says).
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (p *permanentError) Error() string { return p.err.Error() }
func (p *permanentError) Unwrap() error { return p.err }

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// Run serves h as this satellite's handler until dsatd says stop. It returns nil after an orderly end, and an error when
// the process was not started by dsatd or dsatd is gone for good.
func Run(h Handler, opts ...Option) error {
	s, err := apply(opts)
	if err != nil {
		return err
	}
	id, err := Self()
	if err != nil {
		return err
	}
	n := newNode(id, s)
	n.worker = newWorker(h, s)
	defer n.worker.stop()
	return n.live()
}

// RunSource runs f as this satellite's source. It returns when f has returned and all it emitted was accepted, with
// f's error.
func RunSource(f Source, opts ...Option) error {
	s, err := apply(opts)
	if err != nil {
		return err
	}
	id, err := Self()
	if err != nil {
		return err
	}
	n := newNode(id, s)
	n.source = newSource(f, s)
	return n.live()
}

// patience is how long a satellite outlives its daemon: a new dsatd finds it within that time, or it ends itself.
const patience = 30 * time.Second

// live serves the plugin carrier and waits for the end.
func (n *node) live() error {
	n.settle()
	n.stdout, n.stderr = os.Stdout, os.Stderr
	// dsatd gets the terminal's Ctrl-C itself and decides. A log nobody reads is no reason to die.
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	defer signal.Stop(term)
	served := make(chan struct{})
	go func() {
		defer close(served)
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig: plug.Handshake(),
			Plugins:         plug.Set(func(s *plug.Stream) error { return n.serve(s) }),
			GRPCServer:      plug.NewServer,
			Logger:          hclog.NewNullLogger(),
		})
	}()
	return n.wait(term, served)
}

// settle makes the process modest and gives it its name in ps: `pkill dsatd` is to mean dsatd.
func (n *node) settle() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(max(2, n.set.concurrency), runtime.NumCPU()))
	}
	if err := os.WriteFile("/proc/self/comm", []byte("dsat:"+n.id.String()), 0); err != nil {
		fmt.Fprintf(os.Stderr, "cannot set the name of the process: %v\n", err)
	}
}
