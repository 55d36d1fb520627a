package plug_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/bus/wire"
)

// served is a satellite in this process: how to open a stream of it, and how to dial it.
type served struct {
	path string
	conn *plug.Conn
}

func (s served) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", s.path)
}

func serveOn(t *testing.T, srv *grpc.Server, serve func(*plug.Stream) error) served {
	t.Helper()
	dir, err := os.MkdirTemp("", "lane") // a path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	plug.Register(srv, serve)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	cc, err := grpc.NewClient("unix:"+path, append(plug.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cc.Close()
		srv.Stop()
		<-done
		_ = os.RemoveAll(dir)
	})
	return served{path, plug.NewConn(cc)}
}

func withLanes(t *testing.T, serve func(*plug.Stream) error) served {
	t.Helper()
	return serveOn(t, plug.NewServer(nil), serve)
}

// frameOf is a frame with one message of so many bytes.
func frameOf(size int) []byte {
	var b wire.Builder
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i * 7)
	}
	b.Add(&wire.Header{Kind: wire.Data, N: uint64(size)}, body)
	return b.Frame()
}

func TestFramesComeBackByLaneAndByStream(t *testing.T) {
	for name, s := range map[string]served{
		"lane":   withLanes(t, echo),
		"stream": serveOn(t, grpc.NewServer(grpc.MaxRecvMsgSize(wire.MaxMessage)), echo), // a satellite of before: it hangs up on who hails
	} {
		t.Run(name, func(t *testing.T) {
			st, err := s.conn.OpenLane(t.Context(), s.dial)
			if err != nil {
				t.Fatal(err)
			}
			var buf []byte
			for _, size := range []int{0, 1, 64, 4 << 10, 60 << 10, 3 << 20, 100, wire.MaxBody, 7} {
				want := frameOf(size)
				sent := make(chan error, 1)
				go func() { sent <- st.Send(want) }()
				if buf, err = st.Recv(buf); err != nil {
					t.Fatal(err)
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				if string(buf) != string(want) {
					t.Fatalf("%d bytes came back changed", size)
				}
			}
			if err := st.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if _, err := st.Recv(buf); !errors.Is(err, io.EOF) {
				t.Fatalf("after the end: %v, want EOF", err)
			}
		})
	}
}

func TestWhatWasSentBeforeTheEndOfALaneIsRead(t *testing.T) {
	const frames = 50
	s := withLanes(t, func(st *plug.Stream) error {
		for range frames {
			if err := st.Send(frameOf(1000)); err != nil {
				return err
			}
		}
		return errors.New("it broke down")
	})
	st, err := s.conn.OpenLane(t.Context(), s.dial)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Send(frameOf(10)); err != nil { // it never reads it
		t.Fatal(err)
	}
	for i := range frames {
		if _, err := st.Recv(nil); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	if _, err := st.Recv(nil); err == nil || !strings.Contains(err.Error(), "it broke down") {
		t.Fatalf("%v, want what its stream ended with", err)
	}
}

func TestTheEndOfTheContextEndsASendThatWaits(t *testing.T) {
	quit := make(chan struct{})
	s := withLanes(t, func(st *plug.Stream) error {
		<-st.Context().Done() // it never reads
		close(quit)
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	st, err := s.conn.OpenLane(ctx, s.dial)
	if err != nil {
		t.Fatal(err)
	}
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		f := frameOf(1 << 20)
		for st.Send(f) == nil {
		}
	}()
	cancel()
	<-cancelled
	<-quit
	if _, err := st.Recv(nil); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("%v, want the end of the context", err)
	}
}

func TestNoFramesOnALane(t *testing.T) {
	good := frameOf(8)
	var huge, short, other [16]byte
	copy(huge[:], good)
	copy(huge[8:], []byte{0, 0, 0, 0x7f})
	copy(short[:], good)
	copy(short[8:], []byte{15, 0, 0, 0})
	copy(other[:], "GET / HTTP/1.1\r\n")
	for name, sent := range map[string][]byte{"longer than any": huge[:], "shorter than its header": short[:], "another protocol": other[:], "cut": good[:40], "cut in its header": good[:7]} {
		t.Run(name, func(t *testing.T) {
			s := withLanes(t, func(st *plug.Stream) error { return st.Send(sent) })
			st, err := s.conn.OpenLane(t.Context(), s.dial)
			if err != nil {
				t.Fatal(err)
			}
			if f, err := st.Recv(nil); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "cannot read a frame") {
				t.Fatalf("%s, %v", hex.EncodeToString(f), err)
			}
		})
	}
}

// A daemon that is killed between hailing and opening its stream leaves a lane behind: they do not add up.
func TestLanesThatNobodyTakesAreClosed(t *testing.T) {
	s := withLanes(t, echo)
	var left []net.Conn
	for i := range 20 {
		c, err := s.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write(append([]byte("DSATLAN1"), byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		left = append(left, c)
	}
	for _, c := range left[:16] {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("%v, want its end", err)
		}
	}
	if _, err := s.conn.OpenLane(t.Context(), s.dial); err != nil {
		t.Fatal(err)
	}
}

func TestALaneAllocatesNothing(t *testing.T) {
	s := withLanes(t, echo)
	st, err := s.conn.OpenLane(t.Context(), s.dial)
	if err != nil {
		t.Fatal(err)
	}
	f, buf := frameOf(1000), make([]byte, 0, 2000)
	allocs := testing.AllocsPerRun(500, func() {
		if err := st.Send(f); err != nil {
			t.Fatal(err)
		}
		if buf, err = st.Recv(buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for a frame there and back", allocs)
	}
}
