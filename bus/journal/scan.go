package journal

import (
	"errors"
	"hash/crc32"
	"io"
)

// Damage is a place in a segment that cannot be read.
type Damage struct {
	Segment string `json:"segment"`         // name of the file
	Offset  int64  `json:"offset"`          // in the file
	Bytes   int64  `json:"bytes"`           // how much of it
	Records uint64 `json:"records"`         // how many are lost by it; 0 when only padding, a mark or the segment's head
	After   uint64 `json:"after"`           // sequence of the last readable record before it
	Reason  string `json:"reason"`          // what is wrong
	Aside   string `json:"aside,omitempty"` // where the file is kept as it was found
}

// found is what a scan has come across.
type found struct {
	records uint64
	first   uint64   // sequence of the first record, 0 without any
	last    uint64   // of the last one
	synced  Position // the highest address that a mark vouches for
	closed  bool     // the last thing is the mark of an orderly Close
	size    int64    // of the file
	end     Position // behind the last intact record or mark
	damage  []Damage
	padding []Damage // harmless
	rest    int64    // bytes behind end up to the last one that is not 0
}

// scan reads the records of a segment from address `from` up to limit, skips what is damaged, and calls visit for the intact
// ones; a record's body is valid until visit returns. limit 0 is the end of the file, behind which nothing is missing.
func (l *Log) scan(f File, s *segment, from, limit Position, visit func(Record) error) (found, error) {
	size, err := f.Size()
	if err != nil {
		return found{}, err
	}
	c := scanner{seed: l.seed, s: s, w: window{f: f, size: size}, limit: limit, off: s.offset(from), begin: from}
	c.end, c.size = from, size
	for {
		more, err := c.step(visit)
		if err != nil {
			return c.found, err
		}
		if !more {
			break
		}
	}
	c.finish()
	return c.found, nil
}

type scanner struct {
	found
	seed  uint32
	s     *segment
	w     window
	limit Position
	off   int64
	begin Position // of the batch
	sum   uint32   // checksum of the batch so far
	holes int      // damages when the batch began
}

func (c *scanner) at(off int64) Position { return c.s.base + Position(off-headerSize) }

// step reads one record or skips one damage; false at the end.
func (c *scanner) step(visit func(Record) error) (bool, error) {
	raw, size := c.record(c.off)
	if raw == nil {
		next := c.resync(size)
		if next < 0 {
			return false, nil
		}
		c.damage = append(c.damage, Damage{Segment: c.s.name(), Offset: c.off, Bytes: next - c.off, After: c.last, Reason: c.w.reason(c.off, next)})
		c.off = next
		return true, nil
	}
	p := c.at(c.off)
	c.off += int64(len(raw))
	c.end = c.at(c.off)
	r := view(raw, p)
	if r.Kind == markKind {
		c.mark(r)
		return true, nil
	}
	c.sum = crc32.Update(c.sum, castagnoli, raw)
	if n := len(c.damage); n > 0 && c.damage[n-1].Records == 0 && c.damage[n-1].After == c.last && c.last > 0 {
		c.damage[n-1].Records = r.Seq - c.last - 1
	}
	c.closed = false
	if c.first == 0 {
		c.first = r.Seq
	}
	c.last = r.Seq
	c.records++
	if visit == nil {
		return true, nil
	}
	return true, visit(r)
}

// mark ends a batch. When all its records are sound and its checksum is not, something lies between them: padding, or a place that
// was written to and does not count.
func (c *scanner) mark(r Record) {
	m, ok := decodeMark(r.Body)
	if !ok {
		return
	}
	c.synced = max(c.synced, min(m.synced, r.At))
	c.closed = m.count == 0
	if c.holes == len(c.damage) && m.begin == c.begin && m.crc != c.sum {
		c.padding = append(c.padding, Damage{
			Segment: c.s.name(), Offset: c.s.offset(m.begin), Bytes: int64(r.At - m.begin), After: c.last,
			Reason: "the checksum of the batch is wrong and those of its records are right: padding was changed, no record is",
		})
	}
	c.begin, c.sum, c.holes = c.end, 0, len(c.damage)
}

