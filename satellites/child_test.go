package satellites

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/bus/wire"
)

const envChild = "DSAT_TEST_CHILD"

// childMain is the satellite that a test re-executes this binary for.
func childMain() bool {
	var err error
	switch os.Getenv(envChild) {
	case "":
		return false
	case "worker":
		err = Run(func(_ context.Context, m *Message, out *Output) error {
			fmt.Println("stdout:", string(m.Payload))
			fmt.Fprintln(os.Stderr, "stderr:", string(m.Payload))
			if string(m.Payload) == "emit" {
				out.Emit(m.Payload)
			}
			return nil
		})
	case "source":
		payload := make([]byte, 64)
		err = RunSource(func(_ context.Context, e *Emitter) error {
			for {
				if err := e.Emit(payload); err != nil {
					return err
				}
			}
		})
	case "discard":
		err = Run(func(context.Context, *Message, *Output) error { return nil })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// child is a satellite in a process of its own.
type child struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bufio.Reader
	stream *plug.Stream
	read   []wire.Record // and not yet used
}

func spawn(t testing.TB, kind string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	h := plug.Handshake()
	cmd.Env = append(os.Environ(), envChild+"="+kind, h.MagicCookieKey+"="+h.MagicCookieValue, "PLUGIN_UNIX_SOCKET_DIR="+t.TempDir(),
		"DSAT_NAME=upper", "DSAT_WID=0", "DSAT_INCARNATION=4294967297", "DSAT_TOKEN=t")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errors, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdout: bufio.NewReader(out), stderr: bufio.NewReader(errors)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := readLine(t, c.stdout)
	f := strings.Split(line, "|")
	if len(f) < 5 || f[2] != "unix" {
		t.Fatalf("handshake %q", line)
	}
	cc, err := grpc.NewClient("unix:"+f[3], append(plug.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = cc.Close()
	})
	if c.stream, err = plug.NewConn(cc).Open(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func readLine(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *child) send(t testing.TB, records ...wire.Record) {
	t.Helper()
	var b wire.Builder
	for i := range records {
		records[i].Epoch = 1
		b.Add(&records[i].Header, records[i].Body)
	}
	if err := c.stream.Send(b.Frame()); err != nil {
		t.Fatal(err)
	}
}

func (c *child) recv(t testing.TB) wire.Record {
	t.Helper()
	for len(c.read) == 0 {
		buf, err := c.stream.Recv(nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.Parse(buf)
		if err != nil {
			t.Fatal(err)
		}
		var rec wire.Record
		for r.Next(&rec) {
			c.read = append(c.read, rec)
		}
	}
	rec := c.read[0]
	c.read = c.read[1:]
	return rec
}

func (c *child) welcome(t testing.TB, w wire.WelcomeBody) {
	t.Helper()
	if rec := c.recv(t); rec.Kind != wire.Hello {
		t.Fatalf("first record is %v", rec.Kind)
	}
	w.Epoch = 1
	c.send(t, wire.Record{Header: wire.Header{Kind: wire.Welcome}, Body: wire.AppendJSON(nil, w)})
}

// A real go-plugin server in a real process: its prints reach its own descriptors, its name is not dsatd, SIGINT is
// ignored, SIGTERM ends it in order.
func TestServedByGoPlugin(t *testing.T) {
	c := spawn(t, "worker")
	c.welcome(t, defaultWelcome)
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/comm")
	if err != nil || strings.TrimSpace(string(comm)) != "dsat:upper:0" {
		t.Errorf("comm %q, %v", comm, err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	c.send(t, data(1, "emit"))
	if rec := c.recv(t); rec.Kind != wire.Done || rec.N != 1 || len(rec.Body) == 0 {
		t.Fatalf("got %+v", rec)
	}
	if line := readLine(t, c.stdout); line != "stdout: emit" {
		t.Errorf("stdout %q", line)
	}
	if line := readLine(t, c.stderr); line != "stderr: emit" {
		t.Errorf("stderr %q", line)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for c.recv(t).Kind != wire.Bye {
		continue
	}
	c.send(t, record(wire.Bye, 0, 0))
	if _, err := io.Copy(io.Discard, c.stdout); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c.stderr); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit code 0", err)
	}
}

func TestNotStartedByDsatd(t *testing.T) {
	for _, name := range []string{"DSAT_NAME", "DSAT_WID", "DSAT_INCARNATION"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DSAT_NAME", "cpu")
			t.Setenv("DSAT_WID", "0")
			t.Setenv("DSAT_INCARNATION", "1")
			t.Setenv(name, "")
			err := Run(func(context.Context, *Message, *Output) error { return nil })
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want an error that names %s", err, name)
			}
		})
	}
}
