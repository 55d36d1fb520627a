package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

var (
	errReleased = errors.New("it was released")
	errReplay   = errors.New("the journal was replayed already, or written to")
)

// replay is what there was when the log was opened.
type replay struct {
	segs []*segment
	tail []Record
}

// Replay calls f with every record, in order, once, before the first Append. An error of f ends it and is returned. A record
// that is damaged is left out and reported (Report). Nothing is released before Replay has returned nil.
func (l *Log) Replay(f func(Record) error) error {
	l.mu.Lock()
	rp := l.replay
	l.mu.Unlock()
	if rp == nil {
		return errReplay
	}
	var last, n uint64
	for _, s := range rp.segs {
		all, err := l.replaySegment(s, f)
		if err != nil {
			return err
		}
		for _, d := range l.attribute(all, &last) {
			l.damaged(s, d)
		}
		n += all.records
	}
	for _, r := range rp.tail {
		if err := f(r); err != nil {
			return err
		}
		n++
	}
	l.mu.Lock()
	l.report.Records = n
	l.replay = nil
	l.wake.Signal()
	l.mu.Unlock()
	return nil
}

func (l *Log) replaySegment(s *segment, f func(Record) error) (found, error) {
	if s.end == s.base {
		return found{}, nil
	}
	file, err := s.borrow(l.fs)
	if err != nil {
		return found{}, err
	}
	defer s.giveBack()
	return l.scan(file, s, s.base, s.end, f)
}

// attribute says how many records a segment's damages have cost, where one at its beginning or behind the last intact record
// only shows by the sequences around it.
func (l *Log) attribute(all found, last *uint64) []Damage {
	if all.first > 0 && len(all.damage) > 0 && all.damage[0].After == 0 {
		all.damage[0].After = *last
		all.damage[0].Records = all.first - 1 - *last
	}
	*last = max(*last, all.last)
	return slices.Clone(all.damage)
}

// Read reads the record at an address that Append, or Replay, has given, into buf where it is large enough. It may be called
// before the record is committed, by any goroutine; it may wait for the disk.
// Errors: the address was never given, the segment was released, the record is damaged, the disk cannot read it.
func (l *Log) Read(at Position, buf []byte) (Record, error) {
	l.mu.Lock()
	if r, ok := l.inMemory(at, buf); ok {
		l.mu.Unlock()
		return r, nil
	}
	s := l.find(at)
	var f File
	err := errReleased
	if s != nil {
		f, err = s.borrow(l.fs)
	}
	l.mu.Unlock()
	if err != nil {
		return Record{}, fmt.Errorf("cannot read address %d of the journal: %w", at, err)
	}
	defer s.giveBack()
	r, err := readRecord(f, s, l.seed, at, buf)
	if err != nil {
		return Record{}, fmt.Errorf("cannot read address %d of the journal, %s at offset %d: %w", at, s.name(), s.offset(at), err)
	}
	return r, nil
}

// inMemory copies a record that is not committed yet; the lock is held.
func (l *Log) inMemory(at Position, buf []byte) (Record, bool) {
	for _, list := range [][]*batch{l.writing, l.queue} {
		for _, b := range list {
			if r, ok := b.read(at, buf); ok {
				return r, true
			}
		}
	}
	return l.forming.read(at, buf)
}

// read copies a record out of a batch, without its checksums, which the writer may be filling in at the moment.
func (b *batch) read(at Position, buf []byte) (Record, bool) {
	if at < b.base || at+recordHeader > b.end() {
		return Record{}, false
	}
	raw := b.buf[at-b.base:]
	n := int(order.Uint32(raw))
	if n > len(raw)-recordHeader || raw[24] == markKind {
		return Record{}, false
	}
	return Record{
		Seq: order.Uint64(raw[8:]), Kind: raw[24], At: at, Time: int64(order.Uint64(raw[16:])),
		Body: append(buf[:0], raw[recordHeader:recordHeader+n]...),
	}, true
}

// guess is how much is read at first when the length is not known: most records are shorter.
const guess = 4096

// readRecord reads one record from a file, with one system call when it fits in what is read at first.
func readRecord(f File, s *segment, seed uint32, at Position, buf []byte) (Record, error) {
	if cap(buf) < recordHeader {
		buf = make([]byte, guess)
	}
	buf = buf[:min(cap(buf), guess)]
	off := s.offset(at)
	n, err := f.ReadAt(buf, off)
	if n < recordHeader {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the file ends before it")
		}
		return Record{}, err
	}
	if !soundHead(buf, seed, at) || buf[24] == markKind {
		return Record{}, errors.New("there is no intact record")
	}
	size := recordHeader + int(order.Uint32(buf))
	if size > n {
		if size > cap(buf) {
			buf = append(make([]byte, 0, size), buf[:n]...)
		}
		buf = buf[:size]
		if got, err := f.ReadAt(buf[n:], off+int64(n)); got < size-n {
			return Record{}, fmt.Errorf("it has %d bytes, %d can be read: %w", size, n+got, err)
		}
	}
	if !soundBody(buf) {
		return Record{}, errors.New("its checksum is wrong")
	}
	return view(buf, at), nil
}
