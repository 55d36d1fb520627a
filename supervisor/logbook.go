package supervisor

import (
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
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
}

// logbook is the output of one instance over all its lives: the newest lines in memory, all of them in files, and those who follow.
type logbook struct {
	ref     topology.Ref
	counter *atomic.Uint64 // shared by all
	writer  *logWriter
	dir     string // of its files; "" none
	posts   *postOffice

	mu         sync.Mutex
	ring       ring
	count      uint64 // lines ever taken
	newestNS   int64  // time of the newest one
	rules      *topology.Log
	meter      meter
	excess     int         // lines above the rate, not yet said
	suppressed uint64      // all of them
	routes     []route     // beside files
	files      [2]*logFile // of stdout and stderr, which may be the same; nil: memory only
	followers  map[*follower]struct{}
}

// newLogbook makes the book of one instance; dir is where its files are, "" none.
func newLogbook(ref topology.Ref, t *topology.Satellite, counter *atomic.Uint64, w *logWriter, posts *postOffice, dir string) *logbook {
	b := &logbook{ref: ref, counter: counter, writer: w, posts: posts, dir: dir}
	b.rule(&t.Log)
	return b
}

// rule puts the book under other rules. What is in the ring stays.
func (b *logbook) rule(l *topology.Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rules == nil || b.rules.Rate != l.Rate || b.rules.Burst != l.Burst {
		b.meter = newMeter(l)
	}
	b.rules, b.routes = l, b.posts.routes(l)
	b.ring.resize(l.Ring)
	b.files = [2]*logFile{}
	if b.dir == "" || !slices.Contains(l.To, topology.LogFile) {
		return
	}
	b.files[0] = b.writer.file(filepath.Join(b.dir, logBase(b.ref, false)), l)
	b.files[1] = b.files[0]
	if l.Split {
		b.files[1] = b.writer.file(filepath.Join(b.dir, logBase(b.ref, true)), l)
	}
}

// fileOf is where lines of a stream go; nil: nowhere.
func (b *logbook) fileOf(s Stream) *logFile {
	if s == Stderr {
		return b.files[1]
	}
	return b.files[0]
}

// follower is one reader of Follow. Lines that do not fit are counted.
type follower struct {
	lines chan Line
	lost  int // under the lock of the book that sends
	mu    sync.Mutex
}

func (f *follower) send(l Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.Lost = f.lost
	select {
	case f.lines <- l:
		f.lost = 0
	default:
		f.lost++
	}
}

// seq is the newest sequence number.
func (b *logbook) seq() uint64 { return b.counter.Load() }

// clockBack is how far a clock may go back and be taken for one that stood still: within it no two lines of a book have the same time, nor
// an older one than the line before.
const clockBack = int64(time.Second)

// append takes the lines of one reading; kept ones go further than memory. The texts are copied.
func (b *logbook) append(at time.Time, o *origin, kept bool, texts [][]byte) {
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
	b.take(at, o, kept, texts)
}

// take is append without a rate. The caller holds the lock.
func (b *logbook) take(at time.Time, o *origin, kept bool, texts [][]byte) {
	ns := at.UnixNano()
	if ns <= b.newestNS && ns > b.newestNS-clockBack {
		ns = b.newestNS + 1
	}
	b.newestNS = ns + int64(len(texts)) - 1
	b.count += uint64(len(texts))
	for n, text := range texts {
		seq := b.counter.Add(1)
		b.ring.add(seq, ns+int64(n), o.stream, text)
		for f := range b.followers {
			f.send(Line{Seq: seq, Time: time.Unix(0, ns+int64(n)), Ref: b.ref, Stream: o.stream, Text: string(text)})
		}
	}
	if !kept {
		return
	}
	if f := b.fileOf(o.stream); f != nil {
		b.writer.put(f, ns, o, texts)
	}
	for i := range b.routes {
		b.routes[i].post(ns, o, texts)
	}
}

// newest returns the newest n lines after a sequence number, oldest first.
func (b *logbook) newest(n int, after uint64) []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.ring.newest(n, after)
	for i := range lines {
		lines[i].Ref = b.ref
	}
	return lines
}

// last is the texts of the newest lines of a life, as evidence.
func (b *logbook) last(n int, after uint64) []string {
	var texts []string
	for _, l := range b.newest(n, after) {
		texts = append(texts, l.Text)
	}
	return texts
}

// follow sends every line from now on, and returns those after one that was the newest when the book had taken count lines.
func (b *logbook) follow(f *follower, after, count uint64) []Line {
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

// snapshot is all lines in memory, the number of the newest, and how many there have ever been.
func (b *logbook) snapshot() (lines []Line, seq, count uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines = b.ring.newest(math.MaxInt, 0)
	for i := range lines {
		lines[i].Ref = b.ref
		seq = lines[i].Seq
	}
	return lines, seq, b.count
}

func (b *logbook) unfollow(f *follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.followers, f)
}

// lost is how many lines did not reach the files, and how many were above the rate.
func (b *logbook) lost() (n, suppressed uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.files {
		if f != nil && (i == 0 || f != b.files[0]) {
			n += f.lost.Load()
		}
	}
	return n, b.suppressed
}
