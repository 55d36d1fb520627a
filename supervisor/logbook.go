package supervisor

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/topology"
)

// Line is one line of captured output.
type Line struct {
	Seq    uint64 // grows over all instances in the order of reading
	Time   time.Time
	Ref    topology.Ref
	Stream Stream
	Text   string
	Lost   int // lines this follower did not get just before this one, because it was too slow
}

// logbook is the output of one instance over all its lives: the newest lines in memory, all of them in a file, and those who follow.
type logbook struct {
	ref     topology.Ref
	counter *atomic.Uint64 // shared by all
	writer  *logWriter

	mu        sync.Mutex
	ring      ring
	file      *logFile // nil: memory only
	followers map[*follower]struct{}
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

// append takes the lines of one reading. The texts are copied.
func (b *logbook) append(at time.Time, s Stream, toFile bool, texts [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range texts {
		seq := b.counter.Add(1)
		b.ring.add(seq, at, s, text)
		for f := range b.followers {
			f.send(Line{Seq: seq, Time: at, Ref: b.ref, Stream: s, Text: string(text)})
		}
	}
	if toFile && b.file != nil {
		b.writer.put(b.file, at, s, texts)
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

func (b *logbook) follow(f *follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.followers == nil {
		b.followers = make(map[*follower]struct{})
	}
	b.followers[f] = struct{}{}
}

func (b *logbook) unfollow(f *follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.followers, f)
}

// lost is how many lines did not reach the file.
func (b *logbook) lost() uint64 {
	if b.file == nil {
		return 0
	}
	return b.file.lost.Load()
}
