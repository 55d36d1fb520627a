package logs

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/dsat/dsat/topology"
)

// Query says which lines are wanted.
type Query struct {
	Refs   []topology.Ref
	Newest int            // the newest so many; below 0: all
	Since  time.Time      // zero: from the first
	Until  time.Time      // zero: to the last
	Grep   *regexp.Regexp // in the text; nil: any
	Stream Stream         // "": both
}

func (q *Query) takes(l *Line) bool {
	return !l.Time.Before(q.Since) && (q.Until.IsZero() || !l.Time.After(q.Until)) &&
		(q.Stream == "" || q.Stream == l.Stream) && (q.Grep == nil || q.Grep.MatchString(l.Text))
}

// newestBytes bounds what a question for the newest lines holds in memory: of more there are fewer lines in the answer.
const newestBytes = 32 << 20

// settlePatience is how long a reader waits for lines on their way to the disk.
const settlePatience = time.Second

// shelf is what there is of one instance: the newest lines from memory, and the files with all before them.
type shelf struct {
	ref   topology.Ref
	ring  []Line
	seq   uint64 // newest of the ring
	count uint64 // lines the book has ever taken
	from  time.Time
	until time.Time          // lines of files that are later are told in another way; zero: none are
	times map[int64]struct{} // of the ring, once it is asked for them; ns
	files [][]segment        // of stdout and, where it is split, of stderr; each the oldest first
}

// Reader answers one Query, once.
type Reader struct {
	lib     *Library
	q       Query
	book    func(topology.Ref) *Book
	shelves []*shelf
}

// Reader looks at the memory of all that are named, as it is now; files are looked at by the Reader's methods. book finds the book of an
// instance, or nil where there is none any more: then there may be files yet.
func (l *Library) Reader(q Query, book func(topology.Ref) *Book) *Reader {
	r := &Reader{lib: l, q: q, book: book, shelves: make([]*shelf, 0, len(q.Refs))}
	for _, ref := range q.Refs {
		h := &shelf{ref: ref}
		if b := book(ref); b != nil {
			h.ring, h.seq, h.count = b.snapshot()
		}
		h.from = rankLines(h.ring, time.Time{})
		r.shelves = append(r.shelves, h)
	}
	return r
}

// fetch adds the files. What was written before the shelves were made is in them, if the disk keeps up.
func (r *Reader) fetch(ctx context.Context) {
	l := r.lib
	if l.dir == "" {
		return
	}
	patient, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	l.writer.settle(patient)
	segments, err := l.writer.archive.list()
	if err != nil {
		l.log.Warn("cannot list the log files", "dir", l.dir, "error", err)
		return
	}
	byRef := make(map[topology.Ref][][]segment)
	for _, seg := range segments {
		list := byRef[seg.ref]
		if n := len(list); n == 0 || list[n-1][0].base != seg.base {
			list = append(list, nil)
		}
		list[len(list)-1] = append(list[len(list)-1], seg)
		byRef[seg.ref] = list
	}
	for _, h := range r.shelves {
		h.files = byRef[h.ref]
	}
}

// Lines returns the lines of all named together in the order of their time, from memory and from files, until the context ends. Memory is
// bounded, whatever the files hold. What cannot be read is left out, and said in the log.
func (r *Reader) Lines(ctx context.Context) iter.Seq[Line] {
	if r.q.Newest >= 0 {
		return slices.Values(r.readNewest(ctx))
	}
	return func(yield func(Line) bool) {
		r.fetch(ctx)
		var m merge
		defer m.close()
		for _, h := range r.shelves {
			for _, files := range h.files {
				m.add(&fileSource{lib: r.lib, shelf: h, q: &r.q, left: files})
			}
			m.add(&ringSource{q: &r.q, left: h.ring})
		}
		for n := 0; ; n++ {
			l, ok := m.next()
			if !ok || n%256 == 0 && ctx.Err() != nil || !yield(l) {
				return
			}
		}
	}
}

// source gives the lines of one place, in their order.
type source interface {
	next() (Line, bool)
	close()
}

type ringSource struct {
	q    *Query
	left []Line
}

