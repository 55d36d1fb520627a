package logs

import (
	"slices"
	"strconv"
	"time"

	"github.com/dsat/dsat/topology"
)

// route is how the lines of one satellite are written for one sink.
type route struct {
	to       *forwarder
	write    func(dst []byte, r *route, severity int, ns int64, o *Origin, text []byte) []byte
	l        *topology.Syslog
	host     string
	facility int
	severity [2]int // of stdout and stderr
	framed   bool   // octet counting (RFC 6587)
	local    bool   // a daemon of this machine knows its name
}

func position(list []string, word string) int { return max(slices.Index(list, word), 0) }

// post sends the lines of one reading; the n-th is of the time ns+n.
func (r *route) post(ns int64, o *Origin, texts [][]byte) {
	for n, text := range texts {
		severity := r.severity[0]
		if o.Stream == Stderr {
			severity = r.severity[1]
		}
		if own, rest, ok := severityOf(text); ok {
			severity, text = own, rest
		}
		r.to.post(func(dst []byte) []byte { return r.write(dst, r, severity, ns+int64(n), o, text) })
	}
}

// severityOf reads "<3>text" as sd-daemon(3) has it.
func severityOf(text []byte) (severity int, rest []byte, ok bool) {
	if len(text) < 3 || text[0] != '<' || text[1] < '0' || text[1] > '7' || text[2] != '>' {
		return 0, text, false
	}
	return int(text[1] - '0'), text[3:], true
}

// appendJournal is journald's native protocol: a field a line. A text of output has no newline in it, so none needs the binary form.
func appendJournal(dst []byte, r *route, severity int, _ int64, o *Origin, text []byte) []byte {
	number := func(name string, v uint64) {
		dst = append(dst, name...)
		dst = strconv.AppendUint(dst, v, 10)
		dst = append(dst, '\n')
	}
	word := func(name, v string) {
		dst = append(dst, name...)
		dst = append(dst, v...)
		dst = append(dst, '\n')
	}
	number("PRIORITY=", uint64(severity))
	number("SYSLOG_FACILITY=", uint64(r.facility))
	word("SYSLOG_IDENTIFIER=", o.ref.Name)
	if o.PID > 0 {
		number("SYSLOG_PID=", uint64(o.PID))
	}
	word("DSAT_SATELLITE=", o.ref.Name)
	number("DSAT_WID=", uint64(o.ref.WID))
	number("DSAT_INCARNATION=", uint64(o.Inc))
	word("DSAT_STREAM=", string(o.Stream))
	dst = append(dst, "MESSAGE="...)
	dst = append(dst, text...)
	return append(dst, '\n')
}

const longestAppName = 48 // RFC 5424

func appendSyslog(dst []byte, r *route, severity int, ns int64, o *Origin, text []byte) []byte {
	begin := len(dst)
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(r.facility*8+severity), 10)
	dst = append(dst, '>')
	at := time.Unix(0, ns)
	if r.l.Format == "rfc3164" {
		dst = at.AppendFormat(dst, time.Stamp)
		if !r.local {
			dst = append(append(dst, ' '), r.host...)
		}
		dst = append(append(dst, ' '), o.ref.Name...)
		if o.PID > 0 {
			dst = append(dst, '[')
			dst = strconv.AppendInt(dst, int64(o.PID), 10)
			dst = append(dst, ']')
		}
		dst = append(dst, ": "...)
	} else {
		dst = append(dst, "1 "...)
		dst = at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z ")
		dst = append(append(dst, r.host...), ' ')
		dst = append(append(dst, o.ref.Name[:min(len(o.ref.Name), longestAppName)]...), ' ')
		if o.PID > 0 {
			dst = strconv.AppendInt(dst, int64(o.PID), 10)
		} else {
			dst = append(dst, '-')
		}
		dst = append(dst, ` - [dsat@32473 satellite="`...)
		dst = append(dst, o.ref.Name...)
		dst = append(dst, `" wid="`...)
		dst = strconv.AppendInt(dst, int64(o.ref.WID), 10)
		dst = append(dst, `" incarnation="`...)
		dst = strconv.AppendUint(dst, uint64(o.Inc), 10)
		dst = append(dst, `" stream="`...)
		dst = append(dst, o.Stream...)
		dst = append(dst, `"] `...)
	}
	dst = append(dst, text...)
	if !r.framed {
		return dst
	}
	size := strconv.Itoa(len(dst)-begin) + " "
	dst = append(dst, size...)
	copy(dst[begin+len(size):], dst[begin:len(dst)-len(size)])
	copy(dst[begin:], size)
	return dst
}
