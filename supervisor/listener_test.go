package supervisor

import (
	"net"
	"os"
	"testing"

	"github.com/dsat/dsat/topology"
)

func TestLocalPort(t *testing.T) {
	for target, want := range map[string]int{
		"127.0.0.1:80": 80, "localhost:9556": 9556, "[::1]:1": 1, "http://127.0.0.1:8080/x": 8080, "http://localhost/": 80,
		"https://localhost/": 443, "10.0.0.1:80": -1, "example.org:80": -1, "http://example.org/": -1, "nonsense": -1, "": -1,
	} {
		port, local := localPort(target)
		if !local {
			port = -1
		}
		if port != want {
			t.Errorf("%q: port %d, want %d", target, port, want)
		}
	}
}

// The story: somebody else's server on the port vouched for a process that was about to fail on it, again and again.
func TestForeignAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ready := topology.Ready{Kind: topology.ReadyTCP, TCP: l.Addr().String()}
	if who := foreign(ready, 0, os.Getpid()); who != "" {
		t.Errorf("our own listener: %q", who)
	}
	if known, _ := holdsAny(1, nil); !known {
		t.Skip("the descriptors of other processes may not be seen by this user")
	}
	inodes := listeners(l.Addr().(*net.TCPAddr).Port)
	if len(inodes) != 1 {
		t.Fatalf("%d sockets listen on our port", len(inodes))
	}
	if _, holds := holdsAny(os.Getpid(), inodes); !holds {
		t.Error("our own socket was not found")
	}
	if _, holds := holdsAny(1, inodes); holds {
		t.Error("process 1 has our socket")
	}
	l.Close()
	if who := foreign(ready, 0, 1); who != "" {
		t.Errorf("nobody listens: %q", who)
	}
}

func FuzzListeners(f *testing.F) {
	f.Add([]byte("  sl  local_address rem_address   st\n   0: 0100007F:2553 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		inodes := map[string]bool{}
		parseBound(text, 9555, "0A", inodes)
	})
}
