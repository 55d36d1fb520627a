package bus

import (
	"context"
	"errors"
	"fmt"
	"go.uber.org/goleak"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

func TestMain(m *testing.M) {
	if r := os.Getenv(roleEnv); r != "" {
		perform(r)
		return
	}
	// go-plugin's server end, which runs in this process here, never closes its pipes
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/go-plugin.copyChan"))
}

// served is a bus that runs, and what it said.
type served struct {
	*Bus
	t     testing.TB
	said  chan string // faults and hellos
	spawn uint32
}

func serve(t testing.TB, sats ...*topology.Satellite) *served {
	t.Helper()
	s := &served{t: t, said: make(chan string, 100)}
	var err error
	s.Bus, err = New(Config{Topology: topo(sats...), RunDir: shortDir(t), Epoch: 7,
		Hello: func(r topology.Ref, _ topology.Incarnation) { s.said <- "hello " + r.String() },
		Fault: func(r topology.Ref, _ topology.Incarnation, why string) { s.said <- "fault " + r.String() + ": " + why }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t testing.TB) string {
	d, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d) })
	return d
}

// expect waits until the bus says something that begins so.
func (s *served) expect(want string) string {
	s.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case got := <-s.said:
			if strings.HasPrefix(got, want) {
				return got
			}
			s.t.Logf("the bus said %q", got)
		case <-timeout:
			s.t.Fatalf("the bus never said %q", want)
		}
	}
}

func (s *served) admit(name string, wid int) (topology.Ref, topology.Incarnation, map[string]string) {
	s.spawn++
	ref, inc := topology.Ref{Name: name, WID: wid}, topology.NewIncarnation(7, s.spawn)
	env := map[string]string{}
	told, err := s.Admit(ref, inc, os.Geteuid(), os.Getegid())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range told {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	return ref, inc, env
}

// until asks the loop until its ledger is as wanted.
func (s *served) until(what string, ok func(Ledger) bool) Ledger {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		l := s.Ledger()
		if !l.Balanced() {
			s.t.Fatalf("the ledger does not balance: %+v", l)
		}
		if ok(l) {
			return l
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("never %s: %+v", what, l)
		}
	}
}

// conn is a satellite's end of a connection.
type conn interface {
	send(frame []byte) error
	recv() ([]byte, error)
}

// life is what a satellite knows of itself.
type life struct {
	ref   topology.Ref
	inc   topology.Incarnation
	token string
}

// play is a satellite: it says HELLO and calls handle for every record until BYE or the end of the connection.
func (l life) play(c conn, handle func(out *wire.Builder, r *wire.Record)) error {
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Hello}, wire.AppendJSON(nil, &wire.HelloBody{Step: l.ref.Name, WID: l.ref.WID, Incarnation: uint64(l.inc), Token: l.token, Source: l.ref.Name == "gen"}))
	if err := c.send(b.Frame()); err != nil {
		return err
	}
	var rec wire.Record
	for {
		f, err := c.recv()
		if err != nil {
			return err
		}
		r, err := wire.Parse(f)
		if err != nil {
			return err
		}
		b.Reset()
		for r.Next(&rec) {
			if rec.Kind == wire.Bye {
				return nil
			}
			if rec.Kind == wire.Error {
				return fmt.Errorf("ERROR %d: %s", rec.N, rec.Body)
			}
			handle(&b, &rec)
			if b.Len() < wire.MaxFrame/2 {
				continue
			}
			if err := c.send(b.Frame()); err != nil {
				return err
			}
			b.Reset()
		}
		if f := b.Frame(); f != nil {
			if err := c.send(f); err != nil {
				return err
			}
		}
	}
}

// upper answers every DATA with its payload in capitals, and DRAIN with BYE.
func upper(b *wire.Builder, r *wire.Record) {
	switch r.Kind {
	case wire.Data:
		b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: r.N})
		b.Output(wire.AllLinks, wire.Text, []byte(strings.ToUpper(string(r.Body))))
		b.End()
	case wire.Drain:
		b.Add(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
	}
}

// dealer is a ZeroMQ peer.
type dealer struct {
	ctx  *zmq4.Context
	soc  *zmq4.Socket
	quit <-chan struct{} // ends a receive
}

func dial(t testing.TB, url string) *dealer {
	t.Helper()
	d := &dealer{quit: t.Context().Done()}
	if err := d.connect(url); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *dealer) connect(url string) error {
	var err error
	if d.ctx, err = zmq4.NewContext(); err != nil {
		return err
	}
	if d.soc, err = d.ctx.NewSocket(zmq4.DEALER); err != nil {
		return err
	}
	return errors.Join(d.soc.SetLinger(0), d.soc.SetRcvtimeo(50*time.Millisecond), d.soc.Connect(url))
}

func (d *dealer) close() {
	_ = d.soc.Close()
	for zmq4.AsErrno(d.ctx.Term()) == zmq4.Errno(syscall.EINTR) {
	}
}

func (d *dealer) send(f []byte) error {
	_, err := d.soc.SendBytes(f, 0)
	return err
}

func (d *dealer) recv() ([]byte, error) {
	for {
		f, err := d.soc.RecvBytes(0)
		if zmq4.AsErrno(err) != zmq4.Errno(syscall.EAGAIN) {
			return f, err
		}
		select {
		case <-d.quit:
			return nil, context.Canceled
		default:
		}
	}
}

// dealWith runs a ZeroMQ satellite and returns what ends it.
func (s *served) dealWith(l life, env map[string]string, handle func(*wire.Builder, *wire.Record)) <-chan error {
	d := dial(s.t, env["DSAT_BUS"])
	done := make(chan error, 1)
	ended := make(chan struct{})
	s.t.Cleanup(func() { <-ended }) // after the test's context has ended
	go func() {
		defer close(ended)
		defer d.close()
		done <- l.play(d, handle)
	}()
	return done
}
