package topology

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// What a file may be before the library sees it: its parser takes time quadratic in depth (24 kB of "{a=" need seconds,
// 100,000 levels do not end), and it has no limits of its own.
const (
	maxSize  = 1 << 20 // bytes of one file
	maxDepth = 32      // nested arrays and inline tables
	maxParts = 16      // parts of one dotted key
)

// syntaxError is the one problem of a file that cannot be read further.
type syntaxError struct {
	off  int
	text string
	hint string
}

func (e *syntaxError) Error() string { return e.text }

// parse reads a source into nodes with places. Any error is a *syntaxError.
func parse(src *source) (*node, error) {
	if err := plain(src.text); err != nil {
		return nil, err
	}
	s := &scanner{text: src.text}
	root, err := s.file()
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if _, err := toml.Decode(string(src.text), &values); err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, &syntaxError{off: pe.Position.Start, text: pe.Message}
		}
		return nil, &syntaxError{off: -1, text: err.Error()}
	}
	if err := root.fill(values); err != nil {
		return nil, &syntaxError{off: -1, text: "cannot find the places of its keys: " + err.Error(), hint: "this is a defect of dsat: please report the file"}
	}
	return root, nil
}

// plain refuses what is no text, before anything looks into it.
func plain(text []byte) error {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return &syntaxError{off: -1, text: fmt.Sprintf("is not a text file: byte %d is NUL", i+1), hint: "a topology is TOML text in UTF-8"}
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return &syntaxError{off: i, text: "is not UTF-8 here", hint: "a topology is TOML text in UTF-8"}
		}
		i += size
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return &syntaxError{off: -1, text: "is empty", hint: "`dsatd init` writes a topology to start from"}
	}
	return nil
}

// scanner finds every key and value of a TOML file, and keeps the limits. It is linear, knows the structure only, and
// leaves the contents of values and all rules about what may follow what to the library.
type scanner struct {
	text  []byte
	off   int
	depth int
}

func (s *scanner) fail(off int, format string, args ...any) error {
	return &syntaxError{off: off, text: fmt.Sprintf(format, args...)}
}

func (s *scanner) peek() byte {
	if s.off < len(s.text) {
		return s.text[s.off]
	}
	return 0 // no NUL can be in the text
}

func (s *scanner) starts(with string) bool {
	return bytes.HasPrefix(s.text[s.off:], []byte(with))
}

func (s *scanner) blanks() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.off++
	}
}

// gap skips blanks, line ends and comments.
func (s *scanner) gap() {
	for {
		switch s.peek() {
		case ' ', '\t', '\n', '\r':
			s.off++
		case '#':
			s.comment()
		default:
			return
		}
	}
}

func (s *scanner) comment() {
	if i := bytes.IndexByte(s.text[s.off:], '\n'); i >= 0 {
		s.off += i
	} else {
		s.off = len(s.text)
	}
}

// lineEnd wants nothing but a comment up to the end of the line.
func (s *scanner) lineEnd(after string) error {
	s.blanks()
	if s.peek() == '#' {
		s.comment()
	}
	if s.off == len(s.text) || s.peek() == '\n' || s.starts("\r\n") {
		return nil
	}
	return s.fail(s.off, "the line should end after %s", after)
}

func (s *scanner) file() (*node, error) {
	if s.starts("\ufeff") {
		s.off += len("\ufeff")
	}
	root := newTable("", 0)
	table := root
	for {
		s.gap()
		if s.off == len(s.text) {
			return root, nil
		}
		var err error
		if s.peek() == '[' {
			table, err = s.header(root)
		} else {
			if err = s.pair(table); err == nil {
				err = s.lineEnd("the value")
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// header reads "[a.b]".
func (s *scanner) header(root *node) (*node, error) {
	open := s.off
	s.off++
	if s.peek() == '[' {
		return nil, &syntaxError{
			off: open, text: "a topology has named tables only, no arrays of tables",
			hint: "write [satellite.NAME] with single brackets",
		}
	}
	parts, err := s.key()
	if err != nil {
		return nil, err
	}
	if s.peek() != ']' {
		return nil, s.fail(s.off, "the table's name should end with ] here")
	}
	s.off++
	if err := s.lineEnd("the table's name"); err != nil {
		return nil, err
	}
	table := root
	for _, p := range parts {
		table = table.descend(p.name, p.off)
	}
	return table, nil
}

// pair reads "a.b = value" into a table.
func (s *scanner) pair(table *node) error {
	parts, err := s.key()
	if err != nil {
		return err
	}
	if s.peek() != '=' {
		return s.fail(s.off, "there should be a = after the key %q", shorten(parts[len(parts)-1].name))
	}
	s.off++
	s.blanks()
	for _, p := range parts[:len(parts)-1] {
		table = table.descend(p.name, p.off)
	}
	last := parts[len(parts)-1]
	v, err := s.value()
	if err != nil {
		return err
	}
	v.name, v.key = last.name, last.off
	table.put(v)
	return nil
}

type part struct {
	name string
	off  int
}

// key reads a dotted key and the blanks around it.
func (s *scanner) key() ([]part, error) {
	var parts []part
	for {
		s.blanks()
		start := s.off
		name, err := s.word()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{name, start})
		if len(parts) > maxParts {
			return nil, s.fail(start, "a key has more than %d parts here", maxParts)
		}
		s.blanks()
		if s.peek() != '.' {
			return parts, nil
		}
		s.off++
	}
}

// word reads one part of a key, bare or quoted.
func (s *scanner) word() (string, error) {
	start := s.off
	switch s.peek() {
	case '"', '\'':
		if s.starts(`"""`) || s.starts(`'''`) {
			return "", s.fail(start, "a key cannot be a string of several lines")
		}
		if err := s.quoted(); err != nil {
			return "", err
		}
		raw := s.text[start+1 : s.off-1]
		if s.text[start] == '\'' {
			return string(raw), nil
		}
		return unescape(raw), nil
	}
	for bare(s.peek()) {
		s.off++
	}
	if s.off == start {
		return "", s.fail(start, "there should be a key here")
	}
	return string(s.text[start:s.off]), nil
}

func bare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
