package logs

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// longestLine bounds what is taken for a line of a file, whoever wrote it: a line of output as JSON, every byte escaped.
const longestLine = 6*MaxLine + 1024

// fileLines reads a log file line by line, in bounded memory.
type fileLines struct {
	r    *bufio.Reader
	at   int64     // where the next line begins
	last time.Time // of the line before; what has no time of its own belongs to it
	tail bool      // a last line without its end counts: nobody is writing it any more
	long []byte
}

// next returns a line and where it begins. The bytes are good until the next call.
func (l *fileLines) next() (raw []byte, begin int64, err error) {
	begin = l.at
	l.long = l.long[:0]
	for {
		piece, err := l.r.ReadSlice('\n')
		l.at += int64(len(piece))
		if err == nil {
			piece = piece[:len(piece)-1]
		}
		if len(l.long) > 0 || err != nil {
			l.long = append(l.long, piece...)
			piece = l.long
		}
		switch {
		case err == nil, errors.Is(err, io.EOF) && l.tail && len(piece) > 0, errors.Is(err, bufio.ErrBufferFull) && len(piece) >= longestLine:
			return piece, begin, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, begin, err
		}
	}
}

// line is next, understood.
func (l *fileLines) line() (Line, error) {
	raw, _, err := l.next()
	if err != nil {
		return Line{}, err
	}
	got := parseLine(raw)
	if got.Time.IsZero() {
		got.Time = l.last
	}
	l.last = got.Time
	return got, nil
}

const readAhead = 8 << 10

// volume is a log file that is open for reading.
type volume struct {
	segment
	f *os.File
	z *gzip.Reader // nil: it is not compressed
}

// openVolume opens a segment, also one that was rotated or compressed since it was listed.
func openVolume(dir string, s segment) (*volume, error) {
	f, err := os.Open(filepath.Join(dir, s.name))
	if os.IsNotExist(err) && !s.gz && !s.live {
		s.name, s.gz = s.name+".gz", true
		f, err = os.Open(filepath.Join(dir, s.name))
	}
	if err != nil {
		return nil, err
	}
	v := &volume{segment: s, f: f}
	if s.gz {
		if v.z, err = gzip.NewReader(f); err != nil {
			f.Close()
			return nil, err
		}
		return v, nil
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if s.live && !os.SameFile(info, s.info) {
		f.Close()
		return rotatedSince(dir, s)
	}
	v.size = info.Size()
	return v, nil
}

// rotatedSince opens a file that was the live one when it was listed.
func rotatedSince(dir string, s segment) (*volume, error) {
	all, err := listFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, now := range all {
		if now.base == s.base && !now.live && os.SameFile(now.info, s.info) {
			return openVolume(dir, now)
		}
	}
	return nil, os.ErrNotExist
}

func (v *volume) close() { v.f.Close() }

// from reads from the first line of that time on, or somewhat earlier.
func (v *volume) from(since time.Time) (*fileLines, error) {
	l := &fileLines{tail: !v.live, last: v.end}
	if v.z != nil {
		l.r = bufio.NewReaderSize(v.z, readAhead)
		return l, nil
	}
	if !since.IsZero() {
		l.at = findTime(v.f, v.size, since.Add(-disorder))
	}
	if _, err := v.f.Seek(l.at, io.SeekStart); err != nil {
		return nil, err
	}
	l.r = bufio.NewReaderSize(io.LimitReader(v.f, max(v.size-l.at, 0)), readAhead) // one that is written to as fast as it is read would have no end
	return l, nil
}

// between reads the lines that begin in a part of a file that is not compressed; it ends with io.EOF.
func between(f io.ReaderAt, size, from, to int64, tail bool, each func(raw []byte)) error {
	l := &fileLines{at: from, tail: tail, r: bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), readAhead)}
	if from > 0 {
		var before [1]byte
		if _, err := f.ReadAt(before[:], from-1); err != nil {
			return err
		}
		if before[0] != '\n' {
			if err := l.skip(); err != nil {
				return err
			}
		}
	}
	for l.at < to {
		raw, _, err := l.next()
		if err != nil {
			return err
		}
		each(raw)
	}
	return io.EOF
}

// skip reads on behind the next newline, however far that is.
func (l *fileLines) skip() error {
	for {
		piece, err := l.r.ReadSlice('\n')
		l.at += int64(len(piece))
		if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// findTime is where the first line that is not older begins, or a place before it: times grow along a file, unless a clock went back.
func findTime(f io.ReaderAt, size int64, since time.Time) int64 {
	low, high := int64(0), size // lines that begin before low are older
	for high-low > longestLine {
		middle := low + (high-low)/2
		l := &fileLines{at: middle, r: bufio.NewReaderSize(io.NewSectionReader(f, middle, high-middle), readAhead)}
		if l.skip() != nil {
			high = middle
			continue
		}
		known := false
		for range 16 { // lines without a time belong to the one before
			raw, begin, err := l.next()
			if err != nil {
				break
			}
			at, ok := timeOf(raw)
			if !ok {
				continue
			}
			known = true
			if at.Before(since) {
				low = begin
			} else {
				high = middle
			}
			break
		}
		if !known {
			high = middle
		}
	}
	return low
}
