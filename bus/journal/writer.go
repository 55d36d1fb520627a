package journal

import (
	"errors"
	"fmt"
	"time"
)

// writer is what only the writer goroutine touches.
type writer struct {
	files  []*target // those of the group being written; the last one is the current segment
	spare  *target   // allocated and empty
	hand   []*batch  // the room for a group
	number uint64    // of the next file
	synced Position  // everything below is on disk
	trim   *segment  // the last segment of the run before: cut to its end when a new one is in force
	tries  int       // failed attempts since the last success
	scarce int       // failed attempts to have a reserve
}

// target is a file that is written to.
type target struct {
	seg     *segment // nil in reserve
	f       File
	path    string // where it is now
	size    int64  // allocated
	cursor  Position
	last    uint64
	settled bool // has its name, in force
	dirty   bool
}

// run is the writer goroutine: it takes what has formed, writes and syncs it as one group, and tells. It ends with Close.
func (l *Log) run() {
	defer close(l.done)
	defer l.finale()
	for {
		l.sweep()
		l.provide()
		group := l.take()
		if group == nil {
			return
		}
		if !l.commit(group) {
			return
		}
	}
}

// take waits for work. An empty group is a wake-up for the chores before it, nil is the end.
func (l *Log) take() []*batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.flushed && !l.closing && l.releasable() == nil && !l.chore {
		l.wake.Wait()
	}
	l.chore = false
	if l.closing {
		l.flushed = true
	}
	if !l.flushed {
		return []*batch{}
	}
	if l.forming.count > 0 {
		l.roll()
	}
	n, bytes := 0, 0
	for n < len(l.queue) && (n == 0 || bytes+len(l.queue[n].buf) <= groupSize) {
		bytes += len(l.queue[n].buf)
		n++
	}
	l.w.hand = append(l.w.hand[:0], l.queue[:n]...)
	l.writing = l.w.hand
	l.queue = append(l.queue[:0], l.queue[n:]...)
	l.flushed = len(l.queue) > 0
	if n == 0 {
		if l.closing {
			return nil
		}
		return []*batch{}
	}
	return l.writing
}

// commit writes a group until it is on disk; false means that the log was closed before it was.
func (l *Log) commit(group []*batch) bool {
	for len(group) > 0 {
		n, err := l.store(group)
		if err == nil {
			l.publish(group[:n], group[n:])
			group = group[n:]
			continue
		}
		l.abandon(err)
		if l.w.tries++; l.w.tries == 1 {
			l.note("a write to the journal failed; writing anew to another segment", "error", err)
			continue
		}
		l.setFailure(err)
		if !l.pause(l.w.tries - 1) {
			return false
		}
	}
	return true
}

// store writes the group and syncs it, or as much of its beginning as one new file takes: were there two, the second might
// be found after a crash without the first. After an error nothing of it counts.
func (l *Log) store(group []*batch) (n int, err error) {
	w := &l.w
	for _, b := range group {
		if k := len(w.files); k > 0 && !w.files[k-1].settled && !w.files[k-1].fits(b) {
			break
		}
		t, err := l.targetFor(b)
		if err != nil {
			return 0, err
		}
		b.finish(l.seed, w.synced)
		t.dirty = true
		if _, err := t.f.WriteAt(b.buf, t.seg.offset(b.base)); err != nil {
			return 0, err
		}
		t.cursor, t.last = b.end(), max(t.last, b.last)
		n++
	}
	return n, l.sync()
}

func (t *target) fits(b *batch) bool { return t.seg.offset(b.end()) <= t.size }

// sync makes durable what was written, then the name of a new file.
func (l *Log) sync() error {
	for _, t := range l.w.files {
		if t.dirty {
			begun := time.Now()
			err := t.f.Sync()
			l.countSync(time.Since(begun))
			if err != nil {
				return err
			}
			t.dirty = false
		}
	}
	t := l.w.files[len(l.w.files)-1]
	if t.settled {
		return nil
	}
	if err := l.fs.Rename(t.path, t.seg.path); err != nil {
		return err
	}
	t.path = t.seg.path
	return l.fs.SyncDir(l.dir)
}

// targetFor is the file that a batch goes to: the current one while it has room, else a new one.
func (l *Log) targetFor(b *batch) (*target, error) {
	w := &l.w
	if n := len(w.files); n > 0 {
		if t := w.files[n-1]; t.fits(b) {
			return t, nil
		}
	}
	t := w.spare
	if need := int64(headerSize + len(b.buf)); t == nil || t.size < need {
		var err error
		if t, err = l.allocate(max(need, l.o.Segment)); err != nil {
			return nil, err
		}
	} else {
		w.spare = nil
	}
	first := b.first
	if b.count == 0 {
		first = l.committed.Load() + 1
	}
	w.number++ // now, not when the reserve was made: numbers must grow as bases do
	t.seg = &segment{number: w.number, base: b.base, first: first, end: b.base, path: l.join(segmentName(w.number, b.base, ".seg"))}
	w.files = append(w.files, t)
	h := header{number: w.number, base: b.base, first: first, created: l.o.Now().UnixNano(), epoch: l.o.Epoch, size: t.size, identity: l.ident}
	t.dirty = true
	_, err := t.f.WriteAt(h.encode(), 0)
	return t, err
}

