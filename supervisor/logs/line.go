package logs

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/dsat/dsat/topology"
)

// A line of a log file is
//
//	2026-11-23T20:30:15.123456789Z out TEXT      (format text; err for stderr; TEXT is the bytes as they were)
//	{"time":"2026-11-23T20:30:15.123456789Z","name":"cpu","wid":0,"incarnation":4294967297,"stream":"stdout","text":"TEXT"}
//
// Both begin with the time at a fixed place and of a fixed width, so that a time is found by halving the file. No two lines of an
// instance have the same time.
const (
	stampLayout = "2006-01-02T15:04:05.000000000Z"
	textHead    = len(stampLayout) + len(" out ")
	jsonLead    = `{"time":"`
)

// stamper writes times; those of one second share the work.
type stamper struct {
	second int64
	known  bool
	text   [len("2006-01-02T15:04:05.")]byte
}

func (s *stamper) append(dst []byte, ns int64) []byte {
	second, rest := ns/1e9, ns%1e9
	if rest < 0 {
		second, rest = second-1, rest+1e9
	}
	if !s.known || second != s.second {
		time.Unix(second, 0).UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
		s.second, s.known = second, true
	}
	dst = append(dst, s.text[:]...)
	for unit := int64(1e8); unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+rest/unit%10))
	}
	return append(dst, 'Z')
}

// parseStamp reads what stamper wrote, without allocation.
func parseStamp(p []byte) (time.Time, bool) {
	if len(p) != len(stampLayout) || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':' || p[19] != '.' || p[29] != 'Z' {
		return time.Time{}, false
	}
	var n [7]int
	for i, at := range [7][2]int{{0, 4}, {5, 7}, {8, 10}, {11, 13}, {14, 16}, {17, 19}, {20, 29}} {
		for _, c := range p[at[0]:at[1]] {
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
			n[i] = n[i]*10 + int(c-'0')
		}
	}
	if n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return time.Time{}, false
	}
	return time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6], time.UTC), true
}

// MaxLine is the longest text of a line, in bytes. Whoever appends takes longer ones apart.
const MaxLine = 32 << 10

// Origin is where the lines of one reading come from.
type Origin struct {
	Inc    topology.Incarnation // 0: of no life
	PID    int                  // 0: not known
	Stream Stream

	ref topology.Ref // of the book
}

func appendText(dst []byte, st *stamper, ns int64, s Stream, text []byte) []byte {
	dst = st.append(dst, ns)
	if s == Stderr {
		dst = append(dst, " err "...)
	} else {
		dst = append(dst, " out "...)
	}
	dst = append(dst, text...)
	return append(dst, '\n')
}

func appendJSON(dst []byte, st *stamper, ns int64, o *Origin, text []byte) []byte {
	dst = append(dst, jsonLead...)
	dst = st.append(dst, ns)
	dst = append(dst, `","name":"`...)
	dst = append(dst, o.ref.Name...)
	dst = append(dst, `","wid":`...)
	dst = strconv.AppendInt(dst, int64(o.ref.WID), 10)
	dst = append(dst, `,"incarnation":`...)
	dst = strconv.AppendUint(dst, uint64(o.Inc), 10)
	dst = append(dst, `,"stream":"`...)
	dst = append(dst, o.Stream...)
	dst = append(dst, `","text":"`...)
	dst = appendEscaped(dst, text)
	return append(dst, "\"}\n"...)
}

const hexDigits = "0123456789abcdef"

// appendEscaped writes the inside of a JSON string; what is no UTF-8 becomes U+FFFD.
func appendEscaped(dst, text []byte) []byte {
	for len(text) > 0 {
		c := text[0]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(text)
			dst = utf8.AppendRune(dst, r)
			text = text[n:]
			continue
		}
		text = text[1:]
	}
	return dst
}

// timeOf is the time at the head of a line of a file.
func timeOf(raw []byte) (time.Time, bool) {
	raw = bytes.TrimPrefix(raw, []byte(jsonLead))
	if len(raw) >= len(stampLayout) {
		if at, ok := parseStamp(raw[:len(stampLayout)]); ok {
			return at, true
		}
	}
	end := bytes.IndexAny(raw[:min(len(raw), 40)], " \"")
	if end < 0 {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(raw[:end])) // as earlier versions wrote it
	return at, err == nil
}

// parseLine reads a line of a file, without its newline. What nobody of us wrote is a text of stdout, without time.
func parseLine(raw []byte) Line {
	strange := Line{Stream: Stdout, Text: string(raw)}
	at, ok := timeOf(raw)
	if !ok {
		return strange
	}
	if raw[0] == '{' {
		var l struct{ Stream, Text string }
		if json.Unmarshal(raw, &l) != nil || l.Stream != string(Stdout) && l.Stream != string(Stderr) {
			return strange
		}
		return Line{Time: at, Stream: Stream(l.Stream), Text: l.Text}
	}
	space := bytes.IndexByte(raw, ' ')
	if space < 0 || len(raw) < space+5 || raw[space+4] != ' ' {
		return strange
	}
	switch string(raw[space+1 : space+4]) {
	case "out":
		return Line{Time: at, Stream: Stdout, Text: string(raw[space+5:])}
	case "err":
		return Line{Time: at, Stream: Stderr, Text: string(raw[space+5:])}
	}
	return strange
}
