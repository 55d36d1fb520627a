package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

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
