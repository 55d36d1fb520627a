package topology

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// addressKind is what a socket listens on, in one form: "tcp://HOST:PORT" with an address of numbers, "unix:///ABSOLUTE".
type addressKind struct{}

// maxUnixPath is what the kernel has room for, without the NUL that ends it.
const maxUnixPath = 107

func (addressKind) typ() string { return "address" }
func (addressKind) wants(*key) string {
	return `an address like "tcp://127.0.0.1:8080" or "unix:///run/x.sock"`
}
func (t addressKind) read(r *reader, k *key, n *node) (any, bool) {
	if _, ok := n.scalar.(string); !ok {
		r.mistyped(k, n)
		return nil, false
	}
	v, ok := r.text(n, true)
	if !ok {
		return nil, false
	}
	network, rest, has := strings.Cut(v, "://")
	if !has && strings.HasPrefix(v, "unix:") {
		network, rest, has = NetworkUnix, strings.TrimPrefix(v, "unix:"), true
	}
	if !has && strings.Contains(v, "/") {
		network, rest, has = NetworkUnix, v, true
	}
	switch {
	case has && (network == NetworkTCP || network == NetworkUDP):
		return t.inet(r, k, n, network, rest)
	case has && strings.HasPrefix(network, NetworkUnix) && strings.Contains(" unix unixgram unixpacket ", " "+network+" "):
		return t.unix(r, k, n, network, rest)
	}
	hint := "tcp, udp, unix, unixgram and unixpacket are what it can begin with"
	if _, _, plain := splitAddress(v); plain && !has {
		hint = "write \"tcp://" + v + `"`
	}
	r.problem(n.at, hint, "%s wants %s, not %q", k.label, t.wants(k), shorten(v))
	return nil, false
}

func (t addressKind) inet(r *reader, k *key, n *node, network, rest string) (any, bool) {
	if strings.Contains(rest, placeholder) {
		r.problem(n.at, "say per_instance = true: the port is then this one plus the number of the instance", "%s cannot hold ${instance} but in a path", k.label)
		return nil, false
	}
	host, port, ok := splitAddress(rest)
	switch host {
	case "*":
		host = ""
	case "localhost":
		host = "127.0.0.1"
	}
	if !ok {
		r.problem(n.at, "the port goes from 0 to 65535, and 0 lets the kernel choose; an IPv6 address stands in brackets", "%s wants %s, not %q", k.label, t.wants(k), shorten(rest))
		return nil, false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		r.problem(n.at, "names are not looked up: write the address in numbers; without one it is every address of this machine", "%s: %q is no address", k.label, shorten(host))
		return nil, false
	}
	return network + "://" + net.JoinHostPort(host, strconv.Itoa(port)), true
}

func (t addressKind) unix(r *reader, k *key, n *node, network, path string) (any, bool) {
	if name, abstract := strings.CutPrefix(path, "@"); abstract && name != "" {
		return t.fits(r, k, n, network, path)
	}
	if path == "" || path == "@" || strings.HasSuffix(path, "/") {
		r.problem(n.at, "", "%s names no file for the socket", k.label)
		return nil, false
	}
	path, ok := r.path(n, path)
	if !ok {
		return nil, false
	}
	return t.fits(r, k, n, network, path)
}

func (t addressKind) fits(r *reader, k *key, n *node, network, path string) (any, bool) {
	if length := len(anyInstance(path)); length > maxUnixPath {
		r.problem(n.at, "write a shorter one, in /run for example", "%s: %s has %d bytes, and the kernel takes %d for a socket", k.label, shorten(path), length, maxUnixPath)
		return nil, false
	}
	return network + "://" + path, true
}

func (addressKind) format(v any) string { return quote(v.(string), true) }

func (addressKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": `^(tcp|udp)://|^unix(gram|packet)?:|/`})
}
