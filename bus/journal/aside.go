package journal

import (
	"errors"
	"fmt"
	"path/filepath"
)

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
