package journal

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Report says what Open and Replay found. It is complete when Replay has returned.
type Report struct {
	Segments int      `json:"segments"`
	Records  uint64   `json:"records"`           // served by Replay
	Tail     uint64   `json:"tail"`              // of them, written after the last sync that is proven
	Torn     int64    `json:"torn"`              // bytes cut: written after the last sync that is proven, and not whole
	Lost     uint64   `json:"lost"`              // records that were committed and cannot be read
	Damage   []Damage `json:"damage,omitempty"`  // where; the files are kept
	Strange  []string `json:"strange,omitempty"` // files that do not belong here; left alone
}

// Clean says that nothing was lost that had been promised.
func (r Report) Clean() bool { return len(r.Damage) == 0 && len(r.Strange) == 0 }

// Report is what was found so far.
func (l *Log) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.Damage, r.Strange = slices.Clone(r.Damage), slices.Clone(r.Strange)
	return r
}

const (
	identityName = "journal"
	asideName    = "aside"
)

// Open opens the log in a directory, which is created when it is not there. It cuts a torn tail and sets damaged segments
// aside. The log is usable also when nothing can be written at the moment: then it is Full, and Failed was told why.
// Errors: another process has it open, a format of another release, a directory that cannot be read.
func Open(dir string, o Options) (*Log, error) {
	l := &Log{o: o, dir: dir, fs: o.FS, quit: make(chan struct{}), done: make(chan struct{})}
	l.wake.L, l.landed.L = &l.mu, &l.mu
	l.defaults()
	if err := l.fs.MkdirAll(l.join(asideName)); err != nil {
		return nil, fmt.Errorf("cannot open the journal: %w", err)
	}
	if err := l.identify(); err != nil {
		return nil, fmt.Errorf("cannot open the journal: %w", err)
	}
	tail, err := l.recover()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the journal: %w", err), l.lock.Close())
	}
	go l.run() // ends with Close, which waits for it
	if tail {
		l.Flush()
		l.mu.Lock()
		for l.committed.Load() < l.seq && l.failure == nil {
			l.landed.Wait()
		}
		l.mu.Unlock()
	}
	return l, nil
}

func (l *Log) defaults() {
	if l.fs == nil {
		l.fs = disk{}
	}
	if l.o.Segment == 0 {
		l.o.Segment = defaultSegment
	}
	l.o.Segment = (min(max(l.o.Segment, leastSegment), mostSegment) + 7) &^ 7
	l.batch = int(min(batchSize, l.o.Segment/4))
	if l.o.Log == nil {
		l.o.Log = slog.New(slog.DiscardHandler)
	}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	if l.o.Pause == nil {
		l.o.Pause = func(try int) time.Duration { return min(50*time.Millisecond<<min(try-1, 10), 5*time.Second) }
	}
}

// recover finds the segments and the end of what was promised. What is intact behind it goes into the first batches, to be
// written anew; found says that there is any.
func (l *Log) recover() (found bool, err error) {
	if err := l.discover(); err != nil {
		return false, err
	}
	next := Position(origin)
	var tail []Record
	if n := len(l.segs); n > 0 {
		if next, tail, err = l.recoverLast(l.segs[n-1]); err != nil {
			return false, err
		}
	}
	if err := l.findFirsts(); err != nil {
		return false, err
	}
	l.forming = &batch{base: next}
	l.w.synced = next
	l.committed.Store(l.seq)
	l.report.Segments, l.report.Tail = len(l.segs), uint64(len(tail))
	l.replay = &replay{segs: slices.Clone(l.segs)}
	for _, r := range tail {
		r.At = l.readd(r)
		l.replay.tail = append(l.replay.tail, r)
	}
	return len(tail) > 0, nil
}

// readd appends a record that has a sequence and a time already. All of them go into one batch, and so into one file: when that
// is in force, it hides all of what they were in before.
func (l *Log) readd(r Record) Position {
	b := l.forming
	at := b.end()
	b.add(r.Seq, r.Kind, r.Time, len(r.Body), [][]byte{r.Body})
	l.pending += int64(recordHeader + padded(len(r.Body)))
	l.seq = r.Seq
	return at
}

