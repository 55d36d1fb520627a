package logs

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

// newest is the newest lines found so far, the oldest first.
type newest struct {
	n     int
	lines []Line
}

// add takes more of them; those beyond the number, or beyond the memory, are forgotten.
func (t *newest) add(more []Line) {
	if len(more) == 0 {
		return
	}
	t.lines = append(t.lines, more...)
	slices.SortStableFunc(t.lines, func(a, b Line) int { return a.place().Compare(b.place()) })
	t.lines = t.lines[t.first():]
}

func (t *newest) first() int {
	bytes, first := 0, len(t.lines)
	for first > 0 && len(t.lines)-first < t.n && bytes < newestBytes {
		first--
		bytes += len(t.lines[first].Text)
	}
	return first
}

// enough: lines before that time are too old to count.
func (t *newest) enough(at time.Time) bool {
	return len(t.lines) >= t.n && (t.n == 0 || !t.lines[0].place().Before(at))
}

// readNewest asks memory first, and files only where memory does not reach back far enough.
func (r *Reader) readNewest(ctx context.Context) []Line {
	q, all := &r.q, r.shelves
	found := &newest{n: q.Newest}
	missing := false
	for _, h := range all {
		var lines []Line
		for i := range h.ring {
			if q.takes(&h.ring[i]) {
				lines = append(lines, h.ring[i])
			}
		}
		found.add(lines)
	}
	for _, h := range all {
		missing = missing || !h.covers(q, found)
	}
	if !missing {
		return found.lines
	}
	r.fetch(ctx)
	for _, h := range all {
		for _, files := range h.files {
			after := h.from // the place of what follows in this file and the next
			for _, seg := range slices.Backward(files) {
				if ctx.Err() != nil {
					return found.lines
				}
				if h.covers(q, found) || !seg.live && (found.enough(seg.end) || seg.end.Before(q.Since)) {
					break
				}
				if err := r.readBack(ctx, h, seg, found, &after); err != nil {
					r.lib.unread(seg, err)
				}
			}
		}
	}
	return found.lines
}

// covers: no file of the instance can have a line that belongs to the answer.
func (h *shelf) covers(q *Query, found *newest) bool {
	return !h.from.IsZero() && (found.enough(h.from) || !q.Since.Before(h.from)) || found.n == 0
}

// backBlock is how much of a file is read at once, from its end.
const backBlock = 256 << 10

// readBack adds the newest lines of one file. after is the place of what follows it.
func (r *Reader) readBack(ctx context.Context, h *shelf, seg segment, found *newest, after *time.Time) error {
	q := &r.q
	v, err := openVolume(r.lib.dir, seg)
	if err != nil {
		return err
	}
	defer v.close()
	if v.z != nil {
		return v.all(ctx, q, h, found, after)
	}
	for to := v.size; to > 0 && ctx.Err() == nil; {
		from := max(to-backBlock, 0)
		block := batch{q: q, h: h, found: found, after: after}
		err := between(v.f, v.size, from, to, !v.live, func(raw []byte) { block.take(parseLine(raw)) })
		if !errors.Is(err, io.EOF) {
			return err
		}
		if block.flush(v.end); !block.oldest.IsZero() && (found.enough(block.oldest) || block.oldest.Before(q.Since)) {
			return nil
		}
		to = from
	}
	return nil
}

// all goes through a compressed file, which cannot be read from its end.
func (v *volume) all(ctx context.Context, q *Query, h *shelf, found *newest, after *time.Time) error {
	l, err := v.from(time.Time{})
	block := batch{q: q, h: h, found: found, after: after}
	for n := 0; err == nil; n++ {
		var line Line
		if line, err = l.line(); err == nil {
			block.take(line)
		}
		if n%1024 == 0 && ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	block.flush(v.end)
	return err
}

// batch collects lines of a file that are wanted, and hands them over before they are too many.
type batch struct {
	q      *Query
	h      *shelf
	found  *newest
	lines  []Line
	orphan int // lines at the beginning that have no time yet
	bytes  int
	last   time.Time
	oldest time.Time
	after  *time.Time
}

func (b *batch) take(l Line) {
	if l.Time.IsZero() {
		l.Time = b.last
	}
	b.last = l.Time
	if l.Time.IsZero() {
		b.orphan++
	} else if b.oldest.IsZero() || l.Time.Before(b.oldest) {
		b.oldest = l.Time
	}
	l.Ref = b.h.ref
	if !l.Time.IsZero() && (!b.h.onlyInFile(&l) || !b.q.takes(&l)) {
		return
	}
	b.lines = append(b.lines, l)
	if b.bytes += len(l.Text); b.bytes > newestBytes/4 || len(b.lines) > b.found.n+4096 {
		b.hand()
	}
}

// flush hands over the rest. Lines before the first time in a block are as old as that, or as the file when there is none.
func (b *batch) flush(end time.Time) {
	at := b.oldest
	if at.IsZero() {
		at = end
	}
	for i := range b.lines {
		if b.lines[i].Time.IsZero() {
			b.lines[i].Time = at
		}
	}
	if b.orphan > 0 {
		b.lines = slices.DeleteFunc(b.lines, func(l Line) bool { return !b.h.onlyInFile(&l) || !b.q.takes(&l) })
	}
	b.hand()
}

func (b *batch) hand() {
	*b.after = rankLines(b.lines, *b.after)
	b.found.add(b.lines)
	b.lines, b.bytes = b.lines[:0], 0
}
