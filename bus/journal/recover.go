package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
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

// identify reads the file "journal", or writes it for a new log, and locks it. One that is damaged is made good by the segments.
func (l *Log) identify() error {
	path := l.join(identityName)
	text, err := l.readText(path)
	if err == nil {
		l.ident, err = parseIdentity(path, text)
	}
	if v := (*VersionError)(nil); errors.As(err, &v) {
		return err
	}
	if err != nil {
		if err = l.baptize(path, err); err != nil {
			return err
		}
	}
	l.seed = seed(l.ident)
	l.lock, err = l.fs.Lock(path)
	return err
}

func identityText(id uint64) string {
	text := fmt.Sprintf("dsat journal\nformat %d\nidentity %016x\n", version, id)
	return fmt.Sprintf("%scheck %08x\n", text, checksum([]byte(text)))
}

func parseIdentity(path, text string) (uint64, error) {
	var v int
	var id uint64
	if n, _ := fmt.Sscanf(text, "dsat journal\nformat %d\nidentity %x\n", &v, &id); n == 2 && identityText(id) == text {
		return id, nil
	}
	if before, check, ok := strings.Cut(text, "check "); ok && v != version && check == fmt.Sprintf("%08x\n", checksum([]byte(before))) {
		return 0, &VersionError{Path: path, Version: v}
	}
	return 0, fmt.Errorf("%s is damaged", path)
}

func (l *Log) readText(path string) (string, error) {
	f, err := l.fs.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size > 1024 {
		return "", errors.Join(err, fmt.Errorf("%s has %d bytes", path, size))
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return "", err
	}
	return string(b), nil
}

// baptize gives the log its identity: from its segments where there are some, else by chance. why says what is wrong with the
// file that should tell it.
func (l *Log) baptize(path string, why error) error {
	id, segments, err := l.identityOfSegments()
	switch {
	case err != nil:
		return err
	case segments > 0 && id == 0:
		return fmt.Errorf("cannot tell which log this is: %w, nor can the head of any of %d segments be read; restore %s from a backup", why, segments, path)
	case id == 0:
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		id = order.Uint64(b[:]) | 1
	case !errors.Is(why, fs.ErrNotExist):
		l.note("the head of the journal is made good from its segments", "file", path, "error", why)
	}
	l.ident = id
	draft := path + ".new"
	if err := l.fs.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := l.fs.Create(draft)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(identityText(id)), 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(l.fs.Rename(draft, path), l.fs.SyncDir(l.dir), l.fs.SyncDir(filepath.Dir(l.dir)))
}

func (l *Log) identityOfSegments() (id uint64, segments int, err error) {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		h, err := l.readHead(l.join(name))
		if v := (*VersionError)(nil); errors.As(err, &v) {
			return 0, 0, err
		}
		segments++
		if err == nil {
			return h.identity, segments, nil
		}
	}
	return 0, segments, nil
}

func (l *Log) readHead(path string) (header, error) {
	f, err := l.fs.Open(path)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	b := make([]byte, headerSize)
	n, _ := f.ReadAt(b, 0)
	h, err := decodeHeader(b[:n])
	if v := (*VersionError)(nil); errors.As(err, &v) {
		v.Path = path
	}
	return h, err
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

// damaged notes a damage and keeps the file.
func (l *Log) damaged(s *segment, d Damage) {
	d.Aside = l.setAside(s)
	l.mu.Lock()
	l.report.Damage = append(l.report.Damage, d)
	l.report.Lost += d.Records
	l.mu.Unlock()
	l.note("a segment of the journal is damaged; what is readable before and after is served", "segment", d.Segment,
		"offset", d.Offset, "bytes", d.Bytes, "records", d.Records, "reason", d.Reason, "kept", d.Aside)
}

// setAside gives a damaged file a second name, under which nobody removes it.
func (l *Log) setAside(s *segment) string {
	s.damaged.Store(true)
	if l.readOnly {
		return ""
	}
	path := filepath.Join(l.dir, asideName, s.name())
	if f, err := l.fs.Open(path); err == nil {
		return join(path, f.Close())
	}
	err := l.fs.Link(s.path, path)
	if err != nil {
		err = l.copyFile(s.path, path)
	}
	if err == nil {
		err = l.fs.SyncDir(filepath.Dir(path))
	}
	return join(path, err)
}

// join is the path of what is kept, or why it could not be kept.
func join(path string, err error) string {
	if err != nil {
		return fmt.Sprintf("%s (failed: %v)", path, err)
	}
	return path
}

// copyFile copies for a file system without links.
func (l *Log) copyFile(from, to string) error {
	in, err := l.fs.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := in.Size()
	if err != nil {
		return err
	}
	return copyTo(l.fs, in, to, size)
}

// copyTo writes the first size bytes of a file to a new one and syncs it.
func copyTo(disk FS, in File, to string, size int64) error {
	out, err := disk.Create(to)
	if err != nil {
		return err
	}
	if err = copyContents(in, out, size); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
