package supervisor

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/dsat/dsat/topology"
)

// foreign says whose answer a probe got when it was not the satellite's own: "" when the satellite listens there itself, or
// when that cannot be told (another host, another network namespace, descriptors this user may not see).
//
// It is asked only for an answer to the very first look, right after the spawn: a server that holds the port already would
// vouch for a process that is about to fail on it. Later answers are taken as they are, because what listens may rightly be
// somebody else's child (a container's proxy).
func foreign(r topology.Ready, wid, pid int) string {
	port, local := localPort(strings.ReplaceAll(r.TCP+r.Get, "${instance}", strconv.Itoa(wid)))
	if !local {
		return ""
	}
	inodes := listeners(port)
	if len(inodes) == 0 {
		return ""
	}
	for _, k := range append(descendants(pid), kin{pid: pid}) {
		if known, holds := holdsAny(k.pid, inodes); holds || !known {
			return ""
		}
	}
	return fmt.Sprintf("port %d is answered, but by another process", port)
}

// localPort reads the port of an address or a URL on a loopback host.
func localPort(target string) (port int, local bool) {
	hostPort := target
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		if hostPort = u.Host; u.Port() == "" {
			hostPort = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
	}
	host, text, err := net.SplitHostPort(hostPort)
	if err != nil {
		return 0, false
	}
	addr, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return 0, false
	}
	port, err = strconv.Atoi(text)
	return port, err == nil
}

// listeners are the inodes of the sockets that listen on a TCP port in this network namespace.
func listeners(port int) map[string]bool {
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a kernel without IPv6
		}
		parseBound(text, port, "0A", inodes)
	}
	return inodes
}

// parseBound reads /proc/net/tcp and udp (proc_pid_net(5)): field 2 is ADDRESS:PORT in hexadecimal, 4 the state (0A listens, 07 is an
// unconnected udp socket), 10 the inode.
func parseBound(text []byte, port int, state string, inodes map[string]bool) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[3] != state {
			continue
		}
		_, p, ok := strings.Cut(f[1], ":")
		raw, err := hex.DecodeString(p)
		if ok && err == nil && len(raw) == 2 && int(raw[0])<<8|int(raw[1]) == port {
			inodes[f[9]] = true
		}
	}
}

// holdsAny says whether a process has one of these sockets open; known is false when its descriptors may not be seen.
func holdsAny(pid int, inodes map[string]bool) (known, holds bool) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := names(dir)
	if os.IsPermission(err) {
		return false, false
	}
	for _, fd := range fds {
		target, err := os.Readlink(dir + "/" + fd)
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && inodes[strings.TrimSuffix(inode, "]")] {
			return true, true
		}
	}
	return true, false
}
