package topology

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sinksKind is a list of an enum's values, without repetition; a bare string is a list of one.
type sinksKind struct{}

func (sinksKind) typ() string       { return "one of, or list" }
func (sinksKind) wants(*key) string { return `a list of "file", "syslog", "journald"` }
func (t sinksKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, ok := r.strings(k, n, false)
	out := []LogSink{}
	var known []string
	for _, c := range k.choices {
		known = append(known, c.value)
	}
	for i, s := range texts {
		if !slices.Contains(known, s) {
			hint := didYouMean(s, known)
			if strings.Contains(s, "/") {
				hint = "a directory for all files is daemon.log.dir"
			}
			r.problem(at[i].at, hint, "%s wants %s, not %q", k.label, t.wants(k), shorten(s))
			ok = false
		}
		out = append(out, LogSink(s))
	}
	r.distinct(k, texts, at)
	return out, ok
}
func (sinksKind) format(v any) string {
	var out []string
	for _, s := range v.([]LogSink) {
		out = append(out, string(s))
	}
	return quoteAll(out, false)
}
func (sinksKind) schema(k *key) map[string]any { return listOf(enumKind{}.schema(k)) }

// rotateKind is a LogRotate.
type rotateKind struct{}

const shortestRotation = time.Second

func (rotateKind) typ() string       { return "duration or word" }
func (rotateKind) wants(*key) string { return `"daily", "hourly", "never" or a duration like "24h"` }
func (t rotateKind) read(r *reader, k *key, n *node) (any, bool) {
	switch n.scalar {
	case "never":
		return LogRotate{}, true
	case "daily", "hourly":
		return LogRotate{Calendar: n.scalar.(string)}, true
	}
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	d, err := time.ParseDuration(v.(string))
	switch {
	case err != nil:
		r.problem(n.at, `a day is "24h"; a size is max_size`, "%s wants %s, not %q", k.label, t.wants(k), shorten(v.(string)))
	case d < shortestRotation:
		r.problem(n.at, "", "%s cannot be shorter than %s", k.label, shortestRotation)
	default:
		return LogRotate{Every: d}, true
	}
	return nil, false
}
func (rotateKind) format(v any) string {
	switch l := v.(LogRotate); {
	case l.Calendar != "":
		return `"` + l.Calendar + `"`
	case l.Every > 0:
		return `"` + durationText(l.Every) + `"`
	}
	return `"never"`
}
func (rotateKind) schema(*key) map[string]any {
	return map[string]any{"type": "string", "minLength": 1}
}

// rateKind is a LogRate.
type rateKind struct{}

const mostLines = 1_000_000_000

func (rateKind) typ() string { return "number per time" }
func (rateKind) wants(*key) string {
	return `lines per second, minute or hour like "1000/s", or "unlimited"`
}
func (t rateKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	text := v.(string)
	if text == "unlimited" {
		return LogRate{}, true
	}
	lines, per, _ := strings.Cut(text, "/")
	count, err := strconv.Atoi(lines)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[per]
	if err != nil || unit == 0 || count < 1 || count > mostLines {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(text))
		return nil, false
	}
	return LogRate{Lines: count, Per: unit}, true
}
func (rateKind) format(v any) string {
	l := v.(LogRate)
	if l.Lines == 0 {
		return `"unlimited"`
	}
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[l.Per]
	return fmt.Sprintf(`"%d/%s"`, l.Lines, unit)
}
func (rateKind) schema(*key) map[string]any {
	return expandable(map[string]any{"type": "string", "pattern": `^(unlimited|[0-9]+/[smh])$`})
}

// syslogAddressKind is the address of a syslog daemon, with its port.
type syslogAddressKind struct{}

func (syslogAddressKind) typ() string { return "path or URL" }
func (syslogAddressKind) wants(*key) string {
	return `"/dev/log", "udp://HOST:PORT" or "tcp://HOST:PORT"`
}
func (t syslogAddressKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	text := v.(string)
	if strings.HasPrefix(text, "/") && !strings.HasSuffix(text, "/") {
		return r.path(n, text)
	}
	network, rest, isURL := strings.Cut(text, "://")
	if _, _, err := net.SplitHostPort(rest); err != nil && rest != "" {
		rest = net.JoinHostPort(strings.Trim(rest, "[]"), "514")
	}
	host, port, valid := splitAddress(rest)
	if !isURL || network != "udp" && network != "tcp" || !valid || host == "" || port == 0 {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(text))
		return nil, false
	}
	return network + "://" + rest, true
}
func (syslogAddressKind) format(v any) string { return quote(v.(string), false) }
func (syslogAddressKind) schema(*key) map[string]any {
	return map[string]any{"type": "string", "minLength": 1}
}
