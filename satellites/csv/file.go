package csv

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// The first columns of every file. A payload's column of the same name is written with "payload." before it.
const (
	columnID   = "message_id"
	columnTime = "message_time"
)

// file is one open file: what is good of it, and rows to come.
type file struct {
	f      *os.File
	path   string
	header []string       // of the payload
	place  map[string]int // of a column in header
	size   int64          // of the file up to its last whole row
	rows   bytes.Buffer
	row    []string
}

// open opens or makes the file; a new one gets these columns. Half a row at its end is cut off.
func open(path string, columns []Column) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open a file for rows: %w", err)
	}
	file := &file{f: f, path: path, place: map[string]int{}}
	if err := file.begin(columns); err != nil {
		_ = f.Close()
		return nil, err
	}
	return file, nil
}

func (f *file) begin(columns []Column) error {
	if err := syscall.Flock(int(f.f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("cannot write %s: another process writes it", f.path)
	}
	header, size, err := Mend(f.f)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", f.path, err)
	}
	if err := f.f.Truncate(size); err != nil {
		return fmt.Errorf("cannot cut half a row off %s: %w", f.path, err)
	}
	f.size = size
	if header == nil {
		header = []string{columnID, columnTime}
		for _, c := range columns {
			header = append(header, c.Name)
		}
		w := csv.NewWriter(&f.rows)
		_ = w.Write(header) // into memory
		w.Flush()
		if err := f.flush(); err != nil {
			return err
		}
	}
	if len(header) < 2 || header[0] != columnID || header[1] != columnTime {
		return fmt.Errorf("cannot write %s: its header is not one of ours; move it away", f.path)
	}
	f.header = header[2:]
	for i, name := range f.header {
		f.place[name] = i
	}
	return nil
}

// fits reports whether the file has exactly these columns, in any order.
func (f *file) fits(columns []Column) bool {
	if len(columns) != len(f.header) {
		return false
	}
	return !slices.ContainsFunc(columns, func(c Column) bool {
		_, ok := f.place[c.Name]
		return !ok
	})
}

// add keeps one row until flush.
func (f *file) add(id uint64, at time.Time, columns []Column) error {
	f.row = slices.Grow(f.row[:0], 2+len(f.header))[:2+len(f.header)]
	f.row[0], f.row[1] = strconv.FormatUint(id, 10), at.UTC().Format(time.RFC3339Nano)
	for _, c := range columns {
		f.row[2+f.place[c.Name]] = c.Value
	}
	w := csv.NewWriter(&f.rows)
	if err := w.Write(f.row); err != nil {
		return fmt.Errorf("cannot write a row: %w", err)
	}
	w.Flush()
	return nil
}

// flush writes the rows kept. When that fails, nothing of them stays in the file.
func (f *file) flush() error {
	if f.rows.Len() == 0 {
		return nil
	}
	n, err := f.f.WriteAt(f.rows.Bytes(), f.size)
	f.rows.Reset()
	if err == nil {
		f.size += int64(n)
		return nil
	}
	if back := f.f.Truncate(f.size); back != nil {
		return fmt.Errorf("cannot write %s: %w; and cannot cut off what was written: %w", f.path, err, back)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("cannot write %s: the disk is full; rows are kept in their queue until there is room: %w", f.path, err)
	}
	return fmt.Errorf("cannot write %s: %w", f.path, err)
}

func (f *file) close() { _ = f.f.Close() }

// Mend reads a file of rows: its header (nil if there is none), and its size up to the last whole row. A row ends with a
// line feed outside of quotes.
func Mend(r io.Reader) (header []string, size int64, err error) {
	var head []byte
	buf := make([]byte, 256<<10)
	at, quoted := int64(0), false
	for {
		n, err := r.Read(buf)
		for i := 0; i < n; i++ {
			next := bytes.IndexAny(buf[i:n], "\"\n")
			if next < 0 {
				break
			}
			i += next
			if buf[i] == '"' {
				quoted = !quoted
			} else if !quoted {
				if size == 0 {
					head = append(head, buf[:i+1]...)
				}
				size = at + int64(i) + 1
			}
		}
		if size == 0 {
			head = append(head, buf[:n]...)
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if size == 0 {
		return nil, 0, nil
	}
	header, err = csv.NewReader(bytes.NewReader(head)).Read()
	if err != nil {
		return nil, 0, fmt.Errorf("its header is no CSV: %w", err)
	}
	return header, size, nil
}
