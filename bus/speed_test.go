package bus

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// The speed of the whole way: a source process, the bus in this one, a worker process. Both are this test binary executed
// again, in a role.
const roleEnv = "DSAT_TEST_ROLE"

type role struct {
	life   life
	Step   string
	Inc    uint64
	Token  string
	URL    string // ZeroMQ; "": plugin
	Source bool
	Size   int
}

// perform plays the role of a satellite in a process of its own.
func perform(text string) {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		panic(err)
	}
	r.life = life{ref: topology.Ref{Name: r.Step}, inc: topology.Incarnation(r.Inc), token: r.Token}
	if r.URL != "" {
		c := &dealer{}
		if err := c.connect(r.URL); err != nil {
			panic(err)
		}
		r.act(c)
		return
	}
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: plug.Handshake(), GRPCServer: plug.NewServer,
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		Plugins: plug.Set(func(s *plug.Stream) error {
			r.act(&bufferedStream{s: s})
			return nil
		})})
}

type bufferedStream struct {
	s   *plug.Stream
	buf []byte
}

func (c *bufferedStream) send(f []byte) error { return c.s.Send(f) }
func (c *bufferedStream) recv() ([]byte, error) {
	f, err := c.s.Recv(c.buf)
	c.buf = f
	return f, err
}

// act emits as fast as it may, or acknowledges whole frames.
func (r *role) act(c conn) {
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Hello}, wire.AppendJSON(nil, &wire.HelloBody{Step: r.Step, Incarnation: r.Inc, Token: r.Token, Source: r.Source}))
	if c.send(b.Frame()) != nil {
		return
	}
	body := make([]byte, r.Size)
	var rec wire.Record
	seq, accepted, window := uint64(0), uint64(0), uint64(0)
	for {
		f, err := c.recv()
		if err != nil {
			return
		}
		rd, err := wire.Parse(f)
		if err != nil {
			panic(err)
		}
		first, last := uint64(0), uint64(0)
		for rd.Next(&rec) {
			switch rec.Kind {
			case wire.Welcome:
				window = emitMessages
			case wire.Accepted:
				accepted = rec.N
			case wire.Data:
				if first == 0 {
					first = rec.N
				}
				last = rec.N
			}
		}
		b.Reset()
		if first > 0 {
			b.Add(&wire.Header{Kind: wire.Done, Epoch: 7, N: first, M: last}, nil)
		}
		for r.Source && seq-accepted < window && (seq-accepted)*uint64(r.Size) < emitBytes-uint64(r.Size) {
			if !b.Fits(len(body)) {
				if c.send(b.Frame()) != nil {
					return
				}
				b.Reset()
			}
			seq++
			b.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, N: seq, Port: wire.AllLinks}, body)
		}
		if f := b.Frame(); f != nil && c.send(f) != nil {
			return
		}
	}
}

// perform starts a process for an instance and returns what ends it.
func (s *served) perform(name string, source, plugin bool, size int) func() {
	s.t.Helper()
	ref, inc, env := s.admit(name, 0)
	r := role{Step: name, Inc: uint64(inc), Token: env["DSAT_TOKEN"], Source: source, Size: size}
	if !plugin {
		r.URL = env["DSAT_BUS"]
	}
	text, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{roleEnv + "=" + string(text)}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.Spawned(ref, inc, cmd.Process.Pid, nil, nil)
	if plugin {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		s.Handshake(ref, inc, strings.TrimSpace(line))
	}
	s.expect("hello " + name)
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		s.Gone(ref, inc, "killed by signal 9", nil)
	}
}

func benchmarkWholeWay(b *testing.B, plugin bool, size int) {
	mk := sat
	if plugin {
		mk = pluginSat
	}
	s := serve(b, mk("gen", "null"), mk("null"))
	endWorker := s.perform("null", false, plugin, size)
	defer endWorker()
	before := s.Ledger().Done
	b.ResetTimer()
	endSource := s.perform("gen", true, plugin, size)
	defer endSource()
	l := s.Ledger()
	for l.Done-before < uint64(b.N) {
		<-time.After(5 * time.Millisecond)
		l = s.Ledger()
	}
	b.ReportMetric(float64(l.Done-before)/b.Elapsed().Seconds(), "msg/s")
	b.StopTimer()
	if !l.Balanced() {
		b.Fatalf("%+v", l)
	}
}

func BenchmarkWholeWay(b *testing.B) {
	for _, carrier := range []string{"plugin", "zmq"} {
		for _, size := range []int{64, 256, 1024} {
			b.Run(fmt.Sprintf("%s/%dB", carrier, size), func(b *testing.B) { benchmarkWholeWay(b, carrier == "plugin", size) })
		}
	}
}
