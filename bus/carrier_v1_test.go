package bus

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/topology"
)

// v1Config is [bus.v1] with links at sockets in dir.
func v1Config(t testing.TB, dir string, full topology.V1Full, sats []*topology.Satellite, links ...string) topology.V1 {
	t.Helper()
	conf := topology.V1{Where: "host1", HWM: 2, Full: full, Links: map[string]string{}}
	for _, name := range links {
		conf.Links[name] = "ipc://" + strings.ToLower(name)
	}
	var problems []v1.Problem
	conf.Open, problems = v1.Lint(v1.Table{Links: conf.Links, Dir: dir, Role: func(name string) v1.Role {
		for _, s := range sats {
			if s.Name == name && s.Speaks == topology.SpeaksV1 {
				return v1.Theirs
			}
		}
		return v1.Ours
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return conf
}

// serveV1 makes a bus with the door of DSAT 0.6 that runs.
func serveV1(t testing.TB, full topology.V1Full, sats []*topology.Satellite, links ...string) (s *served, dir string) {
	t.Helper()
	dir = shortDir(t)
	topo := topo(sats...)
	topo.V1 = v1Config(t, dir, full, sats, links...)
	s = &served{t: t, said: make(chan string, 1000)}
	var err error
	s.Bus, err = New(Config{Topology: topo, RunDir: shortDir(t), Epoch: 7, Event: func(e Event) { s.said <- e.Text }})
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
	return s, dir
}

// v1Peer is a socket of somebody else's.
func v1Peer(t testing.TB, kind zmq4.Type, dir, link string, bind bool) *zmq4.Socket {
	t.Helper()
	ctx, err := zmq4.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ctx.NewSocket(kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.SetLinger(0)
		_ = s.Close()
		_ = ctx.Term()
	})
	_ = s.SetRcvtimeo(20 * time.Second)
	url := "ipc://" + filepath.Join(dir, strings.ToLower(link))
	if bind {
		err = s.Bind(url)
	} else {
		err = s.Connect(url)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func vectorText(where, typ, event string, n int) string {
	return fmt.Sprintf("%s:s:0:1:n\x00e:%s:c:%d:%s:1\x00str\x00x", where, typ, n, event)
}

// A vector goes to a worker, and its reports end it; all over real sockets.
func TestV1SocketsCarryVectors(t *testing.T) {
	sats := []*topology.Satellite{old("cpu"), old("master")}
	s, dir := serveV1(t, topology.V1Quarantine, sats, "PUSH_any_ORCHESTER", "PUSH_ORCHESTER_cpu", "PUSH_any_TRACKER", "SUB_orchester_MASTER")
	ref, inc, _ := s.admit("cpu", 0)
	s.Spawned(ref, inc, 4711, nil, nil)
	source, worker := v1Peer(t, zmq4.PUSH, dir, "PUSH_any_ORCHESTER", false), v1Peer(t, zmq4.PULL, dir, "PUSH_ORCHESTER_cpu", false)
	status, master := v1Peer(t, zmq4.PUSH, dir, "PUSH_any_TRACKER", false), v1Peer(t, zmq4.PUB, dir, "SUB_orchester_MASTER", true)
	const orders = 300
	stop, ended := make(chan struct{}), make(chan struct{})
	defer func() {
		close(stop)
		<-ended
	}()
	go func() {
		defer close(ended)
		for n := range orders {
			_, _ = source.Send(vectorText("host1", "cpu", "INIT", n), 0)
		}
		_, _ = source.SendMessage("a", "b") //nolint:forbidigo // several parts are what is tested
		for {                               // until dsatd has connected; it hears host1 only
			_, _ = master.Send(vectorText("host10", "cpu", "INIT", 9), 0)
			_, _ = master.Send(vectorText("host1", "nobody", "INIT", 9), 0)
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	for range orders {
		b, err := worker.RecvBytes(0)
		if err != nil {
			t.Fatal(err)
		}
		v, err := v1.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		v.Step, v.PID, v.Next = []byte("cpu"), []byte("4711"), []byte(v1.Terminus)
		for _, event := range []string{v1.Ack, v1.HappyEnd, v1.HappyEnd} {
			v.Event = []byte(event)
			if _, err := status.SendBytes(v.Append(nil), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.until("all done", func(l Ledger) bool { return l.Done == orders })
	s.expect("SUB_orchester_MASTER: 1 refused (type)")
	st, err := s.Legacy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range st.Ports {
		switch p.Links[0] {
		case "PUSH_any_ORCHESTER":
			if p.In != orders+1 || p.Malformed["parts"] != 1 {
				t.Errorf("%+v", p)
			}
		case "SUB_orchester_MASTER":
			if p.Refused["where"] != 0 || p.Bound {
				t.Errorf("%+v", p)
			}
		}
	}
	s.Gone(ref, inc, "exit code 0", nil)
	if st.Steps[0].Twice != orders || st.Steps[0].Late != 0 {
		t.Errorf("%+v", st.Steps[0])
	}
}

// With full = "block" an endpoint is not read while there is no room, and all of it comes afterwards, in order.
func TestV1SocketsWait(t *testing.T) {
	csv := sat("csv")
	csv.Queue.MaxMessages = 3
	s, dir := serveV1(t, topology.V1Block, []*topology.Satellite{csv, old("clock")}, "PUSH_any_ORCHESTER")
	source := v1Peer(t, zmq4.PUSH, dir, "PUSH_any_ORCHESTER", false)
	for n := range 500 {
		if _, err := source.Send(vectorText("host1", "csv", "INIT", n), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.until("the queue is full", func(l Ledger) bool { return l.Held == 3 })
	deadline := time.Now().Add(20 * time.Second)
	for {
		st, err := s.Legacy(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatal(st, err)
		}
		if st.Ports[0].Paused {
			break
		}
	}
	ref, inc, env := s.admit("csv", 0)
	ended := s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, upper)
	s.until("all done", func(l Ledger) bool { return l.Done == 500 })
	if err := s.Drain(t.Context(), ref, inc); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// ZeroMQ's bind takes the path of a socket from whoever has it. This door does not.
func TestV1TakesNothingFromAnybody(t *testing.T) {
	sats := []*topology.Satellite{old("cpu")}
	for _, c := range []struct {
		name, want string
		before     func(path string)
	}{
		{"a file", "which is no socket", func(path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a listener", "somebody listens there already", func(path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		}},
		{"what a dead process left", "", func(path string) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			_ = l.Close()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := shortDir(t)
			topo := topo(sats...)
			topo.V1 = v1Config(t, dir, topology.V1Quarantine, sats, "PUSH_any_ORCHESTER")
			c.before(filepath.Join(dir, "push_any_orchester"))
			b, err := New(Config{Topology: topo, RunDir: shortDir(t), Epoch: 7})
			if err == nil {
				b.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "PUSH_any_ORCHESTER")) {
				t.Errorf("%v", err)
			}
		})
	}
}
