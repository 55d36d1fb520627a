package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a topology, in words for people.
type Problem struct {
	File      string // as it was given
	Line, Col int    // from 1, Col in characters; 0 when the whole file is meant
	Text      string // what is wrong
	Source    string // the line itself, clipped around Col; no control characters but tabs
	Caret     int    // characters of Source before the one that is meant
	Hint      string // what can be done; may be empty
}

// String is "file:line:col: text", the source line with a caret under it, and the hint.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: %s\n", p.File, p.Line, p.Col, p.Text)
	} else {
		fmt.Fprintf(&b, "%s: %s\n", p.File, p.Text)
	}
	if strings.TrimSpace(p.Source) != "" {
		fmt.Fprintf(&b, "    %s\n    %s^\n", p.Source, blank(p.Source, p.Caret))
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "    hint: %s\n", p.Hint)
	}
	return b.String()
}

// blank is what must stand before the caret: tabs stay tabs, so that it hits its character at any tab width.
func blank(source string, n int) string {
	var b strings.Builder
	for _, r := range source {
		if n--; n < 0 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Problems is the error of Load: everything that is wrong, sorted by file and line.
type Problems struct {
	List []Problem // at least one, at most maxProblems
	More int       // so many were found beyond those
}

// maxProblems bounds what one Load reports: nobody reads further, and a generated file could hold 100,000.
const maxProblems = 100

// Error prints all of them.
func (p *Problems) Error() string {
	var b strings.Builder
	for i := range p.List {
		b.WriteString(p.List[i].String())
	}
	if p.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", p.More)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// place is a byte of a source.
type place struct {
	src *source
	off int // -1: the file as a whole
}

// collector gathers problems in the order they are found.
type collector struct {
	list []found
	more int
}

type found struct {
	place
	Problem
}

func (c *collector) add(at place, hint, format string, args ...any) {
	if len(c.list) >= maxProblems {
		c.more++
		return
	}
	p := Problem{Text: sentence(fmt.Sprintf(format, args...)), Hint: sentence(hint)}
	if at.src != nil {
		p.File = at.src.shown
		if at.off >= 0 {
			p.Line, p.Col, p.Source, p.Caret = at.src.locate(at.off)
		}
	}
	c.list = append(c.list, found{at, p})
}

// sentence bounds what others put into a message: keys, values, the library's words.
func sentence(s string) string {
	const most = 400
	if b := []byte(s); len(b) > most {
		s = string(firstRunes(b, most)) + "..."
	}
	return printable([]byte(strings.ReplaceAll(s, "\n", " ")))
}

// err is nil, or *Problems.
func (c *collector) err() error {
	if len(c.list) == 0 {
		return nil
	}
	slices.SortStableFunc(c.list, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.off, b.off), cmp.Compare(a.Text, b.Text))
	})
	out := &Problems{More: c.more}
	for _, f := range c.list {
		if n := len(out.List); n == 0 || out.List[n-1] != f.Problem {
			out.List = append(out.List, f.Problem)
		}
	}
	return out
}

func (f found) rank() int {
	if f.src == nil {
		return -1
	}
	return f.src.rank
}

// source is one file in memory.
type source struct {
	shown string // the name as it was given
	path  string // absolute
	rank  int    // order of reading
	text  []byte
	lines []int // offset of the first byte of each line
}

func newSource(shown, path string, rank int, text []byte) *source {
	s := &source{shown: shown, path: path, rank: rank, text: text, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// clip is how much of a line is shown; a 1 MiB file may be a single line.
const clip = 120

// locate turns an offset into line and column (from 1), and the line clipped around it with the place of the caret.
func (s *source) locate(off int) (line, col int, text string, caret int) {
	off = min(max(off, 0), len(s.text))
	i, exact := slices.BinarySearch(s.lines, off)
	if !exact {
		i--
	}
	start, end := s.lines[i], len(s.text)
	if i+1 < len(s.lines) {
		end = s.lines[i+1] - 1
		if end > start && s.text[end-1] == '\r' {
			end--
		}
	}
	before := s.text[start:min(off, end)]
	after := s.text[min(off, end):end]
	col = utf8.RuneCount(before) + 1

	head, tail := printable(lastRunes(before, clip/2)), printable(firstRunes(after, clip-clip/2))
	if utf8.RuneCountInString(head) < col-1 {
		head = "..." + head
	}
	caret = utf8.RuneCountInString(head)
	text = strings.TrimRightFunc(head+tail, unicode.IsSpace)
	return i + 1, col, text, caret
}

func lastRunes(b []byte, n int) []byte {
	i := len(b)
	for ; n > 0 && i > 0; n-- {
		_, size := utf8.DecodeLastRune(b[:i])
		i -= size
	}
	return b[i:]
}

func firstRunes(b []byte, n int) []byte {
	i := 0
	for ; n > 0 && i < len(b); n-- {
		_, size := utf8.DecodeRune(b[i:])
		i += size
	}
	return b[:i]
}

// printable keeps a hostile file from steering the terminal of who reads the message.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, string(b))
}
