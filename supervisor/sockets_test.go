package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// tcpSocket listens on a port of the kernel's choice, on loopback.
func tcpSocket(name string) *topology.Socket {
	return &topology.Socket{Name: name, Listen: "tcp://127.0.0.1:0", Start: topology.StartAlways, Backlog: 4096}
}

func withSockets(all ...*topology.Socket) option {
	return func(c *Config) { c.Topology.Sockets = all }
}

// address is where a socket of the rig listens.
func (r *rig) address(name string) string {
	r.t.Helper()
	for _, s := range r.Sockets() {
		if s.Name == name && s.Open {
			return s.Address
		}
	}
	r.t.Fatalf("socket %s is not open", name)
	return ""
}

// booted starts what starts by itself.
func (r *rig) booted() {
	r.t.Helper()
	if err := r.Boot(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// told is what an instance has written.
func (r *rig) told(of topology.Ref) []string { return r.find(of).book.Last(1000, 0) }

// ask connects and reads what the process at the other end says of itself.
func ask(t *testing.T, network, address string) string {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("nobody answers at %s: %v", address, err)
	}
	return string(buf[:n])
}

func TestSocketsHandedDown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "x.sock")
	mode := uint32(0o620)
	own := tcpSocket("own")
	shop := satelliteOf("shop", "env", "${socket.web.fd} ${socket.web.port} ${socket.file.fd} ${socket.file.address}")
	shop.Sockets, shop.Options = []string{"web", "file"}, map[string]any{"port": "${socket.web.port}", "at": "${socket.file.address}"}
	other := satelliteOf("other", "env", "")
	r := start(t, []*topology.Satellite{shop, other}, withSockets(tcpSocket("web"), own,
		&topology.Socket{Name: "file", Listen: "unix://" + path, Backlog: 5, Mode: &mode}))
	r.booted()
	r.line(ref("shop", 0), "end")
	r.line(ref("other", 0), "end")
	web := r.address("web")
	_, port, _ := net.SplitHostPort(web)
	pid := r.status(ref("shop", 0)).PID
	lines := r.told(ref("shop", 0))
	for _, want := range []string{
		"LISTEN_FDS=2", "LISTEN_FDNAMES=web:file", fmt.Sprintf("LISTEN_PID=%d", pid), "DSAT_ARG=3 " + port + " 4 " + path,
		fmt.Sprintf(`DSAT_OPTIONS={"at":"%s","port":"%s"}`, path, port),
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in %q", want, lines)
		}
	}
	if text := strings.Join(r.told(ref("other", 0)), "\n"); strings.Contains(text, "LISTEN_") {
		t.Errorf("other is told of sockets: %s", text)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("the file is %v, %v", info, err)
	}
	r.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its file is still there: %v", err)
	}
}

// TestNothingLeaks lists what children have open: their standard descriptors, and what they were granted.
func TestNothingLeaks(t *testing.T) {
	var all []*topology.Satellite
	for name, granted := range map[string][]string{"none": nil, "one": {"b"}, "both": {"b", "a"}} {
		s := satelliteOf(name, "", "")
		s.Command, s.Sockets = []string{"sh", "-c", "echo up; sleep 1000; true"}, granted
		nice := 1
		limited := *s
		limited.Name, limited.Process.Nice = name+"-shim", &nice
		all = append(all, s, &limited)
	}
	for n := range 10 { // much is open in dsatd
		all = append(all, satelliteOf(fmt.Sprint("more-", n), "pause", ""))
	}
	r := start(t, all, withSockets(tcpSocket("a"), tcpSocket("b")))
	r.booted()
	for _, s := range all[:6] {
		r.line(ref(s.Name, 0), "up") // nor is a loader at work any more
		pid := r.status(ref(s.Name, 0)).PID
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		want := []string{"0", "1", "2", "3", "4"}[:3+len(s.Sockets)]
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", s.Name, got, want)
		}
		for n, name := range s.Sockets {
			theirs, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, 3+n))
			ours, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.held()["socket."+name]))
			if theirs != ours || !strings.HasPrefix(ours, "socket:") {
				t.Errorf("%s: descriptor %d is %s, and socket %s is %s", s.Name, 3+n, theirs, name, ours)
			}
		}
	}
}

