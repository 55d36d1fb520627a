// Package ledger is how the satellites generate and null tell an outside checker what they did.
//
// A payload of generate is text: producer, blank, sequence number from 1, blank, padding:
//
//	load:0/4294967297 17 xxxxxxxx
//
// A producer is one incarnation: NAME:WID/INCARNATION. A ledger is a file of lines "producer first last\n", each saying
// that the messages first to last were accepted (written by the producer) or received (written by the sink). Lines are only
// ever appended, whole, in one write; what is written survives kill -9 of the process. In a sink's ledger a message that came
// twice is in two lines.
package ledger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// AppendPayload appends a payload of at least size bytes to b.
func AppendPayload(b []byte, producer string, seq uint64, size int) []byte {
	start := len(b)
	b = append(b, producer...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, seq, 10)
	if len(b)-start < size {
		b = append(b, ' ')
	}
	for len(b)-start < size {
		b = append(b, 'x')
	}
	return b
}

// ParsePayload reads a payload; producer is a view into it.
func ParsePayload(payload []byte) (producer []byte, seq uint64, err error) {
	producer, rest, ok := bytes.Cut(payload, []byte(" "))
	if !ok || len(producer) == 0 {
		return nil, 0, fmt.Errorf("cannot read the payload of a generator: no producer and number")
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		if digits == 19 {
			return nil, 0, fmt.Errorf("cannot read the payload of a generator: its number is too large")
		}
		seq = seq*10 + uint64(rest[digits]-'0')
		digits++
	}
	if digits == 0 || digits < len(rest) && rest[digits] != ' ' {
		return nil, 0, fmt.Errorf("cannot read the payload of a generator: no number after the producer")
	}
	return producer, seq, nil
}

// Range is one line of a ledger.
type Range struct {
	Producer    string
	First, Last uint64
}

// ParseLine reads a line without its line feed.
func ParseLine(line string) (Range, error) {
	f := strings.Split(line, " ")
	if len(f) != 3 || f[0] == "" {
		return Range{}, fmt.Errorf("cannot read ledger line %q: want producer, first, last", line)
	}
	first, err1 := strconv.ParseUint(f[1], 10, 64)
	last, err2 := strconv.ParseUint(f[2], 10, 64)
	if err1 != nil || err2 != nil || first > last {
		return Range{}, fmt.Errorf("cannot read ledger line %q: %q to %q is no range", line, f[1], f[2])
	}
	return Range{f[0], first, last}, nil
}

// Writer appends to a ledger. It is used by one goroutine.
type Writer struct {
	f       *os.File
	lines   []byte
	current []byte // producer of the range not yet in lines
	first   uint64
	last    uint64
}

// Open opens a ledger for appending; its folder is made when it is missing.
func Open(path string) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot open the ledger: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the ledger: %w", err)
	}
	return &Writer{f: f}, nil
}

// Add notes one message, which is joined to those before it.
func (w *Writer) Add(producer []byte, seq uint64) { w.AddRange(producer, seq, seq) }

// AddRange notes the messages first to last.
func (w *Writer) AddRange(producer []byte, first, last uint64) {
	if first == w.last+1 && bytes.Equal(producer, w.current) {
		w.last = last
		return
	}
	w.line()
	w.current, w.first, w.last = append(w.current[:0], producer...), first, last
}

// line ends the present range.
func (w *Writer) line() {
	if len(w.current) == 0 {
		return
	}
	w.lines = append(append(w.lines, w.current...), ' ')
	w.lines = append(strconv.AppendUint(w.lines, w.first, 10), ' ')
	w.lines = append(strconv.AppendUint(w.lines, w.last, 10), '\n')
	w.current = w.current[:0]
}

// Flush writes what was noted.
func (w *Writer) Flush() error {
	w.line()
	if len(w.lines) == 0 {
		return nil
	}
	_, err := w.f.Write(w.lines)
	w.lines = w.lines[:0]
	if err != nil {
		return fmt.Errorf("cannot write the ledger: %w", err)
	}
	return nil
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }
