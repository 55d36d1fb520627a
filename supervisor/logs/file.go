package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/topology"
)

// file is a file that is renamed to NAME.TIME when it is full or old enough. A disk that is full or slow stops nothing: lines are
// counted as lost, and it is said once, and once more when it is over.
type file struct {
	path  string
	names *sync.RWMutex // held while it gets another name
	rules atomic.Pointer[topology.Log]
	lost  atomic.Uint64

	pending *pending // under the writer's lock: what waits to be written

	// The writer's own.
	f       *os.File
	size    int64
	first   time.Time // of its first line; zero: unknown
	last    time.Time // of the newest reading in it; zero: unknown
	looked  time.Time // when it was last seen to be where it belongs
	patient time.Time // no rotation before, because one failed
	failing bool
}

// pending is lines that wait, already as they are written.
type pending struct {
	data  []byte
	marks []mark
}

// mark is where the lines of one reading end.
type mark struct {
	end int
	at  int64 // of the first of them, ns
}

// lookEvery is how often a file is looked for where it belongs, when there is something to write.
const lookEvery = time.Second

// write appends what is pending, in as many files as the rules want, and returns how many lines were lost. rotated is called after each
// rotation.
func (l *file) write(p *pending, now time.Time, rotated func()) (lost int, err error) {
	data, from := p.data, 0
	for _, m := range p.marks {
		part := data[from:m.end]
		from = m.end
		at := time.Unix(0, m.at)
		for len(part) > 0 && err == nil {
			var n int
			n, err = l.some(part, at, now, rotated)
			part = part[n:]
		}
		lost += bytes.Count(part, []byte{'\n'})
	}
	return lost, err
}

// some writes as many whole lines as fit the file, and returns their bytes.
func (l *file) some(p []byte, at, now time.Time, rotated func()) (int, error) {
	if err := l.ready(now); err != nil {
		return 0, err
	}
	rules := l.rules.Load()
	fits := l.fit(p, rules.MaxSize)
	if at.Before(l.first) {
		l.first = at // or it would not be old enough before the clock is where it was
	}
	setBack := rules.Keep > 0 && at.Before(l.last.Add(-disorder))
	if l.size > 0 && (fits == 0 || setBack || due(rules.Rotate, l.first, at, time.Local)) && !now.Before(l.patient) {
		if l.rotate(now); l.f == nil {
			rotated()
			return 0, l.open()
		}
	}
	switch {
	case fits == 0 && l.size == 0: // a line that is larger than a file may be
		fits = bytes.IndexByte(p, '\n') + 1
	case fits == 0:
		fits = len(p)
	}
	if l.size == 0 || l.first.IsZero() {
		l.first = at
	}
	l.last = at
	n, err := l.f.Write(p[:fits])
	if err != nil && n > 0 {
		n = l.mend(p[:n])
	}
	l.size += int64(n)
	return n, err
}

// fit is how many bytes of whole lines the file has room for.
func (l *file) fit(p []byte, limit int64) int {
	room := limit - l.size
	if limit <= 0 || int64(len(p)) <= room {
		return len(p)
	}
	return bytes.LastIndexByte(p[:max(room, 0)], '\n') + 1
}

// mend takes back the torn line at the end of a write that failed on its way, and returns what stays.
func (l *file) mend(written []byte) int {
	whole := bytes.LastIndexByte(written, '\n') + 1
	if l.f.Truncate(l.size+int64(whole)) != nil {
		l.close() // opening it again ends the torn line
	}
	return whole
}

// disorder is by how much times in one file may go back at most, but that no other file could be made: whoever looks for a time goes by that.
const disorder = time.Minute

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// lastTime is that of the last line that has one, as far as it is near the end.
func lastTime(f *os.File, size int64) (last time.Time) {
	tail := make([]byte, min(size, 4<<10))
	n, _ := f.ReadAt(tail, size-int64(len(tail)))
	for line := range bytes.Lines(tail[:n]) {
		if at, ok := timeOf(line); ok {
			last = at
		}
	}
	return last
}

// due says whether a file that begins at first must be rotated before a line of at.
func due(r topology.LogRotate, first, at time.Time, zone *time.Location) bool {
	switch {
	case first.IsZero():
		return false
	case r.Every > 0:
		return at.Sub(first) >= r.Every
	case r.Calendar == "daily":
		y, m, d := first.In(zone).Date()
		return !at.Before(time.Date(y, m, d+1, 0, 0, 0, 0, zone))
	case r.Calendar == "hourly":
		_, offset := first.In(zone).Zone()
		hour := func(t time.Time) int64 { return (t.Unix() + int64(offset)) / 3600 }
		return hour(at) > hour(first)
	}
	return false
}

// ready sees to it that the file is open, and still the one that its name leads to: others may have moved, removed or cut it.
func (l *file) ready(now time.Time) error {
	if l.f != nil && now.Sub(l.looked) >= lookEvery {
		l.looked = now
		there, err := os.Stat(l.path)
		mine, merr := l.f.Stat()
		if err != nil || merr != nil || !os.SameFile(there, mine) {
			l.close()
		} else {
			l.size = mine.Size()
		}
	}
	if l.f != nil {
		return nil
	}
	l.looked = now
	return l.open()
}

func (l *file) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.size, l.first, l.last = f, info.Size(), time.Time{}, time.Time{}
	if !info.Mode().IsRegular() || l.size == 0 {
		return nil
	}
	head := make([]byte, 64)
	if n, _ := f.ReadAt(head, 0); n > 0 { // at the end of a short file with an error
		l.first, _ = timeOf(head[:n])
	}
	if l.first.IsZero() {
		l.first = info.ModTime()
	}
	l.last = lastTime(f, l.size)
	return l.endLine()
}

// endLine ends a line that a crash or a full disk has torn.
func (l *file) endLine() error {
	var last [1]byte
	if n, _ := l.f.ReadAt(last[:], l.size-1); n == 0 || last[0] == '\n' {
		return nil // what cannot be read can perhaps be written
	}
	n, err := l.f.Write([]byte{'\n'})
	l.size += int64(n)
	if err != nil {
		l.close()
	}
	return err
}

// rotate moves the file away and leaves it closed. When that cannot be done, it is written on for a while.
func (l *file) rotate(now time.Time) {
	var err error
	if l.rules.Load().Keep > 0 {
		var name string
		if name, err = rotatedName(l.path, latest(now, l.last)); err == nil {
			err = l.rename(name)
		}
	} else {
		err = os.Remove(l.path)
	}
	if err != nil && !os.IsNotExist(err) {
		l.patient = now.Add(time.Minute)
		return
	}
	l.close()
}

func (l *file) rename(name string) error {
	l.names.Lock()
	defer l.names.Unlock()
	return os.Rename(l.path, name)
}

func (l *file) close() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}
