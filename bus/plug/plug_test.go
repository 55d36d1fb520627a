package plug_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthgrpc "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/dsat/dsat/bus/plug"
)

// dial serves the stream in this process and connects to it over a unix socket.
func dial(t *testing.T, serve func(*plug.Stream) error) *grpc.ClientConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := plug.NewServer(nil)
	plug.Register(srv, serve)
	grpc_health_v1.RegisterHealthServer(srv, healthgrpc.NewServer())
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
	})
	return cc
}

func echo(s *plug.Stream) error {
	var buf []byte
	for {
		f, err := s.Recv(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(f); err != nil {
			return err
		}
		buf = f
	}
}

func TestStreamCarriesFramesOfAllSizes(t *testing.T) {
	s, err := plug.NewConn(dial(t, echo)).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var buf []byte
	for _, size := range []int{0, 1, 64, 64 << 10, 3 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7)
		}
		if err := s.Send(want); err != nil {
			t.Fatal(err)
		}
		got, err := s.Recv(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("size %d: came back changed", size)
		}
		buf = got
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(buf); !errors.Is(err, io.EOF) {
		t.Fatalf("after the end: %v, want EOF", err)
	}
}

// A codec forced on a whole connection breaks go-plugin's own services; ours must not.
func TestOtherServicesOfTheConnectionStillWork(t *testing.T) {
	cc := dial(t, echo)
	if _, err := plug.NewConn(cc).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := grpc_health_v1.NewHealthClient(cc).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
}