// TestSocketsKeptOpen restarts and kills a server under clients that never stop: none is refused.
func TestSocketsKeptOpen(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("reuse_port=%v", reuse), func(t *testing.T) {
			k := tcpSocket("web")
			if k.ReusePort = reuse; reuse {
				k.Listen = "tcp://" + freePort(t)
			}
			s := satelliteOf("site", "answer", "")
			s.Sockets, s.Instances, s.Restart.Limit = []string{"web"}, 2, 0
			r := start(t, []*topology.Satellite{s}, withSockets(k))
			r.booted()
			address := r.address("web")
			stop, refused := make(chan struct{}), make(chan error, 8)
			for range 4 {
				go func() {
					var failed error
					for failed == nil {
						select {
						case <-stop:
							refused <- nil
							return
						default:
						}
						var c net.Conn
						if c, failed = net.Dial("tcp", address); failed == nil {
							c.Close()
						}
					}
					refused <- failed
				}()
			}
			for n := range 6 {
				it := ref("site", n%2)
				if n < 3 {
					if _, err := r.Restart(t.Context(), []topology.Ref{it}); err != nil {
						t.Error(err)
					}
				} else {
					old := r.status(it).PID
					kill9(t, old)
					r.until(it, "replaced", func(st InstanceStatus) bool { return st.State == Running && st.PID != old })
				}
			}
			close(stop)
			for range 4 {
				if err := <-refused; err != nil {
					t.Errorf("a client was refused: %v", err)
				}
			}
			if got := ask(t, "tcp", address); !strings.HasPrefix(got, "site:") {
				t.Errorf("answer %q", got)
			}
		})
	}
}

