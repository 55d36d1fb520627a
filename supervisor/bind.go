package supervisor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// bind opens a socket as the instance of that number has it. The descriptor is closed by an exec, and blocks: what a satellite makes of
// that is its own, but it shares it with those that have the same socket.
func bind(k *topology.Socket, wid int) (int, error) {
	if k.Unix() {
		return bindUnix(k, k.Address(wid))
	}
	address, err := inetAddress(k.Address(wid))
	if err != nil {
		return -1, err
	}
	fd, err := bindInet(k, address)
	if errors.Is(err, unix.EAFNOSUPPORT) && address.Addr().IsUnspecified() && !k.IPv6Only {
		fd, err = bindInet(k, netip.AddrPortFrom(netip.IPv4Unspecified(), address.Port())) // a machine without IPv6
	}
	return fd, err
}

// inetAddress reads "host:port"; without a host it is every address.
func inetAddress(text string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("there is no port %s: the last one is 65535", port)
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(number)), nil
	}
	addr, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(addr, uint16(number)), err
}

func bindInet(k *topology.Socket, address netip.AddrPort) (int, error) {
	domain, kind := unix.AF_INET6, unix.SOCK_STREAM
	if address.Addr().Is4() {
		domain = unix.AF_INET
	}
	if !k.Streams() {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	to, err := sockaddr(address)
	if err == nil {
		err = inetOptions(fd, k, domain)
	}
	if err == nil {
		err = unix.Bind(fd, to)
	}
	if err == nil && k.Streams() {
		err = unix.Listen(fd, k.Backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, explainBind(err, address)
	}
	return fd, nil
}

func explainBind(err error, address netip.AddrPort) error {
	switch {
	case errors.Is(err, unix.EACCES) && address.Port() < 1024:
		return fmt.Errorf("%w: ports below 1024 are for root, or for CAP_NET_BIND_SERVICE", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine does not have the address; free_bind = true takes it all the same", err)
	}
	return err
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	out := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("there is no interface %s", zone)
		}
		out.ZoneId = uint32(link.Index)
	}
	return out, nil
}

// sockOption is one setsockopt, with the word of the topology for it.
type sockOption struct {
	name        string
	level, what int
	value       int
	wanted      bool
}

func inetOptions(fd int, k *topology.Socket, domain int) error {
	free, transparent, level := unix.IP_FREEBIND, unix.IP_TRANSPARENT, unix.IPPROTO_IP
	if domain == unix.AF_INET6 {
		free, transparent, level = unix.IPV6_FREEBIND, unix.IPV6_TRANSPARENT, unix.IPPROTO_IPV6
	}
	only6 := 0
	if k.IPv6Only {
		only6 = 1
	}
	return setOptions(fd, append(bufferOptions(k),
		// With it a port is free again as soon as nobody listens; for datagrams it would let two have one port.
		sockOption{"reuse_addr", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, k.Streams()},
		sockOption{"reuse_port", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, k.ReusePort},
		sockOption{"ipv6_only", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only6, domain == unix.AF_INET6},
		sockOption{"free_bind", level, free, 1, k.FreeBind},
		sockOption{"transparent", level, transparent, 1, k.Transparent},
		sockOption{"keep_alive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, k.KeepAlive},
		sockOption{"no_delay", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, k.NoDelay},
	))
}

func bufferOptions(k *topology.Socket) []sockOption {
	return []sockOption{
		{"receive_buffer", unix.SOL_SOCKET, unix.SO_RCVBUF, int(k.ReceiveBuf), k.ReceiveBuf > 0},
		{"send_buffer", unix.SOL_SOCKET, unix.SO_SNDBUF, int(k.SendBuf), k.SendBuf > 0},
	}
}

func setOptions(fd int, all []sockOption) error {
	for _, o := range all {
		if !o.wanted {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.level, o.what, o.value); err != nil {
			return fmt.Errorf("cannot set %s: %w", o.name, err)
		}
	}
	return nil
}

// bindUnix makes the file of a unix socket with its rights before anybody can connect. One that nobody listens on is replaced.
func bindUnix(k *topology.Socket, path string) (int, error) {
	kind := map[string]int{
		topology.NetworkUnix: unix.SOCK_STREAM, topology.NetworkUnixgram: unix.SOCK_DGRAM, topology.NetworkUnixpacket: unix.SOCK_SEQPACKET,
	}[k.Network()]
	abstract := path[0] == '@'
	if !abstract {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return -1, fmt.Errorf("cannot make its directory: %w", err)
		}
		if err := unstale(path, kind); err != nil {
			return -1, err
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	made := false
	if err = setOptions(fd, bufferOptions(k)); err == nil && !abstract {
		err = unix.Fchmod(fd, 0o600) // of the file that bind makes
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		made = err == nil && !abstract
	}
	if made {
		err = entrust(k, path)
	}
	if err == nil && k.Streams() {
		err = unix.Listen(fd, k.Backlog)
	}
	if err != nil {
		unix.Close(fd)
		if made {
			_ = os.Remove(path) // ours, and of no use
		}
		return -1, err
	}
	return fd, nil
}

// retune gives an open socket what can change while it is open.
func retune(fd int, k *topology.Socket, wid int) error {
	on := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	tcp := k.Network() == topology.NetworkTCP
	err := setOptions(fd, append(bufferOptions(k),
		sockOption{"keep_alive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, on(k.KeepAlive), tcp},
		sockOption{"no_delay", unix.IPPROTO_TCP, unix.TCP_NODELAY, on(k.NoDelay), tcp}))
	if err == nil && k.Streams() {
		err = unix.Listen(fd, k.Backlog)
	}
	if path := filePath(k, wid); err == nil && path != "" {
		err = entrust(k, path)
	}
	return err
}

// entrust gives a socket's file its owner and rights.
func entrust(k *topology.Socket, path string) error {
	if k.User != "" || k.Group != "" {
		id, err := identify(topology.Process{User: k.User, Group: k.Group})
		if err != nil {
			return err
		}
		if id.cred != nil {
			if err := os.Lchown(path, int(id.cred.Uid), int(id.cred.Gid)); err != nil {
				return fmt.Errorf("cannot give it to user %d and group %d: %w%s", id.cred.Uid, id.cred.Gid, cause(err), powerless())
			}
		}
	}
	if k.Mode == nil {
		return nil
	}
	return os.Chmod(path, os.FileMode(*k.Mode))
}

// unstale removes the file of a socket whose owner has died. A connection tells: it is refused when nobody has the socket any more. What
// cannot be told, or is no socket, stays, and is an error.
func unstale(path string, kind int) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cause(err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists, and is no socket: remove it, or write another path", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); {
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, unix.ENOENT):
		return nil // removed meanwhile
	case err == nil || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EPROTOTYPE):
		return fmt.Errorf("%w: somebody listens on it", unix.EADDRINUSE)
	default:
		return fmt.Errorf("cannot see whether somebody listens on it: %w", err)
	}
}

// filePath is the path of a unix socket; "" where it has none.
func filePath(k *topology.Socket, wid int) string {
	if path := k.Address(wid); k.Unix() && path[0] != '@' {
		return path
	}
	return ""
}

func identityOf(path string) fileID {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return fileID{}
	}
	return fileID{st.Dev, st.Ino}
}
