package logs

import (
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// Line is one line of captured output.
type Line struct {
	Seq    uint64 // grows over all instances in the order of reading; 0: read from a file
	Time   time.Time
	Ref    topology.Ref
	Stream Stream
	Text   string
	Lost   int // lines this follower did not get just before this one, because it was too slow

	rank time.Time // its place among others, see rankLines; zero: its time
}

// place is what lines are ordered by.
func (l *Line) place() time.Time {
	if l.rank.IsZero() {
		return l.Time
	}
	return l.rank
}

// rankLines gives lines of one book, in the order in which they were printed, places that keep that order where the clock was set back: none
// is as late as the line after it, or as ceiling, the place of what follows them (zero: nothing). It returns that of the first.
func rankLines(lines []Line, ceiling time.Time) time.Time {
	for n := range slices.Backward(lines) {
		if l := &lines[n]; ceiling.IsZero() || l.Time.Before(ceiling) {
			ceiling = l.Time
		} else {
			ceiling = ceiling.Add(-1)
			l.rank = ceiling
		}
	}
	return ceiling
}

// Book is the output of one instance over all its lives: the newest lines in memory, all of them in files, and those who follow. Its
// methods may be called from anywhere, and never wait for a disk or a reader.
type Book struct {
	ref topology.Ref
	lib *Library

	mu         sync.Mutex
	ring       ring
	count      uint64 // lines ever taken
	newestNS   int64  // time of the newest one
	rules      *topology.Log
	meter      meter
	excess     int      // lines above the rate, not yet said
	suppressed uint64   // all of them
	routes     []route  // beside files
	files      [2]*file // of stdout and stderr, which may be the same; nil: memory only
	followers  map[*follower]struct{}
}

// Rule puts the book under other rules. What is in the ring stays, as far as the new one has room. The rules are kept, and must not be
// changed any more.
func (b *Book) Rule(l *topology.Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rules == nil || b.rules.Rate != l.Rate || b.rules.Burst != l.Burst {
		b.meter = newMeter(l)
	}
	b.rules, b.routes = l, b.lib.posts.routes(l)
	b.ring.resize(l.Ring)
	b.files = [2]*file{}
	dir := b.lib.dir
	if dir == "" || !slices.Contains(l.To, topology.LogFile) {
		return
	}
	b.files[0] = b.lib.writer.file(filepath.Join(dir, baseName(b.ref, false)), l)
	b.files[1] = b.files[0]
	if l.Split {
		b.files[1] = b.lib.writer.file(filepath.Join(dir, baseName(b.ref, true)), l)
	}
}

// fileOf is where lines of a stream go; nil: nowhere.
func (b *Book) fileOf(s Stream) *file {
	if s == Stderr {
		return b.files[1]
	}
	return b.files[0]
}

// clockBack is how far a clock may go back and be taken for one that stood still: within it no two lines of a book have the same time, nor
// an older one than the line before.
const clockBack = int64(time.Second)

// Append takes the lines of one reading, each without its end and of at most MaxLine bytes. With kept they go to files and sinks too, as far
// as the rate allows; otherwise to memory and followers alone. The texts are copied. The time of a line is at least one ns after the line
// before.
func (b *Book) Append(at time.Time, o Origin, kept bool, texts [][]byte) {
	if len(texts) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if kept && b.rules.Rate.Lines > 0 {
		if texts = texts[:b.limit(len(texts), at)]; len(texts) == 0 {
			return
		}
	}
	o.ref = b.ref
	b.take(at, &o, kept, texts)
}

// take is Append without a rate. The caller holds the lock.
func (b *Book) take(at time.Time, o *Origin, kept bool, texts [][]byte) {
	ns := at.UnixNano()
	if ns <= b.newestNS && ns > b.newestNS-clockBack {
		ns = b.newestNS + 1
	}
	b.newestNS = ns + int64(len(texts)) - 1
	b.count += uint64(len(texts))
	for n, text := range texts {
		seq := b.lib.lines.Add(1)
		b.ring.add(seq, ns+int64(n), o.Stream, text)
		for f := range b.followers {
			f.send(Line{Seq: seq, Time: time.Unix(0, ns+int64(n)), Ref: b.ref, Stream: o.Stream, Text: string(text)})
		}
	}
	if !kept {
		return
	}
	if f := b.fileOf(o.Stream); f != nil {
		b.lib.writer.put(f, ns, o, texts)
	}
	for i := range b.routes {
		b.routes[i].post(ns, o, texts)
	}
}

// Newest returns the newest n lines in memory whose sequence number is above after, oldest first.
func (b *Book) Newest(n int, after uint64) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.ring.newest(n, after)
	for i := range lines {
		lines[i].Ref = b.ref
	}
	return lines
}

// Last is the texts of the lines that Newest returns: the last words of a life that began after that number.
func (b *Book) Last(n int, after uint64) []string {
	var texts []string
	for _, l := range b.Newest(n, after) {
		texts = append(texts, l.Text)
	}
	return texts
}

// follow sends every line from now on, and returns those after one that was the newest when the book had taken count lines.
func (b *Book) follow(f *follower, after, count uint64) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.followers == nil {
		b.followers = make(map[*follower]struct{})
	}
	b.followers[f] = struct{}{}
	if b.count == count {
		return nil
	}
	lines := b.ring.newest(math.MaxInt, after)
	for i := range lines {
		lines[i].Ref = b.ref
	}
	if len(lines) > 0 {
		lines[0].Lost = int(b.count-count) - len(lines)
	}
	return lines
}

// Restore puts lines into the memory of a book that has taken none yet, as Newest of another one returned them. Nobody else hears of them.
func (b *Book) Restore(lines []Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range lines {
		l := &lines[i]
		b.newestNS = l.Time.UnixNano()
		b.ring.add(l.Seq, b.newestNS, l.Stream, []byte(l.Text))
	}
}

// snapshot is all lines in memory, the number of the newest, and how many there have ever been.
func (b *Book) snapshot() (lines []Line, seq, count uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines = b.ring.newest(math.MaxInt, 0)
	for i := range lines {
		lines[i].Ref = b.ref
		seq = lines[i].Seq
	}
	return lines, seq, b.count
}

func (b *Book) unfollow(f *follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.followers, f)
}

// Lost is how many lines did not reach the files, because the disk was full or too slow, and how many were above the rate.
func (b *Book) Lost() (n, suppressed uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.files {
		if f != nil && (i == 0 || f != b.files[0]) {
			n += f.lost.Load()
		}
	}
	return n, b.suppressed
}
