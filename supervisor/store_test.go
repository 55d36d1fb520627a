package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// pairOf is a socket and its other end.
func pairOf(t *testing.T) (ours, theirs int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p[0], p[1]
}

func isShut(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == unix.EBADF
}

// TestStoreHandedDown: what a life left the next one has, behind its sockets, until it is stopped by hand.
func TestStoreHandedDown(t *testing.T) {
	for _, preserve := range []bool{false, true} {
		t.Run(fmt.Sprintf("preserve=%v", preserve), func(t *testing.T) {
			s := satelliteOf("shop", "env", "")
			s.Sockets, s.FDStore, s.FDStorePreserve = []string{"web"}, 3, preserve
			r := start(t, []*topology.Satellite{s}, withSockets(tcpSocket("web")))
			r.booted()
			it := ref("shop", 0)
			r.line(it, "end")
			if text := strings.Join(r.told(it), "\n"); !strings.Contains(text, "LISTEN_FDNAMES=web\n") {
				t.Fatal(text)
			}
			a, b := pairOf(t)
			file, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			fileFD, err := unix.Dup(int(file.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			r.store.keep(it, "client", []int{a}, true)
			r.store.keep(it, "bad:name", []int{fileFD}, true) // a file cannot hang up
			old := r.status(it).PID
			kill9(t, old)
			r.until(it, "back", func(st InstanceStatus) bool { return st.State == Running && st.PID != old })
			r.line(it, "LISTEN_FDNAMES=web:client:stored")
			r.line(it, "LISTEN_FDS=3")
			r.line(it, "fd 5 "+file.Name())
			if got := r.Stored(); len(got) != 1 || got[0].Ref != it || !slices.Equal(got[0].Names, []string{"client", "stored"}) {
				t.Errorf("stored %v", got)
			}
			if _, err := r.Stop(t.Context(), []topology.Ref{it}); err != nil {
				t.Fatal(err)
			}
			if got := r.store.names(it); (len(got) > 0) != preserve {
				t.Errorf("after a stop it has %v", got)
			}
			unix.Close(b)
		})
	}
}

func newStoreOf(t *testing.T, limit int) *store {
	t.Helper()
	o, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() { defer close(done); o.run(ctx) }()
	s := newStore(slog.New(slog.DiscardHandler), o, func(topology.Ref) int { return limit })
	t.Cleanup(func() {
		stop()
		<-done
		s.end()
		o.end()
	})
	return s
}

func TestStoreIsBounded(t *testing.T) {
	s, it := newStoreOf(t, 2), ref("x", 0)
	var all []int
	for range 4 {
		a, b := pairOf(t)
		defer unix.Close(b)
		all = append(all, a)
	}
	s.keep(it, "one", all[:1], false)
	again, err := unix.Dup(all[0])
	if err != nil {
		t.Fatal(err)
	}
	s.keep(it, "again", []int{again}, false) // the same socket
	s.keep(it, "more", all[1:], false)
	if got := s.names(it); !slices.Equal(got, []string{"one", "more"}) {
		t.Errorf("it keeps %v", got)
	}
	if !isShut(again) || isShut(all[0]) || isShut(all[1]) || !isShut(all[2]) || !isShut(all[3]) {
		t.Error("what is not kept has to be closed, and nothing else")
	}
	s.drop(it, "one")
	if got := s.names(it); !isShut(all[0]) || !slices.Equal(got, []string{"more"}) {
		t.Errorf("it keeps %v", got)
	}
	s.rest(it)
	if !isShut(all[1]) || len(s.kept) != 0 {
		t.Error("something is kept")
	}
}

// TestStoreForgetsWhatHangsUp: with poll only.
func TestStoreForgetsWhatHangsUp(t *testing.T) {
	s, it := newStoreOf(t, 5), ref("x", 0)
	gone := make(chan struct{})
	a, b := pairOf(t)
	c, d := pairOf(t)
	s.keep(it, "plain", []int{a}, false)
	s.keep(it, "polled", []int{c}, true)
	unix.Close(b)
	unix.Close(d)
	go func() {
		for len(s.names(it)) > 1 {
			o := s.output
			if o.alive(t.Context()) != nil { // a turn of the loop, which has seen it then
				return
			}
		}
		close(gone)
	}()
	select {
	case <-gone:
	case <-t.Context().Done():
		t.Fatal("it is kept for ever")
	}
	if got := s.names(it); !slices.Equal(got, []string{"plain"}) {
		t.Errorf("it keeps %v", got)
	}
}

// TestHandover: another dsatd has the same sockets and the same store, by their keys.
func TestHandover(t *testing.T) {
	s, it := newStoreOf(t, 5), ref("x", 7)
	a, b := pairOf(t)
	c, d := pairOf(t)
	defer unix.Close(b)
	defer unix.Close(d)
	s.keep(it, "same", []int{a}, true)
	s.keep(it, "same", []int{c}, false)
	keys := s.handover()
	inherited := make(map[string]int)
	for key, fd := range keys {
		if !strings.HasPrefix(key, "store.x.7.same:") {
			t.Errorf("key %q", key)
		}
		var err error
		if inherited[key], err = unix.Dup(fd); err != nil {
			t.Fatal(err)
		}
	}
	next := newStoreOf(t, 5)
	next.inherit(inherited)
	got := next.names(it)
	next.mu.Lock()
	if !slices.Equal(got, []string{"same", "same"}) || next.kept[it][0].watch == 0 || next.kept[it][1].watch != 0 {
		t.Errorf("the next one keeps %v", got)
	}
	next.mu.Unlock()

	dir, web, own := t.TempDir(), tcpSocket("web"), tcpSocket("own")
	own.Listen, own.ReusePort = "tcp://"+freePort(t), true
	sat := satelliteOf("site", "pause", "")
	sat.Sockets, sat.Instances = []string{"web", "own"}, 2
	topo := &topology.Topology{Satellites: []*topology.Satellite{sat}, Sockets: []*topology.Socket{web, own}}
	first := newSockets(dir, slog.New(slog.DiscardHandler))
	if err := first.begin(topo, nil, nil); err != nil {
		t.Fatal(err)
	}
	inherited, port := make(map[string]int), first.words(topo, sat, 0)
	for key, fd := range first.handover() {
		var err error
		if inherited[key], err = unix.Dup(fd); err != nil {
			t.Fatal(err)
		}
	}
	if len(inherited) != 3 || inherited["socket.own.site:1"] == 0 {
		t.Errorf("handed over: %v", inherited)
	}
	stale, other := pairOf(t)
	defer unix.Close(other)
	inherited["socket.gone"] = stale
	first.end()
	second := newSockets(dir, slog.New(slog.DiscardHandler))
	if err := second.begin(topo, inherited, nil); err != nil {
		t.Fatal(err)
	}
	defer second.end()
	if got := second.words(topo, sat, 0); !slices.Equal(got, port) {
		t.Errorf("it was %v, and is %v", port, got)
	}
	if !isShut(stale) {
		t.Error("a socket that is gone from the topology is still open")
	}
}
