package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Colours of the terminal, as the parameter of an SGR sequence.
const (
	plain  = ""
	green  = "32"
	yellow = "33"
	red    = "31"
	faint  = "2"
	bold   = "1"
)

// cell is one field of a table.
type cell struct {
	text  string
	color string
	right bool // a number
	loose bool // the last of its row, and as long as it likes: it makes no column wider
}

func text(s string) cell   { return cell{text: s} }
func number(s string) cell { return cell{text: s, right: true} }

// table is aligned by the widths of its columns, two spaces apart.
type table struct {
	head []string
	rows [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// write appends the table to b. Nothing is written at the end of a line but what a field holds.
func (t *table) write(b *strings.Builder, paint bool) {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		widths[i] = len(h)
	}
	for _, row := range t.rows {
		for i := range row {
			row[i].text = printable(row[i].text)
			if !row[i].loose {
				widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
			}
		}
	}
	line := 1
	for _, w := range widths {
		line += w + 2
	}
	b.Grow((len(t.rows) + 1) * line)
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i] = cell{text: h, color: bold, right: len(t.rows) > 0 && i < len(t.rows[0]) && t.rows[0][i].right}
	}
	writeRow(b, head, widths, paint)
	for _, row := range t.rows {
		writeRow(b, row, widths, paint)
	}
}

func writeRow(b *strings.Builder, row []cell, widths []int, paint bool) {
	pending := 0 // spaces, written only when a field follows
	for i, c := range row {
		fill := widths[i] - utf8.RuneCountInString(c.text)
		if c.right {
			pending += fill
			fill = 0
		}
		if c.text != "" {
			pad(b, pending)
			b.WriteString(colored(c.text, c.color, paint))
			pending = 0
		} else {
			fill = widths[i]
		}
		pending += fill + 2
	}
	b.WriteByte('\n')
}

const blanks = "                                "

func pad(b *strings.Builder, n int) {
	for ; n > len(blanks); n -= len(blanks) {
		b.WriteString(blanks)
	}
	b.WriteString(blanks[:n])
}

func colored(s, color string, paint bool) string {
	if !paint || color == plain {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// stateColor tells good from bad.
func stateColor(state string) string {
	switch state {
	case "running", "done", "accepted":
		return green
	case "starting", "stopping", "waiting", "in_flight", "held":
		return yellow
	case "backoff", "fatal", "failed", "quarantined", "expired", "dropped":
		return red
	case "stopped", "exited", "cancelled", "unknown":
		return faint
	}
	return plain
}

// printable replaces what would steer the terminal: names, causes and reasons may hold what a satellite wrote.
func printable(s string) string {
	if isPlainASCII(s) {
		return s // nearly always, and a status has thousands of fields
	}
	clean := func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || r == utf8.RuneError) {
			return '\uFFFD'
		}
		return r
	}
	return strings.Map(clean, s)
}

func isPlainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
