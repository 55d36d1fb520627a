package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Copy is what a backup holds.
type Copy struct {
	Dir      string `json:"dir"`
	Segments int    `json:"segments"`
	Linked   int    `json:"linked"` // of them, second names of the log's own files: they take no room, and no other disk has them
	Bytes    int64  `json:"bytes"`
	Last     uint64 `json:"last"` // every record up to this one is in it
}

// Backup copies a log that nobody has open. See Log.Backup.
func Backup(ctx context.Context, dir, to string, disk FS) (Copy, error) {
	l, err := openToRead(dir, disk)
	if err != nil {
		return Copy{}, fmt.Errorf("cannot back up the journal: %w", err)
	}
	defer l.lock.Close()
	return l.Backup(ctx, to)
}

// Backup makes a log in the directory `to` that holds all that is committed at this moment, and opens like one that was closed in
// order. It may be called while the log is used, by any goroutine; nothing is removed meanwhile. Segments that are complete become
// hard links where `to` is on the same file system, copies elsewhere. What was made when an error ends it is left for the
// caller to look at; without the file "journal", which comes last, it is no log.
// Errors: the directory is there and not empty, no room, ctx ended.
func (l *Log) Backup(ctx context.Context, to string) (Copy, error) {
	c := Copy{Dir: to}
	if err := l.backup(ctx, to, &c); err != nil {
		return c, fmt.Errorf("cannot back up the journal to %s: %w", to, err)
	}
	return c, nil
}

func (l *Log) backup(ctx context.Context, to string, c *Copy) error {
	if err := l.fs.MkdirAll(to); err != nil {
		return err
	}
	if names, err := l.fs.ReadDir(to); err != nil || len(names) > 0 {
		return errors.Join(err, notEmpty(names))
	}
	segs, unpin := l.pin()
	defer unpin()
	for i, s := range segs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.end == s.base {
			continue
		}
		if err := l.backupSegment(s, to, i < len(segs)-1, c); err != nil {
			return err
		}
		c.Segments++
		c.Bytes += int64(s.end - s.base)
		c.Last = max(c.Last, s.last)
	}
	return errors.Join(l.fs.SyncDir(to), l.backupIdentity(to), l.fs.SyncDir(to), l.fs.SyncDir(filepath.Dir(to)))
}

func notEmpty(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("the directory is not empty (it has %s): name a new one", names[0])
}

// backupSegment links or copies one segment. The last one is copied up to what is committed, and closed.
func (l *Log) backupSegment(s extent, to string, complete bool, c *Copy) error {
	path := filepath.Join(to, s.name())
	if complete && l.fs.Link(s.path, path) == nil {
		c.Linked++
		return nil
	}
	f, err := s.borrow(l.fs)
	if err != nil {
		return err
	}
	defer s.giveBack()
	out, err := l.fs.Create(path)
	if err != nil {
		return err
	}
	err = copyContents(f, out, s.offset(s.end))
	if err == nil && !complete {
		b := closing(s.end, s.last, l.o.Now().UnixNano())
		b.finish(l.seed, s.end)
		_, err = out.WriteAt(b.buf, s.offset(s.end))
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func (l *Log) backupIdentity(to string) error {
	f, err := l.fs.Create(filepath.Join(to, identityName))
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(identityText(l.ident)), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// copyContents copies the first size bytes. What cannot be read becomes zeros, which the checksums tell.
func copyContents(in, out File, size int64) error {
	w := window{f: in, size: size}
	for off := int64(0); off < size; {
		b := w.peek(off, int(min(windowSize, size-off)))
		if len(b) == 0 {
			return fs.ErrInvalid
		}
		if _, err := out.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// closing is the empty batch with which a log ends in order.
func closing(base Position, last uint64, now int64) *batch {
	b := &batch{base: base, last: last, sealed: true, buf: make([]byte, markSize)}
	putRecord(b.buf, markBody, last, now, markKind)
	return b
}