// TestSocketsOwn: each instance has its port while it is wanted, also those that are scaled up.
func TestSocketsOwn(t *testing.T) {
	k := &topology.Socket{Name: "shard", Listen: "unix://" + t.TempDir() + "/${instance}.sock", PerInstance: true, Backlog: 5}
	s := satelliteOf("shard", "answer", "")
	s.Sockets, s.Instances = []string{"shard"}, 2
	r := start(t, []*topology.Satellite{s}, withSockets(k))
	r.booted()
	if _, err := r.Scale(t.Context(), "shard", 3); err != nil {
		t.Fatal(err)
	}
	for wid := range 3 {
		if got := ask(t, "unix", k.Address(wid)); !strings.HasPrefix(got, fmt.Sprintf("shard:%d ", wid)) {
			t.Errorf("instance %d: answer %q", wid, got)
		}
	}
	if _, err := r.Scale(t.Context(), "shard", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(k.Address(2)); err == nil {
		t.Error("the socket of an instance that is gone is still there")
	}
	if got := ask(t, "unix", k.Address(0)); !strings.HasPrefix(got, "shard:0 ") {
		t.Errorf("answer %q", got)
	}
}

func TestSocketTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k := tcpSocket("web")
	k.Listen = "tcp://" + l.Addr().String()
	fd, err := bind(k, 0)
	if err == nil {
		unix.Close(fd)
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("error %v", err)
	}
	s := newSockets(t.TempDir(), slog.New(slog.DiscardHandler))
	if _, err := s.ensure(k, topology.Ref{}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}

// TestUnixSocketReplaced: one that a dead process left is replaced, a live one and what is no socket never.
func TestUnixSocketReplaced(t *testing.T) {
	dir := t.TempDir()
	for _, network := range []string{topology.NetworkUnix, topology.NetworkUnixgram, topology.NetworkUnixpacket} {
		k := &topology.Socket{Name: "x", Listen: network + "://" + dir + "/" + network, Backlog: 1}
		first, err := bind(k, 0)
		if err != nil {
			t.Fatal(err)
		}
		if fd, err := bind(k, 0); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s: a live socket was taken: %d, %v", network, fd, err)
		}
		unix.Close(first) // as a death does; its file stays
		second, err := bind(k, 0)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if !matches(second, k, k.Address(0)) || matches(second, tcpSocket("y"), "127.0.0.1:0") {
			t.Errorf("%s does not match itself", network)
		}
		unix.Close(second)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bind(&topology.Socket{Name: "x", Listen: "unix://" + file, Backlog: 1}, 0); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestBindErrors(t *testing.T) {
	for listen, want := range map[string]string{
		"tcp://127.0.0.1:65536":    "no port 65536",
		"tcp://203.0.113.7:0":      "free_bind",
		"tcp://[fe80::1%none]:1":   "no interface none",
		"unix:///proc/none/x.sock": "cannot make its directory",
	} {
		fd, err := bind(&topology.Socket{Name: "x", Listen: listen, Backlog: 1}, 0)
		if err == nil {
			unix.Close(fd)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", listen, err, want)
		}
	}
}

func TestSocketOptions(t *testing.T) {
	k := &topology.Socket{Name: "x", Listen: "tcp://[::1]:0", Backlog: 1, IPv6Only: true, ReusePort: true, FreeBind: true, KeepAlive: true, NoDelay: true, ReceiveBuf: 8192, SendBuf: 8192}
	fd, err := bind(k, 0)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("no IPv6 here")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for name, o := range map[string][2]int{
		"reuse_port": {unix.SOL_SOCKET, unix.SO_REUSEPORT}, "reuse_addr": {unix.SOL_SOCKET, unix.SO_REUSEADDR}, "ipv6_only": {unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
		"keep_alive": {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, "no_delay": {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		if v, err := unix.GetsockoptInt(fd, o[0], o[1]); err != nil || v != 1 {
			t.Errorf("%s is %d, %v", name, v, err)
		}
	}
	if v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil || v != 16384 { // the kernel doubles it
		t.Errorf("receive_buffer is %d, %v", v, err)
	}
}

// TestOnDemand: nothing runs until somebody connects; a good end is sleep, and a stop by hand deafness.
func TestOnDemand(t *testing.T) {
	k := tcpSocket("web")
	k.Start = topology.StartOnDemand
	s := satelliteOf("site", "answer", "1")
	s.Sockets = []string{"web"}
	after := satelliteOf("after", "pause", "")
	after.Needs = []topology.Need{{Name: "site", Stage: topology.StageReady}}
	r := start(t, []*topology.Satellite{s, after}, withSockets(k))
	r.booted() // after does not wait for site: its socket takes connections
	if st := r.status(ref("site", 0)); st.State != Stopped || st.PID != 0 || !strings.Contains(st.Why, "is started by the first connection to 127.0.0.1:") {
		t.Fatalf("%+v", st)
	}
	for range 3 { // it takes one connection and ends
		if got := ask(t, "tcp", r.address("web")); !strings.HasPrefix(got, "site:0 ") {
			t.Fatalf("answer %q", got)
		}
		r.until(ref("site", 0), "asleep", func(st InstanceStatus) bool {
			return st.State == Exited && strings.Contains(st.Why, "first connection")
		})
	}
	if _, err := r.Stop(t.Context(), []topology.Ref{{Name: "site"}}); err != nil {
		t.Fatal(err)
	}
	if st := r.status(ref("site", 0)); st.State != Stopped || strings.Contains(st.Why, "first connection") {
		t.Errorf("%+v", st)
	}
	if r.ears.all[r.find(topology.Ref{Name: "site"})] != nil {
		t.Error("it still listens")
	}
	if res, err := r.Start(t.Context(), []topology.Ref{{Name: "site"}}); err != nil || res[0].Err != nil {
		t.Errorf("start by hand: %v, %v", res, err)
	}
}

// TestOnDemandDatagram: a datagram starts it, and is there when it reads.
func TestOnDemandDatagram(t *testing.T) {
	k := &topology.Socket{Name: "in", Listen: "unixgram://" + t.TempDir() + "/in", Start: topology.StartOnDemand}
	s := satelliteOf("reader", "datagram", "")
	s.Sockets = []string{"in"}
	r := start(t, []*topology.Satellite{s}, withSockets(k))
	r.booted()
	c, err := net.Dial("unixgram", k.Address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("first words")); err != nil {
		t.Fatal(err)
	}
	r.line(ref("reader", 0), "got first words")
}

// TestOnDemandSpin: one that ends well and takes nothing is slowed down, and given up.
func TestOnDemandSpin(t *testing.T) {
	k := tcpSocket("web")
	k.Start = topology.StartOnDemand
	s := satelliteOf("site", "exit", "0")
	s.Sockets, s.Restart.Backoff.Max = []string{"web"}, time.Millisecond
	r := start(t, []*topology.Satellite{s}, withSockets(k))
	r.booted()
	c, err := net.Dial("tcp", r.address("web"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.until(ref("site", 0), "fatal", func(st InstanceStatus) bool { return st.State == Fatal })
	if st := r.status(ref("site", 0)); !strings.Contains(st.Why, "leaves what waits") {
		t.Errorf("%+v", st)
	}
}

// TestDemanded: never more starts in a window than may be, unless each found nobody waiting.
func TestDemanded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := topology.Restart{Limit: rapid.IntRange(0, 5).Draw(rt, "limit"), Window: time.Minute, Backoff: topology.Backoff{Initial: time.Millisecond, Factor: 2, Max: time.Second}}
		var h history
		now, waited := time.Now(), 0
		for range rapid.IntRange(1, 40).Draw(rt, "demands") {
			idle := time.Duration(rapid.SampledFrom([]int{0, 1, 249, 250, 5000}).Draw(rt, "idle")) * time.Millisecond
			v, wait, next := demanded(p, h, idle, now, 0.5)
			if h = next; idle >= settled {
				if v != again || wait != 0 {
					rt.Fatalf("a new connection was not served: %v after %s", v, wait)
				}
				waited = 0
			}
			if waited++; p.Limit > 0 && waited > p.Limit && v != giveUp {
				rt.Fatalf("%d starts without a listening between", waited)
			}
			if v == giveUp {
				return
			}
			if waited > 1 && waited < 2 && wait != 0 {
				rt.Fatalf("the first waits %s", wait)
			}
			h.started(p, now)
			now = now.Add(wait)
		}
	})
}

// TestSocketsSurvive: a dsatd that was killed leaves the socket with its process, and the next takes it back from there.
func TestSocketsSurvive(t *testing.T) {
	for _, adopted := range []bool{true, false} {
		t.Run(fmt.Sprintf("adopted=%v", adopted), func(t *testing.T) {
			dir := t.TempDir()
			k := tcpSocket("web")
			k.Listen = "tcp://" + freePort(t)
			file := &topology.Socket{Name: "file", Listen: "unix://" + dir + "/x.sock", Backlog: 7}
			k6 := tcpSocket("any") // the kernel's port stays what it was
			fds := make([]int, 3)
			for n, s := range []*topology.Socket{k, file, k6} {
				var err error
				if fds[n], err = bind(s, 0); err != nil {
					t.Fatal(err)
				}
			}
			port := nameOf(fds[2], k6, 0)
			s := satelliteOf("site", "answer", "")
			s.Sockets = []string{"web", "file", "any"}
			pid, err := syscall.ForkExec("/proc/self/exe", []string{"site"}, &syscall.ProcAttr{
				Env:   append(os.Environ(), "DSAT_ACT=pause", "DSAT_RUN="+dir, "LISTEN_FDS=3", "LISTEN_FDNAMES=web:file:any"),
				Files: []uintptr{0, 1, 2, uintptr(fds[0]), uintptr(fds[1]), uintptr(fds[2])},
				Sys:   &syscall.SysProcAttr{Setsid: true},
			})
			for _, fd := range fds {
				unix.Close(fd)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = unix.Kill(pid, unix.SIGKILL)
				_, _ = syscall.Wait4(pid, nil, 0, nil)
			}()
			left := []recordEntry{{recordKey: recordKey{ref: topology.Ref{Name: "site"}}, kin: kin{pid, startTime(pid)}}}
			if !adopted { // not in the record: known by its environment alone
				left, s.Sockets = nil, []string{"web", "file"}
			}
			all := newSockets(dir, slog.New(slog.DiscardHandler))
			topo := &topology.Topology{Satellites: []*topology.Satellite{s}, Sockets: []*topology.Socket{k, file, k6}}
			if err := all.begin(topo, nil, left); err != nil {
				t.Fatal(err)
			}
			defer all.end()
			words := strings.Join(all.words(topo, s, 0), " ")
			if adopted && !strings.Contains(words, port) {
				t.Errorf("the port was %s, and is now in %s", port, words)
			}
			_ = unix.Kill(pid, unix.SIGKILL)
			for _, target := range [][2]string{{"tcp", k.Address(0)}, {"unix", file.Address(0)}} {
				c, err := net.Dial(target[0], target[1])
				if err != nil {
					t.Errorf("refused after its process was gone: %v", err)
					continue
				}
				c.Close()
			}
		})
	}
}

func TestParseUnixSockets(t *testing.T) {
	text := "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01 14061 /run/a b.sock\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01 14062 /x/run/a b.sock\n" +
		"0000000000000000: 00000003 00000000 00000000 0001 03 14063\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01 14064 @abstract\nrubbish\n\n"
	for path, want := range map[string]string{"/run/a b.sock": "14061", "@abstract": "14064", "/run/b.sock": "", "b.sock": ""} {
		inodes := map[string]bool{}
		parseUnixSockets([]byte(text), path, inodes)
		if want == "" && len(inodes) > 0 || want != "" && (len(inodes) != 1 || !inodes[want]) {
			t.Errorf("%s: %v", path, inodes)
		}
	}
}

// TestDozeInTime: what the listening lasted decides, not how often it was asked.
func TestDozeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stage{sleeps: true}
		i := newInstance(topology.Ref{Name: "x"}, satelliteOf("x", "", ""), w)
		i.post(event{kind: evListen})
		synctest.Wait()
		for n := range 30 { // far more than its limit
			time.Sleep(settled)
			i.post(event{kind: evDemand, seq: w.ear})
			synctest.Wait()
			if st := i.status.Load(); st.State != Starting {
				t.Fatalf("demand %d: %+v", n, st)
			}
			a := w.lives[len(w.lives)-1]
			a.forked, a.started = true, time.Now()
			i.post(event{kind: evSpawned, life: a.life})
			i.post(event{kind: evExit, life: a.life})
			i.post(event{kind: evSwept, life: a.life})
			synctest.Wait()
		}
	})
}