// allocate creates a file with room on disk.
func (l *Log) allocate(size int64) (*target, error) {
	l.w.number++
	t := &target{size: size, path: l.join(fmt.Sprintf("%08x.new", l.w.number))}
	f, err := l.fs.Create(t.path)
	if err != nil {
		return nil, err
	}
	if err := f.Allocate(size); err != nil {
		return nil, errors.Join(err, f.Close(), l.fs.Remove(t.path))
	}
	t.f = f
	return t, nil
}

// abandon gives up the files of a group that failed. What was committed to them stays, and is read from there.
func (l *Log) abandon(err error) {
	l.mu.Lock()
	l.stats.Failures++
	l.mu.Unlock()
	for _, t := range l.w.files {
		_ = t.f.Close()
		if t.settled {
			l.note("a segment is closed for writing as suspect; what was committed to it stays", "segment", t.path, "error", err)
			continue
		}
		// Nothing in it was promised, and memory has it all.
		if err := l.fs.Remove(t.path); err != nil {
			l.note("cannot remove an unfinished segment; the next start tries again", "file", t.path, "error", err)
		}
	}
	l.w.files = nil
}

// publish makes a group count: readers find it, its memory is used again, the owner is told. The rest is still in hand.
func (l *Log) publish(group, rest []*batch) {
	w := &l.w
	last, end := group[len(group)-1].last, group[len(group)-1].end() // now: as soon as it is free, a batch belongs to the next records
	l.mu.Lock()
	for _, t := range w.files {
		if !t.settled {
			t.settled = true
			l.segs = append(l.segs, t.seg)
		}
		t.seg.end, t.seg.last = t.cursor, t.last
	}
	w.synced = end
	l.writing = rest
	for _, b := range group {
		l.pending -= int64(len(b.buf))
		l.stats.countBatch(b)
		l.free(b)
	}
	l.stats.Groups++
	l.committed.Store(last)
	l.judge()
	l.landed.Broadcast()
	l.mu.Unlock()
	w.tries = 0
	l.setFailure(nil)
	l.retire()
	if l.o.Committed != nil {
		l.o.Committed(last)
	}
}

// retire closes the files before the current one and gives back the room that they did not need.
func (l *Log) retire() {
	w := &l.w
	for _, t := range w.files[:len(w.files)-1] {
		_ = t.f.Close()
		l.cut(t.seg)
	}
	w.files = w.files[len(w.files)-1:]
	s := w.trim
	if s == nil {
		return
	}
	w.trim = nil
	if s.end > s.base {
		l.cut(s)
		return
	}
	l.mu.Lock()
	for i, other := range l.segs {
		if other == s {
			l.segs = append(l.segs[:i:i], l.segs[i+1:]...)
			break
		}
	}
	l.mu.Unlock()
	s.closeReader()
	if err := l.discard(s.path); err != nil {
		l.note("cannot remove an empty segment", "segment", s.path, "error", err)
	}
}

// cut takes from a segment's file what lies behind its end. A damaged file stays as it was found.
func (l *Log) cut(s *segment) {
	if s.damaged.Load() {
		return
	}
	if err := l.fs.Truncate(s.path, s.offset(s.end)); err != nil {
		l.note("cannot give back the unused room of a segment", "segment", s.path, "error", err)
	}
}

// provide keeps one allocated segment in reserve, from which the log goes on when the disk is full. Without one it is Full.
func (l *Log) provide() {
	w := &l.w
	if w.spare != nil || l.closed() {
		return
	}
	t, err := l.allocate(l.o.Segment)
	if err == nil {
		w.spare, w.scarce = t, 0
		l.setScarce(nil)
		return
	}
	w.scarce++
	l.setScarce(err)
	time.AfterFunc(l.o.Pause(w.scarce), func() {
		l.mu.Lock()
		l.chore = true
		l.wake.Signal()
		l.mu.Unlock()
	})
}

func (l *Log) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closing
}

// pause waits before the next attempt; false means that the log is closed.
func (l *Log) pause(try int) bool {
	timer := time.NewTimer(l.o.Pause(try))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.quit:
		return false
	}
}

// finale seals the current segment: an empty mark vouches for all before it, so that the next Open knows that nothing is torn.
func (l *Log) finale() {
	w := &l.w
	if n := len(w.files); n > 0 && w.files[n-1].settled {
		t := w.files[n-1]
		b := closing(t.cursor, t.last, l.o.Now().UnixNano())
		b.finish(l.seed, b.base)
		_, err := t.f.WriteAt(b.buf, t.seg.offset(b.base))
		if err == nil {
			err = t.f.Sync()
		}
		if err == nil {
			err = l.fs.Truncate(t.seg.path, t.seg.offset(b.end()))
		}
		if err != nil {
			l.note("cannot seal the journal; the next start looks for a torn tail", "error", err)
		}
	}
	for _, t := range w.files {
		_ = t.f.Close()
	}
	if w.spare != nil {
		_ = w.spare.f.Close()
	}
}

// note writes to the daemon's log.
func (l *Log) note(text string, args ...any) { l.o.Log.Warn(text, append(args, "journal", l.dir)...) }
