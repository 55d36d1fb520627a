package topology

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// enumKind is one of a closed set of strings.
type enumKind struct{}

func (enumKind) typ() string { return "one of" }
func (enumKind) wants(k *key) string {
	var out []string
	for _, c := range k.choices {
		if !c.later {
			out = append(out, strconv.Quote(c.value))
		}
	}
	return "one of " + strings.Join(out, ", ")
}
func (e enumKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	var values []string
	for _, c := range k.choices {
		if c.value == v && !c.later {
			return v, true
		}
		if c.value == v {
			r.problem(n.at, "", "%s = %q is not in this version", k.label, v)
			return nil, false
		}
		values = append(values, c.value)
	}
	r.problem(n.at, didYouMean(v.(string), values), "%s wants %s, not %q", k.label, e.wants(k), shorten(v.(string)))
	return nil, false
}
func (enumKind) format(v any) string { return quote(v.(string), false) }

// signalKind is the name of a signal, with or without SIG.
type signalKind struct{}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "ABRT": syscall.SIGABRT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "ALRM": syscall.SIGALRM, "TERM": syscall.SIGTERM, "WINCH": syscall.SIGWINCH,
	}
}

func signalChoices() []choice {
	var out []choice
	for _, name := range signalNames() {
		out = append(out, choice{value: name})
	}
	return out
}

func signalNames() []string {
	var out []string
	for name := range signals() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func signalName(sig syscall.Signal) string {
	for name, s := range signals() {
		if s == sig {
			return name
		}
	}
	return strconv.Itoa(int(sig))
}

func (signalKind) typ() string       { return "signal" }
func (signalKind) wants(*key) string { return `the name of a signal like "TERM"` }
func (g signalKind) read(r *reader, k *key, n *node) (any, bool) {
	if _, number := n.scalar.(int64); number {
		r.signalNumber(k, n, fmt.Sprint(n.scalar))
		return nil, false
	}
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	name := v.(string)
	if sig, ok := signals()[strings.TrimPrefix(name, "SIG")]; ok {
		return sig, true
	}
	if _, err := strconv.Atoi(name); err == nil {
		r.signalNumber(k, n, name)
		return nil, false
	}
	r.problem(n.at, didYouMean(strings.TrimPrefix(strings.ToUpper(name), "SIG"), signalNames()), "%s wants one of %s, not %q", k.label, strings.Join(signalNames(), ", "), shorten(name))
	return nil, false
}
func (signalKind) format(v any) string { return `"` + signalName(v.(syscall.Signal)) + `"` }

// signalNumber refuses a number: they differ between machines.
func (r *reader) signalNumber(k *key, n *node, number string) {
	hint := ""
	if i, err := strconv.Atoi(number); err == nil && slices.Contains(signalNames(), signalName(syscall.Signal(i))) {
		hint = fmt.Sprintf("write %q", signalName(syscall.Signal(i)))
	}
	r.problem(n.at, hint, "%s wants %s, not a number", k.label, k.kind.wants(k))
}

// regexpKind is a regular expression in RE2's syntax.
type regexpKind struct{ textKind }

func (regexpKind) typ() string       { return "regular expression" }
func (regexpKind) wants(*key) string { return "a regular expression" }
func (t regexpKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	if v == "" {
		r.problem(n.at, `"." is any line`, "%s cannot be empty", k.label)
		return nil, false
	}
	if _, err := regexp.Compile(v.(string)); err != nil {
		r.problem(n.at, "", "%s is no regular expression: %s", k.label, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil, false
	}
	return v, true
}

// hostPortKind is "host:port" to connect to.
type hostPortKind struct{ textKind }

func (hostPortKind) typ() string       { return "host:port" }
func (hostPortKind) wants(*key) string { return `an address like "127.0.0.1:8080"` }
func (t hostPortKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	host, port, ok := splitAddress(anyInstance(v.(string)))
	if !ok || host == "" || port == 0 {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(v.(string)))
		return nil, false
	}
	return v, true
}

// anyInstance is a text as some instance sees it.
func anyInstance(s string) string {
	s = secretPattern.ReplaceAllString(s, "3")
	return socketPattern.ReplaceAllStringFunc(strings.ReplaceAll(s, placeholder, "0"), func(m string) string {
		switch socketPattern.FindStringSubmatch(m)[2] {
		case SocketAddress:
			return "127.0.0.1:1"
		case SocketFD:
			return "3"
		}
		return "1"
	})
}

func splitAddress(s string) (host string, port int, ok bool) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, false
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return host, int(n), err == nil && !strings.ContainsAny(host, " \t/")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listenKind is "host:port" to listen on, or empty for none.
type listenKind struct{ textKind }

func (listenKind) typ() string       { return "host:port" }
func (listenKind) wants(*key) string { return `an address like "127.0.0.1:9555"` }
func (t listenKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok || v == "" {
		return v, ok
	}
	host, port, ok := splitAddress(v.(string))
	switch {
	case !ok:
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(v.(string)))
	case !loopback(host):
		r.problem(n.at, fmt.Sprintf("write %q, and reach it through a tunnel or a proxy", "127.0.0.1:"+strconv.Itoa(port)),
			"%s would listen beyond loopback without keys: keys are not in this version", k.label)
	default:
		return v, true
	}
	return nil, false
}

// urlKind is a URL to get.
type urlKind struct{ textKind }

func (urlKind) typ() string       { return "URL" }
func (urlKind) wants(*key) string { return `a URL like "http://127.0.0.1:8080/"` }
func (t urlKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	u, err := url.Parse(anyInstance(v.(string)))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(v.(string)))
		return nil, false
	}
	return v, true
}

// pathKind is a path, made absolute; the empty string stays.
type pathKind struct{ instance bool }

func (pathKind) typ() string       { return "path" }
func (pathKind) wants(*key) string { return "a path" }
func (t pathKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind(t).read(r, k, n)
	if !ok || v == "" {
		return v, ok
	}
	return r.path(n, v.(string))
}
func (t pathKind) format(v any) string { return quote(v.(string), t.instance) }

// quote is a TOML basic string that reads back, through expansion, as s.
func quote(s string, instance bool) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range s {
		switch {
		case c == '$' && instance && filledLater(s[i:]):
			b.WriteByte('$')
		case c == '$':
			b.WriteString("$$")
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
