package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Verdict is what reading all of a log has found.
type Verdict struct {
	Dir      string   `json:"dir"`
	Segments int      `json:"segments"`
	Records  uint64   `json:"records"` // readable ones
	Bytes    int64    `json:"bytes"`   // read
	First    uint64   `json:"first"`   // sequence of the first readable record, 0 without any
	Last     uint64   `json:"last"`    // of the last one
	Lost     uint64   `json:"lost"`    // records that were committed and cannot be read
	Tail     uint64   `json:"tail"`    // whole records behind the last sync that is proven: the next Open takes them; they are not in Records
	Torn     int64    `json:"torn"`    // bytes behind the last batch: written when the log's process or machine ended
	Damage   []Damage `json:"damage"`  // where
	Padding  []Damage `json:"padding"` // where only padding was changed: no record is lost
	Strange  []string `json:"strange"` // files that do not belong there
	Aside    []string `json:"aside"`   // damaged files that were kept
}

// Sound says that every record that was promised can be read.
func (v Verdict) Sound() bool {
	return len(v.Damage) == 0 && len(v.Padding) == 0 && len(v.Strange) == 0
}

// Verify reads all of a log that nobody has open, and changes nothing in it. disk nil is the real one.
// Errors: it is in use (its dsatd can verify it), its format is another release's, it cannot be read at all.
func Verify(ctx context.Context, dir string, disk FS) (Verdict, error) {
	l, err := openToRead(dir, disk)
	if err != nil {
		return Verdict{}, fmt.Errorf("cannot verify the journal: %w", err)
	}
	defer l.lock.Close()
	return l.Verify(ctx)
}

// openToRead opens a log without changing it. The caller closes its lock.
func openToRead(dir string, disk FS) (*Log, error) {
	l := &Log{o: Options{FS: disk}, dir: dir, fs: disk, readOnly: true}
	l.defaults()
	path := l.join(identityName)
	text, err := l.readText(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a journal: it has no file %q", dir, identityName)
	}
	if err == nil {
		l.ident, err = parseIdentity(path, text)
	}
	if v := (*VersionError)(nil); errors.As(err, &v) {
		return nil, err
	}
	if err != nil {
		l.report.Strange = append(l.report.Strange, identityName+" (damaged; the segments tell the same)")
		id, _, e := l.identityOfSegments()
		if e != nil || id == 0 {
			return nil, errors.Join(err, e)
		}
		l.ident = id
	}
	l.seed = seed(l.ident)
	if l.lock, err = l.fs.Lock(path); err != nil {
		return nil, err
	}
	if _, err := l.recover(); err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	l.replay = nil
	return l, nil
}

// Verify reads all that is committed and checks every checksum. It may be called while the log is used, by any goroutine; nothing
// is removed meanwhile. Damaged files are kept aside.
func (l *Log) Verify(ctx context.Context) (Verdict, error) {
	segs, unpin := l.pin()
	defer unpin()
	v := Verdict{Dir: l.dir, Segments: len(segs), Aside: l.kept()}
	l.mu.Lock()
	v.Torn, v.Strange = l.report.Torn, slices.Clone(l.report.Strange)
	if l.readOnly {
		v.Damage, v.Tail = slices.Clone(l.report.Damage), l.report.Tail // damaged heads
	}
	l.mu.Unlock()
	var last uint64
	for _, s := range segs {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		if _, err := l.readHead(s.path); err != nil && !l.readOnly {
			v.Damage = append(v.Damage, Damage{Segment: s.name(), Bytes: headerSize, After: last, Reason: err.Error(), Aside: l.setAside(s.segment)})
		}
		all, err := l.verifySegment(ctx, s)
		if err != nil {
			return v, fmt.Errorf("cannot verify %s: %w", s.path, err)
		}
		for _, d := range l.attribute(all, &last) {
			d.Aside = l.setAside(s.segment)
			v.Damage = append(v.Damage, d)
			v.Lost += d.Records
		}
		v.Padding = append(v.Padding, all.padding...)
		v.Records += all.records
		v.Bytes += int64(s.end - s.base)
		v.First = cmp.Or(v.First, all.first)
		v.Last = max(v.Last, all.last)
	}
	return v, nil
}

// extent is a segment as it was at one moment.
type extent struct {
	*segment
	end  Position
	last uint64
}

// pin copies the list of segments and keeps all of them on disk until unpin is called.
func (l *Log) pin() (segs []extent, unpin func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segs {
		segs = append(segs, extent{s, s.end, s.last})
	}
	l.pins++
	return segs, func() {
		l.mu.Lock()
		l.pins--
		if l.wake.L != nil {
			l.wake.Signal()
		}
		l.mu.Unlock()
	}
}

func (l *Log) verifySegment(ctx context.Context, s extent) (found, error) {
	if s.end == s.base {
		return found{}, nil
	}
	f, err := s.borrow(l.fs)
	if err != nil {
		return found{}, err
	}
	defer s.giveBack()
	return l.scan(f, s.segment, s.base, s.end, func(Record) error { return ctx.Err() })
}

// kept lists the files that were set aside.
func (l *Log) kept() []string {
	names, err := l.fs.ReadDir(l.join(asideName))
	if err != nil {
		return nil
	}
	return names
}
