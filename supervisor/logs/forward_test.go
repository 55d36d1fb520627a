package logs

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

func sinkLog(to topology.LogSink, address, format string) topology.Log {
	return topology.Log{To: []topology.LogSink{to}, Syslog: topology.Syslog{Address: address, Format: format, Facility: "local7", Stdout: "info", Stderr: "err"}}
}

func (d *desk) forward(s Stream, texts ...string) {
	var lines [][]byte
	for _, t := range texts {
		lines = append(lines, []byte(t))
	}
	d.Append(morning, Origin{Inc: 7, PID: 42, Stream: s}, true, lines)
}

func listenUnixgram(t *testing.T) (string, *net.UnixConn) {
	path := filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, c
}

func TestSyslog(t *testing.T) {
	path, sock := listenUnixgram(t)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, c := range []struct {
		address, format string
		in              io.Reader
		want            [3]string
	}{
		{path, "rfc3164", sock, [3]string{`^<190>Nov 23 \d\d:00:00 cpu\[42\]: hello$`, `^<187>.* cpu\[42\]: bad$`, `^<186>.*: own$`}},
		{path, "rfc5424", sock, [3]string{`^<190>1 2026-11-23T08:00:00\.000000Z \S+ cpu 42 - \[dsat@32473 satellite="cpu" wid="0" incarnation="7" stream="stdout"\] hello$`, `^<187>1 .*stream="stderr"\] bad$`, `^<186>1 .*\] own$`}},
		{"udp://" + udp.LocalAddr().String(), "rfc3164", packets{udp}, [3]string{`^<190>Nov 23 \d\d:00:00 \S+ cpu\[42\]: hello$`, `bad$`, `own$`}},
	} {
		d := newDesk(t, sinkLog(topology.LogSyslog, c.address, c.format))
		d.forward(Stdout, "hello")
		d.forward(Stderr, "bad")
		d.forward(Stderr, "<2>own")
		for _, want := range c.want {
			var buf [4096]byte
			n, err := c.in.Read(buf[:])
			if err != nil || !regexp.MustCompile(want).Match(buf[:n]) {
				t.Errorf("%s: %q %v, want %s", c.address, buf[:n], err, want)
			}
		}
		d.posts.close()
	}
}

type packets struct{ net.PacketConn }

func (p packets) Read(b []byte) (int, error) {
	n, _, err := p.ReadFrom(b)
	return n, err
}

// A daemon that goes and comes back gets whole messages only, and what came meanwhile.
func TestSyslogOverTCPComesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	d := newDesk(t, sinkLog(topology.LogSyslog, "tcp://"+address, "rfc5424"))
	defer d.posts.close()
	next := func(r *bufio.Reader) string {
		size, err := r.ReadString(' ')
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(size))
		if err != nil {
			t.Fatal(err)
		}
		msg := make([]byte, n)
		if _, err := io.ReadFull(r, msg); err != nil {
			t.Fatal(err)
		}
		return string(msg)
	}
	d.forward(Stdout, "one\x00", strings.Repeat("y", 5000))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	if got := next(r); !strings.HasSuffix(got, "one\x00") {
		t.Errorf("%q", got)
	}
	if got := next(r); !strings.HasSuffix(got, "yyy") {
		t.Errorf("%q", got)
	}
	l.Close()
	c.Close()
	d.forward(Stdout, "while it was away")
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := next(bufio.NewReader(c)); !strings.HasSuffix(got, "while it was away") {
		t.Errorf("%q", got)
	}
}

func TestJournald(t *testing.T) {
	path, sock := listenUnixgram(t)
	d := newDesk(t, topology.Log{})
	d.posts.journal = path
	l := sinkLog(topology.LogJournald, "/dev/log", "")
	d.Rule(&l)
	defer d.posts.close()
	d.forward(Stderr, "<4>a\x00b")
	buf := make([]byte, 1<<16)
	n, err := sock.Read(buf)
	want := "PRIORITY=4\nSYSLOG_FACILITY=23\nSYSLOG_IDENTIFIER=cpu\nSYSLOG_PID=42\nDSAT_SATELLITE=cpu\nDSAT_WID=0\nDSAT_INCARNATION=7\nDSAT_STREAM=stderr\nMESSAGE=a\x00b\n"
	if err != nil || string(buf[:n]) != want {
		t.Fatalf("%q %v", buf[:n], err)
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sendLarge(c, []byte("MESSAGE=large\n")); err != nil {
		t.Fatal(err)
	}
	oob := make([]byte, 64)
	n, m, _, _, err := sock.ReadMsgUnix(buf, oob)
	if err != nil || n != 0 {
		t.Fatal(n, err)
	}
	parts, err := unix.ParseSocketControlMessage(oob[:m])
	if err != nil || len(parts) != 1 {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&parts[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "memfd")
	defer f.Close()
	if n, err := f.ReadAt(buf, 0); string(buf[:n]) != "MESSAGE=large\n" {
		t.Errorf("%q %v", buf[:n], err)
	}
}

// A sink that is dead, or that never reads, costs memory up to its bound and no time; what is lost is counted, at the end too.
func TestDeadSinks(t *testing.T) {
	path, _ := listenUnixgram(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, address := range []string{"/nowhere/log", path, "tcp://" + l.Addr().String()} {
		d := newDesk(t, sinkLog(topology.LogSyslog, address, "rfc5424"))
		const lines = 1000
		for range lines {
			d.forward(Stdout, strings.Repeat("x", 32<<10))
		}
		d.posts.close()
		f := d.posts.all[address]
		if f.sent.Load()+f.lost.Load() != lines || f.lost.Load() < 500 {
			t.Errorf("%s: %d sent, %d lost", address, f.sent.Load(), f.lost.Load())
		}
		d.forward(Stdout, "after the end")
		if f.letters != nil && len(f.letters.data) > 1<<10 {
			t.Error("kept for nobody")
		}
	}
}

func TestForwarderEndsInTheMiddleOfADial(t *testing.T) {
	d := newDesk(t, sinkLog(topology.LogSyslog, "tcp://127.0.0.1:1", "rfc5424"))
	dialled := make(chan struct{})
	f := d.Book.routes[0].to
	f.dial = func(ctx context.Context) (net.Conn, error) {
		close(dialled)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	d.forward(Stdout, "x")
	<-dialled
	d.posts.close()
	if f.lost.Load() != 1 {
		t.Errorf("%d lost", f.lost.Load())
	}
}

func TestSeverities(t *testing.T) {
	for text, want := range map[string]int{"<0>x": 0, "<7>": 7, "<8>x": -1, "<3x": -1, "": -1, "<>x": -1, "x<3>": -1} {
		if n, _, ok := severityOf([]byte(text)); ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d %v", text, n, ok)
		}
	}
}
