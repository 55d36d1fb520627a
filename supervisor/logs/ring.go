package logs

import (
	"encoding/binary"
	"time"
)

// Stream is where a line came from.
type Stream string

// The closed set of Stream. Joined output is all Stdout.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// ring keeps the newest lines in a bounded number of bytes. It takes memory with the first line, and doubles up to its limit.
type ring struct {
	limit int
	buf   []byte
	head  int // of the oldest record
	used  int
	lines int
}

const (
	recordHead = 4 + 8 + 8 + 1 // length of the text, sequence, time in ns, stream
	firstRing  = 1024
)

// add appends a line. One longer than the whole ring is cut.
func (r *ring) add(seq uint64, ns int64, s Stream, text []byte) {
	if r.limit < recordHead+1 {
		return
	}
	if most := r.limit - recordHead; len(text) > most {
		text = text[:most]
	}
	need := recordHead + len(text)
	r.grow(need)
	for r.used+need > len(r.buf) {
		r.drop()
	}
	var head [recordHead]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(len(text)))
	binary.LittleEndian.PutUint64(head[4:], seq)
	binary.LittleEndian.PutUint64(head[12:], uint64(ns))
	if s == Stderr {
		head[20] = 1
	}
	r.write(head[:])
	r.write(text)
	r.lines++
}

// resize sets another limit; what does not fit any more is forgotten.
func (r *ring) resize(limit int) {
	if r.limit = limit; len(r.buf) <= limit {
		return
	}
	for r.used > limit {
		r.drop()
	}
	buf := make([]byte, limit)
	r.read(buf[:r.used], 0)
	r.buf, r.head = buf, 0
}

// grow makes room as long as the limit allows.
func (r *ring) grow(need int) {
	size := len(r.buf)
	for size < r.limit && r.used+need > size {
		size = min(max(size*2, firstRing), r.limit)
	}
	if size == len(r.buf) {
		return
	}
	buf := make([]byte, size)
	r.read(buf[:r.used], 0)
	r.buf, r.head = buf, 0
}

func (r *ring) drop() {
	var head [4]byte
	r.read(head[:], 0)
	n := recordHead + int(binary.LittleEndian.Uint32(head[:]))
	r.head = (r.head + n) % len(r.buf)
	r.used -= n
	r.lines--
}

func (r *ring) write(p []byte) {
	at := (r.head + r.used) % len(r.buf)
	n := copy(r.buf[at:], p)
	copy(r.buf, p[n:])
	r.used += len(p)
}

// read copies what is at an offset from the oldest byte.
func (r *ring) read(p []byte, offset int) {
	if len(p) == 0 {
		return
	}
	at := (r.head + offset) % len(r.buf)
	n := copy(p, r.buf[at:])
	copy(p[n:], r.buf)
}

// newest returns the newest n lines with a sequence above after, oldest first.
func (r *ring) newest(n int, after uint64) []Line {
	skip := max(r.lines-n, 0)
	var lines []Line
	var head [recordHead]byte
	for at := 0; at < r.used; {
		r.read(head[:], at)
		size := int(binary.LittleEndian.Uint32(head[0:]))
		seq := binary.LittleEndian.Uint64(head[4:])
		if skip > 0 {
			skip--
		} else if seq > after {
			text := make([]byte, size)
			r.read(text, at+recordHead)
			l := Line{Seq: seq, Time: time.Unix(0, int64(binary.LittleEndian.Uint64(head[12:]))), Stream: Stdout, Text: string(text)}
			if head[20] == 1 {
				l.Stream = Stderr
			}
			lines = append(lines, l)
		}
		at += recordHead + size
	}
	return lines
}
