package bus

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// pluginIn serves a satellite with go-plugin in this process, in the directory Admit named, and returns its handshake line.
func pluginIn(t testing.TB, env map[string]string, serve func(*plug.Stream) error) string {
	t.Helper()
	t.Setenv("PLUGIN_UNIX_SOCKET_DIR", env["PLUGIN_UNIX_SOCKET_DIR"])
	ctx, cancel := context.WithCancel(context.Background())
	config, closed := make(chan *plugin.ReattachConfig, 1), make(chan struct{})
	go plugin.Serve(&plugin.ServeConfig{HandshakeConfig: plug.Handshake(), Plugins: plug.Set(serve), GRPCServer: plug.NewServer,
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		Test:   &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: config, CloseCh: closed}})
	t.Cleanup(func() {
		cancel()
		<-closed
	})
	c := <-config
	if c == nil {
		t.Fatal("go-plugin did not serve")
	}
	return fmt.Sprintf("1|%d|unix|%s|grpc|", plug.ProtocolVersion, c.Addr.(*net.UnixAddr).Name)
}

type streamConn struct{ s *plug.Stream }

func (c streamConn) send(f []byte) error   { return c.s.Send(f) }
func (c streamConn) recv() ([]byte, error) { return c.s.Recv(nil) }

func pluginSat(name string, to ...string) *topology.Satellite {
	s := sat(name, to...)
	s.Plugin = name
	return s
}

func TestPluginCarriesASession(t *testing.T) {
	s := serve(t, pluginSat("w"))
	ref, inc, env := s.admit("w", 0)
	if env["DSAT_PLUGIN_COOKIE"] == "" || env["PLUGIN_UNIX_SOCKET_DIR"] == "" {
		t.Fatal(env)
	}
	ended := make(chan error, 1)
	line := pluginIn(t, env, func(st *plug.Stream) error {
		err := life{ref, inc, env["DSAT_TOKEN"]}.play(streamConn{st}, upper)
		ended <- err
		return err
	})
	s.Spawned(ref, inc, 1, nil, nil)
	s.Handshake(ref, inc, line)
	s.expect("hello w:0")
	for i := range 200 {
		got, err := s.Send(t.Context(), "w", "text", fmt.Appendf(nil, "message %d", i), true)
		if err != nil || string(got.Results[0].Payload) != fmt.Sprintf("MESSAGE %d", i) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	big := strings.Repeat("a", 3<<20) // larger than the window
	got, err := s.Send(t.Context(), "w", "text", []byte(big), true)
	if err != nil || len(got.Results) != 1 || string(got.Results[0].Payload) != strings.ToUpper(big) {
		t.Fatalf("%v %v", got.State, err)
	}
	if err := s.Drain(t.Context(), ref, inc); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.Gone(ref, inc, "exit code 0", nil)
}

func TestPluginThatIsNoneIsAFault(t *testing.T) {
	s := serve(t, pluginSat("w"))
	for line, why := range map[string]string{
		"hello world":           "handshake line",
		"1|9|unix|/tmp/x|grpc|": "version 9",
		"1|1|tcp|1:2|netrpc|":   "unix socket",
		"1|1|unix|" + filepath.Join(t.TempDir(), "none") + "|grpc|": "attach",
	} {
		ref, inc, _ := s.admit("w", 0)
		s.Handshake(ref, inc, line)
		if got := s.expect("fault w:0"); !strings.Contains(got, why) && !strings.Contains(got, "stream") {
			t.Errorf("%q: %q", line, got)
		}
		s.Gone(ref, inc, "killed", nil)
	}
}

func TestPluginThatStopsReadingHarmsNobody(t *testing.T) {
	stuck := pluginSat("stuck")
	stuck.Work.InHand = 1 << 20
	s := serve(t, stuck, sat("w"))
	ref, inc, env := s.admit("stuck", 0)
	release := make(chan struct{})
	line := pluginIn(t, env, func(st *plug.Stream) error {
		var b wire.Builder
		b.Add(&wire.Header{Kind: wire.Hello}, wire.AppendJSON(nil, &wire.HelloBody{Step: ref.Name, Incarnation: uint64(inc), Token: env["DSAT_TOKEN"]}))
		if err := st.Send(b.Frame()); err != nil {
			return err
		}
		<-release
		return nil
	})
	s.Handshake(ref, inc, line)
	s.expect("hello stuck:0")
	body := make([]byte, 32<<10)
	for range 100 {
		if _, err := s.Send(t.Context(), "stuck", "", body, false); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := st.Queues[0]
	if q.InFlight == 0 || q.InFlight > handBytes/len(body) {
		t.Errorf("%d messages of 32 KiB in flight to a peer that does not read", q.InFlight)
	}
	ref2, inc2, env2 := s.admit("w", 0)
	ended := s.dealWith(life{ref2, inc2, env2["DSAT_TOKEN"]}, env2, upper)
	s.expect("hello w:0")
	if got, err := s.Send(t.Context(), "w", "", []byte("x"), true); err != nil || got.State != "done" {
		t.Errorf("%+v %v", got, err)
	}
	if err := s.Drain(t.Context(), ref2, inc2); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(release)
	s.Gone(ref, inc, "killed", nil)
	s.until("all held", func(l Ledger) bool { return l.InFlight == 0 && l.Held == 100 })
}
