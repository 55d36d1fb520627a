package web

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/web/control"
)

func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	h := lived(t, `
[socket.web]
listen = "tcp://127.0.0.1:0"
[socket.lazy]
listen  = "unix://`+path+`"
start   = "on-demand"
backlog = 5
[socket.none]
listen = "tcp://127.0.0.1:1"
[satellite.shop]
command   = "sleep 1000"
sockets   = "web"
autostart = false
[satellite.lazy]
command = "sleep 1000"
sockets = "lazy"
`)
	c, err := net.Dial("tcp", read[control.Sockets](t, h.ask("tcp", "GET /v1/sockets", "")).Sockets[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := read[control.Sockets](t, h.ask("tcp", "GET /v1/sockets", ""))
	for n := range got.Sockets {
		if k := &got.Sockets[n]; k.State != "closed" && k.FD > 2 && !strings.HasSuffix(k.Address, ":0") {
			k.FD, k.Address = 9, strings.TrimPrefix(k.Address, filepath.Dir(path))
		}
	}
	got.Sockets[0].Address = ""
	want := control.Sockets{Stored: []control.Stored{}, Sockets: []control.Socket{
		{Name: "web", Network: "tcp", State: "open", FD: 9, Satellites: []string{"shop"}, Holders: []string{}, Waiting: 1, Backlog: 4096},
		{Name: "lazy", Network: "unix", Address: "/x.sock", State: "on-demand", FD: 9, Satellites: []string{"lazy"}, Holders: []string{}, Listening: []string{"lazy:0"}, Backlog: 5},
		{Name: "none", Network: "tcp", Address: "127.0.0.1:1", State: "closed", FD: -1, Satellites: []string{}, Holders: []string{}, Backlog: 4096},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
