package supervisor

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// stillHeld says that a process of ours has the socket, and that it cannot be taken from it.
type stillHeld struct{ text string }

func (e *stillHeld) Error() string { return e.text }

// regain takes a socket back from a process that a killed dsatd has left, whether that process is adopted or about to be ended: the
// socket is open as long as one of us has it, so that nobody is refused. It reports whether it did.
func (s *sockets) regain(k *topology.Socket, ref topology.Ref, left []recordEntry) bool {
	if len(left) == 0 {
		return false
	}
	bound := boundInodes(k, k.Address(ref.WID))
	for _, e := range left {
		if e.pid == 0 || k.Own() && e.ref != ref {
			continue
		}
		alive := e.living()
		if p, err := readStat(alive.pid); err != nil || p.kin != alive || p.dead() {
			continue
		}
		for _, holder := range append([]kin{alive}, descendants(alive.pid)...) {
			if fd, _ := takeFrom(holder, k, k.Address(ref.WID), bound); fd >= 0 {
				s.keep(k, ref, fd)
				s.log.Info("took back a socket that an earlier dsatd had opened", "socket", k.Name, "from", holder.pid)
				return true
			}
		}
	}
	return false
}

// contest is asked when an address is taken. A process of ours that has it gives it back; of others the error tells.
func (s *sockets) contest(k *topology.Socket, ref topology.Ref, taken error) (int, error) {
	bound := boundInodes(k, k.Address(ref.WID))
	pids, err := processes()
	if err != nil || len(bound) == 0 {
		return -1, taken
	}
	slices.Sort(pids)
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		if _, holds := holdsAny(pid, bound); !holds {
			continue
		}
		p, err := readStat(pid)
		if err != nil {
			continue
		}
		if envOf(pid, "DSAT_RUN")[0] != s.runDir {
			return -1, fmt.Errorf("%w: %s (pid %d) has it", taken, p.name, pid)
		}
		fd, err := takeFrom(p.kin, k, k.Address(ref.WID), bound)
		if fd >= 0 {
			return fd, nil
		}
		return -1, &stillHeld{fmt.Sprintf("%v: %s (pid %d), which an earlier dsatd has started, has it, and it cannot be taken back: %v%s", taken, p.name, pid, err, yama())}
	}
	return -1, fmt.Errorf("%w: another user's process has it, or one that cannot be seen from here", taken)
}

// yama names the setting that most often is in the way.
func yama() string {
	text, err := readSmall("/proc/sys/kernel/yama/ptrace_scope")
	if scope := strings.TrimSpace(string(text)); err == nil && scope != "0" {
		return " (kernel.yama.ptrace_scope is " + scope + ")"
	}
	return ""
}

// takeFrom duplicates a socket out of another process. Without known inodes, as where the kernel chose the port, the names it was told
// say which descriptor it is.
func takeFrom(holder kin, k *topology.Socket, address string, bound map[string]bool) (int, error) {
	fds := heldBy(holder.pid, bound)
	if len(bound) == 0 {
		names := strings.Split(envOf(holder.pid, "LISTEN_FDNAMES")[0], ":")
		if n := slices.Index(names, k.Name); n >= 0 {
			fds = []int{firstHanded + n}
		}
	}
	if len(fds) == 0 {
		return -1, errGone
	}
	v, err := hold(holder)
	if err != nil {
		return -1, err
	}
	defer v.letGo()
	for _, theirs := range fds {
		var fd int
		if fd, err = unix.PidfdGetfd(v.fd, theirs, 0); err != nil {
			continue
		}
		if matches(fd, k, address) {
			return fd, nil
		}
		unix.Close(fd)
		err = errGone
	}
	return -1, err
}

// heldBy lists the descriptors of a process that are one of these sockets.
func heldBy(pid int, bound map[string]bool) (fds []int) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := names(dir)
	if err != nil {
		return nil
	}
	for _, name := range list {
		target, err := os.Readlink(dir + "/" + name)
		if err != nil {
			continue // closed meanwhile
		}
		inode, is := strings.CutPrefix(target, "socket:[")
		if n, err := strconv.Atoi(name); is && err == nil && bound[strings.TrimSuffix(inode, "]")] {
			fds = append(fds, n)
		}
	}
	return fds
}

// matches reports whether a descriptor is the socket that is meant: its kind, its address, and that it listens.
func matches(fd int, k *topology.Socket, address string) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return false
	}
	want := map[string]int{
		topology.NetworkTCP: unix.SOCK_STREAM, topology.NetworkUDP: unix.SOCK_DGRAM, topology.NetworkUnix: unix.SOCK_STREAM,
		topology.NetworkUnixgram: unix.SOCK_DGRAM, topology.NetworkUnixpacket: unix.SOCK_SEQPACKET,
	}[k.Network()]
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); kind != want || err != nil || (listens == 1) != k.Streams() {
		return false
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	if a, ok := own.(*unix.SockaddrUnix); ok {
		return k.Unix() && a.Name == address
	}
	has, ok := addrPort(own)
	meant, err := inetAddress(address)
	if k.Unix() || !ok || err != nil {
		return false
	}
	sameHost := has.Addr().WithZone("") == meant.Addr().WithZone("") || has.Addr().IsUnspecified() && meant.Addr().IsUnspecified() && !meant.Addr().Is4()
	return sameHost && (has.Port() == meant.Port() || meant.Port() == 0)
}

func addrPort(a unix.Sockaddr) (netip.AddrPort, bool) {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), true
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), true
	}
	return netip.AddrPort{}, false
}

// nameOf is the address of an open socket as people write it: that of the topology, with the port it has.
func nameOf(fd int, k *topology.Socket, wid int) string {
	address := k.Address(wid)
	own, err := unix.Getsockname(fd)
	if err != nil || k.Unix() {
		return address
	}
	has, ok := addrPort(own)
	if i := strings.LastIndexByte(address, ':'); ok && i >= 0 {
		return address[:i+1] + strconv.Itoa(int(has.Port()))
	}
	return address
}

// boundInodes are the sockets of this network namespace that are bound to an address: those of the port, or of the path.
func boundInodes(k *topology.Socket, address string) map[string]bool {
	inodes := map[string]bool{}
	if k.Unix() {
		if text, err := os.ReadFile("/proc/net/unix"); err == nil {
			parseUnixSockets(text, address, inodes)
		}
		return inodes
	}
	state := "0A" // listens
	if !k.Streams() {
		state = "07" // not connected
	}
	to, err := inetAddress(address)
	if err != nil || to.Port() == 0 {
		return inodes
	}
	for _, version := range []string{"", "6"} {
		if text, err := os.ReadFile("/proc/net/" + k.Network() + version); err == nil {
			parseBound(text, int(to.Port()), state, inodes)
		}
	}
	return inodes
}

// parseUnixSockets reads /proc/net/unix (proc_pid_net(5)): field 7 is the inode, the rest the path.
func parseUnixSockets(text []byte, path string, inodes map[string]bool) {
	for line := range bytes.Lines(text) {
		f := strings.SplitN(strings.TrimRight(string(line), "\n"), " ", 2)
		if len(f) < 2 {
			continue
		}
		rest := strings.TrimSuffix(f[1], " "+path)
		if fields := strings.Fields(rest); rest != f[1] && len(fields) == 6 {
			inodes[fields[5]] = true
		}
	}
}