// record returns the whole intact record at an offset. When only its body is damaged, size says how long it is.
func (c *scanner) record(off int64) (raw []byte, size int64) {
	p := c.at(off)
	head := c.w.peek(off, recordHeader)
	if len(head) < recordHeader || !soundHead(head, c.seed, p) {
		return nil, 0
	}
	seq, kind := order.Uint64(head[8:]), head[24]
	size = int64(recordHeader + padded(int(order.Uint32(head))))
	if c.limit > 0 && p+Position(size) > c.limit || kind != markKind && seq <= c.last {
		return nil, 0
	}
	raw = c.w.peek(off, int(size))
	if int64(len(raw)) < size || !soundBody(raw) {
		return nil, size
	}
	return raw, size
}

// resync looks for the next intact record behind a damaged one; -1 when there is none. size is that of the damaged one, where
// its head could be read.
func (c *scanner) resync(size int64) int64 {
	if size > 0 && c.off+size+recordHeader <= c.w.size {
		if raw, _ := c.record(c.off + size); raw != nil {
			return c.off + size
		}
	}
	for off := c.off + 8; off+recordHeader <= c.w.size; {
		if c.limit > 0 && c.at(off) >= c.limit {
			return -1
		}
		skip := c.w.zeros(off)
		if skip > 0 {
			off += skip
			continue
		}
		if raw, _ := c.record(off); raw != nil {
			return off
		}
		off += 8
	}
	return -1
}

// finish judges what is behind the last intact record.
func (c *scanner) finish() {
	if c.limit > 0 {
		if c.end < c.limit {
			c.damage = append(c.damage, Damage{Segment: c.s.name(), Offset: c.s.offset(c.end), Bytes: int64(c.limit - c.end), After: c.last, Reason: "the end is missing or cannot be read"})
		}
		return
	}
	from := c.s.offset(c.end)
	for off := from; off < c.w.size; {
		if skip := c.w.zeros(off); skip > 0 {
			off += skip
			continue
		}
		off += 8
		c.rest = min(off, c.w.size) - from
	}
}

// window reads a file through one buffer. What cannot be read at all reads as zeros, and is remembered.
type window struct {
	f     File
	size  int64
	buf   []byte
	start int64
	bad   []int64 // offsets of unreadable blocks
}

const (
	windowSize = 1 << 20
	blockSize  = 4096
)

// peek returns n bytes from off, fewer at the end of the file. They are valid until the next call.
func (w *window) peek(off int64, n int) []byte {
	if off >= w.size {
		return nil
	}
	n = int(min(int64(n), w.size-off))
	if off < w.start || off+int64(n) > w.start+int64(len(w.buf)) {
		w.fill(off, n)
	}
	i := off - w.start
	return w.buf[i : i+int64(n)]
}

func (w *window) fill(off int64, n int) {
	want := int(min(int64(max(n, windowSize)), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.start = w.buf[:want], off
	got, err := w.f.ReadAt(w.buf, off)
	if err == nil || errors.Is(err, io.EOF) && got == want {
		return
	}
	// A block that the disk does not give must not hide the others.
	for i := got; i < want; {
		n := int(min(int64(want-i), blockSize-(off+int64(i))%blockSize))
		if got, err := w.f.ReadAt(w.buf[i:i+n], off+int64(i)); err != nil && got < n {
			clear(w.buf[i+got : i+n])
			if !errors.Is(err, io.EOF) {
				w.bad = append(w.bad, off+int64(i))
			}
		}
		i += n
	}
}

// zeros says how many bytes from off on are 0, in multiples of 8, within the buffer.
func (w *window) zeros(off int64) int64 {
	b := w.peek(off, 8)
	if len(b) < 8 {
		return 0
	}
	i := off - w.start
	n := int64(0)
	for i+n+8 <= int64(len(w.buf)) && order.Uint64(w.buf[i+n:]) == 0 {
		n += 8
	}
	return n
}

func (w *window) reason(from, to int64) string {
	for _, off := range w.bad {
		if off < to && off+blockSize > from {
			return "the disk cannot read it"
		}
	}
	return "the checksum is wrong"
}
