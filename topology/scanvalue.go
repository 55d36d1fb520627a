package topology

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
)

// value reads any value; what is in a scalar is the library's to judge.
func (s *scanner) value() (*node, error) {
	start := s.off
	switch s.peek() {
	case '[':
		return s.nested(start, "list", s.array)
	case '{':
		return s.nested(start, "table", s.inline)
	case '"', '\'':
		if err := s.quoted(); err != nil {
			return nil, err
		}
	default:
		s.run()
		if s.off == start {
			return nil, s.fail(start, "there should be a value here")
		}
	}
	return &node{shape: shapeScalar, key: start, at: start}, nil
}

// nested counts the depth around an array or an inline table.
func (s *scanner) nested(start int, what string, read func(start int) (*node, error)) (*node, error) {
	s.depth++
	if s.depth > maxDepth {
		return nil, s.fail(start, "the %s is nested deeper than %d levels here", what, maxDepth)
	}
	n, err := read(start)
	s.depth--
	return n, err
}

func (s *scanner) array(start int) (*node, error) {
	n := &node{shape: shapeArray, key: start, at: start}
	s.off++
	for {
		s.gap()
		if s.peek() == ']' {
			s.off++
			return n, nil
		}
		item, err := s.value()
		if err != nil {
			return nil, s.unclosed(err, start, "list", ']')
		}
		n.items = append(n.items, item)
		s.gap()
		switch s.peek() {
		case ',':
			s.off++
		case ']':
		default:
			return nil, s.unclosed(s.fail(s.off, "there should be a , or ] here"), start, "list", ']')
		}
	}
}

func (s *scanner) inline(start int) (*node, error) {
	n := newTable("", start)
	s.off++
	for {
		s.gap()
		if s.peek() == '}' {
			s.off++
			return n, nil
		}
		if err := s.pair(n); err != nil {
			return nil, s.unclosed(err, start, "table", '}')
		}
		s.gap()
		switch s.peek() {
		case ',':
			s.off++
		case '}':
		default:
			return nil, s.unclosed(s.fail(s.off, "there should be a , or } here"), start, "table", '}')
		}
	}
}

// unclosed points at the opening bracket when the file ended inside: its end says nothing.
func (s *scanner) unclosed(err error, start int, what string, end byte) error {
	var e *syntaxError
	if errors.As(err, &e) && s.off == len(s.text) && e.off == s.off {
		return s.fail(start, "the %s that begins here is never closed with %c", what, end)
	}
	return err
}

// quoted passes over a string of any of the four kinds.
func (s *scanner) quoted() error {
	start, quote := s.off, s.peek()
	triple := []byte{quote, quote, quote}
	if s.starts(string(triple)) {
		s.off += 3
		return s.multiline(start, triple)
	}
	for s.off++; s.off < len(s.text); s.off++ {
		switch c := s.text[s.off]; {
		case c == quote:
			s.off++
			return nil
		case c == '\n':
			return s.fail(start, "the string that begins here is not closed on its line")
		case c == '\\' && quote == '"' && s.off+1 < len(s.text) && s.text[s.off+1] != '\n':
			s.off++
		}
	}
	return s.fail(start, "the string that begins here is never closed")
}

func (s *scanner) multiline(start int, triple []byte) error {
	for ; s.off < len(s.text); s.off++ {
		switch {
		case s.text[s.off] == '\\' && triple[0] == '"':
			s.off++
		case bytes.HasPrefix(s.text[s.off:], triple):
			s.off += 3
			for extra := 0; extra < 2 && s.peek() == triple[0]; extra++ { // """a""""" ends in two quotes of its own
				s.off++
			}
			return nil
		}
	}
	s.off = len(s.text)
	return s.fail(start, "the string that begins here is never closed")
}

// run passes over a number, a date, a boolean: anything up to what can follow a value.
func (s *scanner) run() {
	start := s.off
	for s.off < len(s.text) && !bytes.ContainsRune([]byte(",]}# \t\r\n"), rune(s.text[s.off])) {
		s.off++
	}
	if s.off-start == len("2006-01-02") && s.text[start+4] == '-' && s.peek() == ' ' && s.off+1 < len(s.text) && digit(s.text[s.off+1]) {
		s.off++ // "2006-01-02 15:04:05" is one value
		s.run()
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// unescape resolves the escapes of a quoted key. What is no valid escape is left: the library refuses it.
func unescape(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	simple := map[byte]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': 0x1b, '"': '"', '\\': '\\'}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	var out []byte
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			out = append(out, raw[i])
			continue
		}
		i++
		if c, ok := simple[raw[i]]; ok {
			out = append(out, c)
			continue
		}
		n := digits[raw[i]]
		if n == 0 || i+n >= len(raw) {
			continue
		}
		r, err := strconv.ParseUint(string(raw[i+1:i+1+n]), 16, 32)
		if err != nil {
			continue
		}
		out = utf8.AppendRune(out, rune(r))
		i += n
	}
	return string(out)
}

// shorten keeps a hostile key from filling a message.
func shorten(s string) string {
	if utf8.RuneCountInString(s) <= 64 {
		return s
	}
	return string([]rune(s)[:61]) + "..."
}