func (r *ringSource) next() (Line, bool) {
	for len(r.left) > 0 {
		l := r.left[0]
		r.left = r.left[1:]
		if r.q.takes(&l) {
			return l, true
		}
	}
	return Line{}, false
}

func (r *ringSource) close() {}

// fileSource reads the files of one base, one after the other.
type fileSource struct {
	lib   *Library
	shelf *shelf
	q     *Query
	left  []segment
	open  *volume
	lines *fileLines
}

func (f *fileSource) next() (Line, bool) {
	for {
		for f.lines == nil {
			if len(f.left) == 0 {
				return Line{}, false
			}
			f.begin()
		}
		l, err := f.lines.line()
		if err != nil {
			f.lib.unread(f.open.segment, err)
			f.close()
			continue
		}
		l.Ref = f.shelf.ref
		if !f.q.Until.IsZero() && l.Time.Add(-2*disorder).After(f.q.Until) {
			f.close() // the rest is later still; not so in the next file, where the clock was set back
			continue
		}
		if f.shelf.onlyInFile(&l) && f.q.takes(&l) {
			return l, true
		}
	}
}

// onlyInFile: what is in memory too is taken from there. A time tells: each line of a book has its own. That it is later than the first in
// memory does not, for the clock may have been set back.
func (h *shelf) onlyInFile(l *Line) bool {
	if h.from.IsZero() || l.Time.Before(h.from) {
		return true
	}
	if !h.until.IsZero() && l.Time.After(h.until) {
		return false
	}
	if h.times == nil {
		h.times = make(map[int64]struct{}, len(h.ring))
		for i := range h.ring {
			h.times[h.ring[i].Time.UnixNano()] = struct{}{}
		}
	}
	_, there := h.times[l.Time.UnixNano()]
	return !there
}

// begin opens the next file that can have such lines.
func (f *fileSource) begin() {
	seg := f.left[0]
	f.left = f.left[1:]
	if seg.end.Before(f.q.Since) && !seg.live {
		return
	}
	v, err := openVolume(f.lib.dir, seg)
	if err == nil {
		if f.lines, err = v.from(f.q.Since); err == nil {
			f.open = v
			return
		}
		v.close()
	}
	f.lib.unread(seg, err)
}

func (f *fileSource) close() {
	if f.open != nil {
		f.open.close()
	}
	f.open, f.lines = nil, nil
}

// unread says that a file could not be read to its end, if that is strange.
func (l *Library) unread(seg segment, err error) {
	if !errors.Is(err, io.EOF) && !os.IsNotExist(err) {
		l.log.Warn("cannot read a log file to its end", "file", seg.name, "error", err)
	}
}

// merge brings sources together: the oldest line first.
type merge struct {
	heads []head
	order int
}

type head struct {
	line  Line
	from  source
	order int
}

func (m *merge) add(s source) {
	m.order++
	if l, ok := s.next(); ok {
		m.heads = append(m.heads, head{l, s, m.order})
		heap.Fix(m, len(m.heads)-1)
	} else {
		s.close()
	}
}

func (m *merge) next() (Line, bool) {
	if len(m.heads) == 0 {
		return Line{}, false
	}
	h := &m.heads[0]
	l := h.line
	if next, ok := h.from.next(); ok {
		h.line = next
		heap.Fix(m, 0)
	} else {
		h.from.close()
		heap.Pop(m)
	}
	return l, true
}

func (m *merge) close() {
	for _, h := range m.heads {
		h.from.close()
	}
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (m *merge) Len() int { return len(m.heads) }
func (m *merge) Less(a, b int) bool {
	return cmp.Or(m.heads[a].line.place().Compare(m.heads[b].line.place()), m.heads[a].order-m.heads[b].order) < 0
}
func (m *merge) Swap(a, b int) { m.heads[a], m.heads[b] = m.heads[b], m.heads[a] }
func (m *merge) Push(x any)    { m.heads = append(m.heads, x.(head)) }
func (m *merge) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads[len(m.heads)-1] = head{}
	m.heads = m.heads[:len(m.heads)-1]
	return last
}
