package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// segment is a file of the log. number, base and path never change; first, end and last are guarded by the log's lock.
type segment struct {
	number  uint64
	base    Position
	path    string
	first   uint64      // no record in it has a lower sequence
	last    uint64      // the highest committed sequence in it, 0 when it has none
	end     Position    // behind the last committed byte
	size    int64       // of the file when it was made, 0 when unknown
	damaged atomic.Bool // its file is as it was found, and stays so

	reading sync.Mutex // guards reader and readers
	reader  File
	readers int
	gone    bool
}

func segmentName(number uint64, base Position, suffix string) string {
	return fmt.Sprintf("%08x-%016x%s", number, uint64(base), suffix)
}

// parseName reads what segmentName has written; ok is false for any other name.
func parseName(name, suffix string) (number uint64, base Position, ok bool) {
	stem, found := strings.CutSuffix(name, suffix)
	if !found {
		return 0, 0, false
	}
	var b uint64
	if n, err := fmt.Sscanf(stem, "%x-%x", &number, &b); n != 2 || err != nil || segmentName(number, Position(b), suffix) != name {
		return 0, 0, false
	}
	return number, Position(b), true
}

func (s *segment) name() string { return filepath.Base(s.path) }

// offset is where in the file an address is.
func (s *segment) offset(p Position) int64 { return int64(p-s.base) + headerSize }

// borrow opens the file for reading, or shares it with those who read it now.
func (s *segment) borrow(disk FS) (File, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.gone {
		return nil, errReleased
	}
	if s.reader == nil {
		f, err := disk.Open(s.path)
		if err != nil {
			return nil, err
		}
		s.reader = f
	}
	s.readers++
	return s.reader, nil
}

// giveBack ends a borrow. The file stays open for the next reader unless the segment was closed meanwhile.
func (s *segment) giveBack() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.readers--
	if s.readers == 0 && s.gone && s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

// closeReader refuses new readers and closes the file when the last one is done.
func (s *segment) closeReader() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.gone = true
	if s.readers == 0 && s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

// find returns the segment that has an address; the lock is held.
func (l *Log) find(p Position) *segment {
	lo, hi := 0, len(l.segs)
	for lo < hi {
		mid := (lo + hi) / 2
		if l.segs[mid].base <= p {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || p >= l.segs[lo-1].end {
		return nil
	}
	return l.segs[lo-1]
}

// Extent is a run of records in one file.
type Extent struct {
	First, Next uint64 // the records First <= seq < Next
	Bytes       int64
	Sealed      bool // nothing more is written to it: Release may remove it
}

// Oldest is the oldest segment: what must be relocated, or be done with, before Release(Next) can remove it.
func (l *Log) Oldest() Extent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs) == 0 {
		return Extent{First: l.seq + 1, Next: l.seq + 1}
	}
	s := l.segs[0]
	e := Extent{First: s.first, Next: l.seq + 1, Bytes: int64(s.end - s.base)}
	if len(l.segs) > 1 {
		e.Next, e.Sealed = l.segs[1].first, true
	}
	return e
}

// Release lets the writer remove whole segments from the head of the log all of whose records are < seq. Nothing else of them
// is read again. They go one by one, oldest first, each for good before the next, so that no crash leaves the beginning of a
// story without its end.
func (l *Log) Release(seq uint64) {
	l.mu.Lock()
	if seq > l.release {
		l.release = seq
		if l.releasable() != nil {
			l.wake.Signal()
		}
	}
	l.mu.Unlock()
}

// releasable is the head segment when it may go; the lock is held.
func (l *Log) releasable() *segment {
	if l.pins > 0 || l.replay != nil || len(l.segs) < 2 || l.segs[1].first > l.release {
		return nil
	}
	return l.segs[0]
}

// sweep removes what was released: the writer's work.
func (l *Log) sweep() {
	for {
		l.mu.Lock()
		s := l.releasable()
		l.mu.Unlock()
		if s == nil {
			return
		}
		if err := l.discard(s.path); err != nil {
			l.note("cannot remove a segment that is done with", "segment", s.path, "error", err)
			return
		}
		s.closeReader()
		l.mu.Lock()
		l.segs = l.segs[1:]
		l.stats.Released++
		l.judge()
		l.mu.Unlock()
	}
}

// discard removes a file for good.
func (l *Log) discard(path string) error {
	if err := l.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

func (l *Log) join(name string) string { return filepath.Join(l.dir, name) }
