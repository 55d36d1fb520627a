package frail

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// file is an open inode.
type file struct {
	d    *Disk
	node *inode
	path string
}

func (f *file) fail(op string, err error) error { return &fs.PathError{Op: op, Path: f.path, Err: err} }

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.tick(); err != nil {
		return 0, err
	}
	if f.d.chance(f.d.faults.Read) {
		return 0, f.fail("read", syscall.EIO)
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	was := f.d.dead
	err := f.d.tick()
	if was {
		return 0, err
	}
	n := len(b)
	switch {
	case err != nil: // crashes in the midst of it
		n = f.d.rng.IntN(len(b) + 1)
	case f.d.chance(f.d.faults.Write):
		n, err = f.d.rng.IntN(len(b)+1), f.fail("write", syscall.EIO)
	case f.d.chance(f.d.faults.Short):
		n, err = f.d.rng.IntN(len(b)+1), io.ErrShortWrite
	}
	if grown := off + int64(n) - max(f.node.room, int64(len(f.node.data))); f.d.capacity > 0 && grown > 0 && f.d.used()+grown > f.d.capacity {
		return 0, f.fail("write", syscall.ENOSPC)
	}
	f.node.write(b[:n], off)
	return n, err
}

func (f *inode) write(b []byte, off int64) {
	if end := off + int64(len(b)); end > int64(len(f.data)) {
		f.data = append(f.data, make([]byte, end-int64(len(f.data)))...)
	}
	copy(f.data[off:], b)
	if f.dirty == nil {
		f.dirty = map[int64]bool{}
	}
	for s := off / sector; s*sector < off+int64(len(b)); s++ {
		f.dirty[s] = true
	}
}

// Sync brings the contents to the platter. When it fails some of them are not there, and yet nothing is dirty any more.
func (f *file) Sync() error {
	f.d.mu.Lock()
	if slow := f.d.slow; slow != nil {
		f.d.mu.Unlock()
		slow()
		f.d.mu.Lock()
	}
	defer f.d.mu.Unlock()
	if err := f.d.tick(); err != nil {
		return err
	}
	if f.d.failing > 0 || f.d.chance(f.d.faults.Sync) {
		f.d.failing = max(f.d.failing-1, 0)
		data := slices.Clone(f.node.data)
		f.node.losePower(f.d.rng)
		f.node.data = data
		return f.fail("fdatasync", syscall.EIO)
	}
	if len(f.node.kept) > len(f.node.data) {
		f.node.kept = f.node.kept[:len(f.node.data)]
	}
	f.node.kept = append(f.node.kept, make([]byte, len(f.node.data)-len(f.node.kept))...)
	for s := range f.node.dirty {
		from, to := s*sector, min((s+1)*sector, int64(len(f.node.data)))
		if from < to {
			copy(f.node.kept[from:to], f.node.data[from:to])
		}
	}
	f.node.dirty = nil
	f.d.syncs++
	return nil
}

func (f *file) Allocate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.tick(); err != nil {
		return err
	}
	if grown := size - f.node.room; f.d.capacity > 0 && f.d.used()+grown > f.d.capacity {
		return f.fail("fallocate", syscall.ENOSPC)
	}
	f.node.room = max(f.node.room, size)
	if n := size - int64(len(f.node.data)); n > 0 {
		f.node.data = append(f.node.data, make([]byte, n)...)
	}
	return nil
}

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.node.data)), f.d.tick()
}

func (f *file) Close() error { return nil }

// Damage changes a file as bit rot does, on the platter too. The function gets its contents and returns the new ones.
func (d *Disk) Damage(path string, f func([]byte) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[path]
	n.data = f(slices.Clone(n.data))
	n.kept, n.dirty = slices.Clone(n.data), nil
}

// Files lists the paths of a directory.
func (d *Disk) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := make([]string, 0, len(d.names))
	for p := range d.names {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

// Clone is another disk with the same files, all synced: one damage can be tried on each.
func (d *Disk) Clone(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New(seed)
	for path, f := range d.names {
		n := &inode{data: slices.Clone(f.data), kept: slices.Clone(f.data), room: f.room}
		c.names[path], c.kept[path] = n, n
	}
	return c
}
