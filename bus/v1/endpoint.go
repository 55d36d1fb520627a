package v1

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Expand fills %(name)s of a template, as Python does with a dictionary; %% is a percent sign.
func Expand(template string, variables map[string]string) (string, *Flaw) {
	var b strings.Builder
	for i := 0; i < len(template); {
		if template[i] != '%' {
			b.WriteByte(template[i])
			i++
			continue
		}
		rest := template[i:]
		if strings.HasPrefix(rest, "%%") {
			b.WriteByte('%')
			i += 2
			continue
		}
		end := strings.IndexByte(rest, ')')
		if !strings.HasPrefix(rest, "%(") || end < 0 || end+1 == len(rest) || rest[end+1] != 's' && rest[end+1] != 'd' {
			return "", &Flaw{i, "a % begins %(name)s here", "write %% for the character itself"}
		}
		name := rest[2:end]
		value, ok := variables[name]
		if !ok {
			return "", &Flaw{i, fmt.Sprintf("%%(%.60s)s has no value", name), fmt.Sprintf("say variables = { %.60s = \"...\" }", name)}
		}
		if rest[end+1] == 'd' && !digits(value) {
			return "", &Flaw{i, fmt.Sprintf("%%(%s)d wants a number, and %s is %.60q", name, name, value), ""}
		}
		b.WriteString(value)
		i += end + 2
	}
	return b.String(), nil
}

func digits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// MaxPath is how long the path of a socket may be, in bytes.
const MaxPath = 107

// Endpoint is where a link is met.
type Endpoint struct {
	URL  string // as ZeroMQ takes it
	Path string // ipc: of the file, "" for an abstract name
	Host string // tcp
}

// ParseEndpoint reads an endpoint. Paths of ipc that are not absolute are below dir.
func ParseEndpoint(s, dir string) (Endpoint, *Flaw) {
	transport, rest, ok := strings.Cut(s, "://")
	off := len(transport) + 3
	switch {
	case !ok:
		return Endpoint{}, &Flaw{0, fmt.Sprintf("%.60q is no endpoint", s), "as in tcp://127.0.0.1:6666 or ipc://tracker_in"}
	case transport == "tcp":
		return parseTCP(s, rest, off)
	case transport != "ipc":
		return Endpoint{}, &Flaw{0, fmt.Sprintf("endpoints are tcp:// or ipc://, not %.20s://", transport), "inproc does not leave a process, and others are not spoken here"}
	case rest == "" || rest == "*" || rest == "@":
		return Endpoint{}, &Flaw{off, "an ipc endpoint wants a path that both ends know", "as in ipc://tracker_in"}
	case strings.HasPrefix(rest, "@"):
		return Endpoint{URL: s}, tooLong(rest, off)
	}
	if !strings.HasPrefix(rest, "/") {
		rest = dir + "/" + rest
	}
	rest = path.Clean(rest)
	return Endpoint{URL: "ipc://" + rest, Path: rest}, tooLong(rest, off)
}

func tooLong(file string, off int) *Flaw {
	if len(file) <= MaxPath {
		return nil
	}
	return &Flaw{off, fmt.Sprintf("the path of a socket has at most %d bytes, and %.60s... has %d", MaxPath, file, len(file)), "choose a shorter one"}
}

func parseTCP(s, rest string, off int) (Endpoint, *Flaw) {
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return Endpoint{}, &Flaw{off, fmt.Sprintf("%.60q is no host and port", rest), "as in tcp://127.0.0.1:6666"}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case host == "":
		return Endpoint{}, &Flaw{off, "the endpoint names no host", "write 127.0.0.1"}
	case err != nil || n == 0:
		return Endpoint{}, &Flaw{off, fmt.Sprintf("%.20q is no port that both ends know", port), "it is a number from 1 to 65535"}
	}
	return Endpoint{URL: s, Host: host}, nil
}

// Local reports whether only this machine can reach the endpoint.
func (e Endpoint) Local() bool {
	if e.Host == "" {
		return true
	}
	if e.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(e.Host, "[]"))
	return err == nil && ip.IsLoopback()
}