// discover lists the segments and reads their heads.
func (l *Log) discover() error {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := l.meet(name); err != nil {
			return err
		}
	}
	// What is seen now must be what a loss of power leaves: else a file whose removal was not synced yet comes back later.
	if !l.readOnly {
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	slices.SortFunc(l.segs, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	// A segment serves what is below the base of those after it.
	limit := Position(0)
	for i := len(l.segs) - 1; i >= 0; i-- {
		s := l.segs[i]
		s.end = limit
		if limit == 0 || s.base < limit {
			limit = s.base
		}
		if s.end != 0 {
			s.end = max(s.end, s.base)
		}
	}
	return nil
}

// meet judges one file of the directory.
func (l *Log) meet(name string) error {
	path := l.join(name)
	if strings.HasSuffix(name, ".new") {
		var n uint64
		if _, err := fmt.Sscanf(name, "%x.new", &n); err == nil {
			l.w.number = max(l.w.number, n)
		}
		if l.readOnly {
			return nil
		}
		return l.fs.Remove(path) // a reserve, or a segment that was never in force
	}
	number, base, ok := parseName(name, ".seg")
	if !ok {
		if name != identityName && name != asideName {
			l.report.Strange = append(l.report.Strange, name)
		}
		return nil
	}
	l.w.number = max(l.w.number, number)
	s := &segment{number: number, base: base, path: path}
	h, err := l.readHead(path)
	switch v := (*VersionError)(nil); {
	case errors.As(err, &v):
		return err
	case err != nil:
		l.damaged(s, Damage{Segment: name, Bytes: headerSize, Reason: err.Error()})
	case h.identity != l.ident:
		return fmt.Errorf("%s belongs to another log than %s: restore both from one backup", path, identityName)
	case h.number != number || h.base != base:
		l.report.Strange = append(l.report.Strange, name)
		return nil
	default:
		s.first, s.size = h.first, h.size
	}
	l.segs = append(l.segs, s)
	return nil
}

// recoverLast scans the last segment. What it has below the highest synced address was promised. It returns where the log
// goes on, and copies of the intact records from there on.
func (l *Log) recoverLast(s *segment) (Position, []Record, error) {
	f, err := s.borrow(l.fs)
	if err != nil {
		return 0, nil, err
	}
	defer s.giveBack()
	var at []Position
	all, err := l.scan(f, s, s.base, 0, func(r Record) error {
		at = append(at, r.At)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	end := max(s.base, all.synced)
	s.end = end
	first, _ := slices.BinarySearch(at, end)
	var tail []Record
	for _, p := range at[first:] {
		r, err := readRecord(f, s, l.seed, p, nil)
		if err != nil {
			return 0, nil, err
		}
		tail = append(tail, r)
	}
	l.seq = max(l.seq, s.first, 1) - 1
	if first > 0 {
		r, err := readRecord(f, s, l.seed, at[first-1], nil)
		if err != nil {
			return 0, nil, err
		}
		l.seq, s.last = max(l.seq, r.Seq), r.Seq
	}
	l.judgeTail(s, all)
	l.w.trim = s
	return end, tail, nil
}

// judgeTail tells corruption, which lies below what was synced and is Replay's to report, from a torn tail. A tail with intact
// records behind a hole may be either: the file is kept.
func (l *Log) judgeTail(s *segment, all found) {
	l.report.Torn = all.rest
	if !all.closed && all.size < s.size {
		l.damaged(s, Damage{Segment: s.name(), Offset: all.size, Bytes: s.size - all.size, After: all.last,
			Reason: fmt.Sprintf("the file was cut: it had %d bytes when it was made, and was not closed", s.size)})
	}
	for _, d := range all.damage {
		if s.base+Position(d.Offset-headerSize) >= s.end {
			l.report.Torn += d.Bytes
			l.setAside(s)
		} else {
			s.damaged.Store(true)
		}
	}
}

// findFirsts makes good the first sequence of segments whose heads are damaged. It may be too high, never too low, so that
// Release cannot take what is still needed.
func (l *Log) findFirsts() error {
	for i := len(l.segs) - 1; i >= 0; i-- {
		s := l.segs[i]
		if s.first > 0 && (l.seq > 0 || i < len(l.segs)-1) {
			l.seq = max(l.seq, s.first-1)
			continue
		}
		f, err := s.borrow(l.fs)
		if err != nil {
			return err
		}
		all, err := l.scan(f, s, s.base, s.end, nil)
		s.giveBack()
		if err != nil {
			return err
		}
		l.seq = max(l.seq, all.last)
		switch {
		case s.first > 0:
		case all.first > 0:
			s.first = all.first
		case i+1 < len(l.segs):
			s.first = l.segs[i+1].first
		default:
			s.first = l.seq + 1
		}
	}
	return nil
}
