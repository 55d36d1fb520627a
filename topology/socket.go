package topology

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Socket is a listening socket that dsatd opens, keeps, and hands to the satellites it is granted to.
type Socket struct {
	Name        string
	Listen      string // "tcp://127.0.0.1:8080", "udp://[::1]:53", "unix:///run/x.sock", "unix://@abstract"; see Network and Address
	PerInstance bool   // each instance has one of its own: its port is the port plus its number, or ${instance} is in its path
	Start       SocketStart
	Backlog     int // connections that may wait; the kernel has a limit of its own (net.core.somaxconn)
	ReusePort   bool
	IPv6Only    bool
	FreeBind    bool // addresses that this machine does not have yet
	Transparent bool
	KeepAlive   bool
	NoDelay     bool
	ReceiveBuf  int64   // bytes; 0: the kernel's default
	SendBuf     int64   // as ReceiveBuf
	Mode        *uint32 // of a unix socket's file
	User, Group string  // owner of a unix socket's file; "": dsatd's own
}

// SocketStart says when the satellites of a socket are started.
type SocketStart string

// The closed set of SocketStart.
const (
	StartAlways   SocketStart = "always"    // as all others
	StartOnDemand SocketStart = "on-demand" // by the first connection or datagram
)

// The closed set of what Socket.Network returns.
const (
	NetworkTCP        = "tcp"
	NetworkUDP        = "udp"
	NetworkUnix       = "unix"       // a stream
	NetworkUnixgram   = "unixgram"   // datagrams
	NetworkUnixpacket = "unixpacket" // sequenced packets
)

// Network is the part of Listen before "://".
func (s *Socket) Network() string {
	network, _, _ := strings.Cut(s.Listen, "://")
	return network
}

// Unix reports whether its address is a path, or an abstract name that begins with @.
func (s *Socket) Unix() bool { return strings.HasPrefix(s.Listen, "unix") }

// Streams reports whether it is listened on: connections are accepted from it, not datagrams read.
func (s *Socket) Streams() bool { n := s.Network(); return n != NetworkUDP && n != NetworkUnixgram }

// Own reports whether each instance has a socket of its own, instead of one for all.
func (s *Socket) Own() bool { return s.PerInstance || s.ReusePort }

// Address is host:port, or the path, as the instance of that number has it.
func (s *Socket) Address(wid int) string {
	_, address, _ := strings.Cut(s.Listen, "://")
	if s.Unix() {
		return strings.ReplaceAll(address, placeholder, strconv.Itoa(wid))
	}
	if host, port, ok := splitAddress(address); ok && s.PerInstance {
		return net.JoinHostPort(host, strconv.Itoa(port+wid))
	}
	return address
}

// Socket returns the socket of that name, or nil.
func (t *Topology) Socket(name string) *Socket {
	for _, s := range t.Sockets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// OnDemand returns the sockets by which a satellite is started; none for most.
func (t *Topology) OnDemand(s *Satellite) []*Socket {
	var out []*Socket
	for _, name := range s.Sockets {
		if k := t.Socket(name); k != nil && k.Start == StartOnDemand {
			out = append(out, k)
		}
	}
	return out
}

// The attributes of ${socket.NAME.ATTRIBUTE}.
const (
	SocketFD      = "fd"      // number of the descriptor in the process
	SocketPort    = "port"    // of tcp and udp
	SocketAddress = "address" // host:port, or the path
)

// SocketPlaceholder is what stands in strings until an instance is started.
func SocketPlaceholder(name, attribute string) string {
	return "${socket." + name + "." + attribute + "}"
}

var socketPattern = regexp.MustCompile(`\$\{socket\.([^.{}]*)\.([^.{}]*)\}`)

// socketVariable checks the inside of ${socket.NAME.ATTRIBUTE}. Whether the satellite has that socket is for the rules to say.
func socketVariable(inner string) *flaw {
	parts := strings.Split(inner, ".")
	if len(parts) == 3 && validName(parts[1]) && slices.Contains(socketAttributes(), parts[2]) {
		return nil
	}
	return &flaw{text: "${" + shorten(inner) + "} is no variable", hint: "write ${socket.NAME.fd}, ${socket.NAME.port} or ${socket.NAME.address}"}
}

func socketAttributes() []string { return []string{SocketFD, SocketPort, SocketAddress} }
