// Package frail is a disk in memory for tests of what stands on bus/journal. It loses power: what was not synced is lost by
// sectors of 512 bytes, at random, names in directories too. It fails to write and to sync as the kernel does (a failed sync
// forgets what was dirty, and the next one says "fine"), it fills up, and it writes less than it was given.
package frail

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/dsat/dsat/bus/journal"
)

// ErrDead is the answer of a disk whose machine has crashed, until Reboot.
var ErrDead = errors.New("the machine is down")

const sector = 512

// Faults are probabilities (0 to 1) with which calls fail.
type Faults struct {
	Write, Short, Sync, Create, Rename, SyncDir, Read, Link float64
}

// Disk is a journal.FS. It is safe for many goroutines.
type Disk struct {
	mu       sync.Mutex
	rng      *rand.Rand
	names    map[string]*inode // as a process sees them
	kept     map[string]*inode // as they are on the platter
	pending  []change          // between the two, oldest first
	dirs     map[string]bool
	locks    map[string]bool
	faults   Faults
	capacity int64 // bytes of all files; 0 is no limit
	fuse     int   // calls until the machine crashes; < 0 is never
	dead     bool
	syncs    int
	failing  int    // syncs that are to fail
	slow     func() // called in each sync
}

type inode struct {
	data  []byte // as a process sees it
	kept  []byte // as it is on the platter
	dirty map[int64]bool
	room  int64 // allocated
}

// change is one that a directory has not been synced for.
type change struct {
	from, to string // from "" is a creation or a link, to "" a removal
	node     *inode
}

// New is an empty disk whose misfortunes follow from a seed.
func New(seed uint64) *Disk {
	return &Disk{
		rng: rand.New(rand.NewPCG(seed, 1)), names: map[string]*inode{}, kept: map[string]*inode{},
		dirs: map[string]bool{}, locks: map[string]bool{}, fuse: -1,
	}
}

// SetFaults changes what fails from now on.
func (d *Disk) SetFaults(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// SetCapacity bounds the bytes of all files; 0 is no bound.
func (d *Disk) SetCapacity(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = n
}

// CrashAfter lets the machine crash in the midst of the n-th call from now; 0 is at once.
func (d *Disk) CrashAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fuse, d.dead = n, n == 0
}

// FailSyncs lets the next n syncs of files fail.
func (d *Disk) FailSyncs(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = n
}

// SlowSync lets f be called at the beginning of every sync of a file; the disk goes on meanwhile.
func (d *Disk) SlowSync(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = f
}

// Syncs is how many file syncs have succeeded.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// Used is the room taken by all files.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used()
}

func (d *Disk) used() int64 {
	var n int64
	seen := map[*inode]bool{}
	for _, f := range d.names {
		if !seen[f] {
			seen[f] = true
			n += max(f.room, int64(len(f.data)))
		}
	}
	return n
}

// Reboot ends the crash: locks are free, nothing fails. After the loss of power only what was synced is certain; else (a
// killed process) everything that was written is there.
func (d *Disk) Reboot(powerLost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if powerLost {
		d.losePower()
	}
	d.locks = map[string]bool{}
	d.faults, d.fuse, d.dead = Faults{}, -1, false
}

func (d *Disk) losePower() {
	// A file system with a journal loses the last changes; one without may lose any.
	ordered := d.rng.IntN(2) == 0
	upTo := d.rng.IntN(len(d.pending) + 1)
	for i, c := range d.pending {
		if ordered && i < upTo || !ordered && d.rng.IntN(2) == 0 {
			d.keep(c)
		}
	}
	d.pending = nil
	for _, path := range slices.Sorted(maps.Keys(d.kept)) { // so that a seed tells all
		d.kept[path].losePower(d.rng)
	}
	d.names = map[string]*inode{}
	for path, f := range d.kept {
		d.names[path] = f
	}
}

// keep brings one change to the platter.
func (d *Disk) keep(c change) {
	switch {
	case c.from == "":
		d.kept[c.to] = c.node
	case c.to == "":
		if d.kept[c.from] == c.node {
			delete(d.kept, c.from)
		}
	case d.kept[c.from] == c.node:
		delete(d.kept, c.from)
		d.kept[c.to] = c.node
	}
}

func (f *inode) losePower(rng *rand.Rand) {
	sectors := make([]int64, 0, len(f.dirty))
	for s := range f.dirty {
		sectors = append(sectors, s)
	}
	slices.Sort(sectors) // so that a seed tells all
	size := len(f.kept)
	if len(f.data) > size && rng.IntN(2) == 0 {
		size = len(f.data)
	}
	odds := rng.Float64()
	kept := make([]byte, size)
	copy(kept, f.kept)
	for _, s := range sectors {
		from, to := s*sector, min((s+1)*sector, int64(size), int64(len(f.data)))
		if from < to && rng.Float64() < odds {
			copy(kept[from:to], f.data[from:to])
		}
	}
	f.kept, f.data, f.dirty = kept, slices.Clone(kept), nil
}

// tick counts a call; the disk's lock is held.
func (d *Disk) tick() error {
	if d.fuse > 0 {
		if d.fuse--; d.fuse == 0 {
			d.dead = true
		}
	}
	if d.dead {
		return ErrDead
	}
	return nil
}

func (d *Disk) chance(p float64) bool { return p > 0 && d.rng.Float64() < p }

func (d *Disk) MkdirAll(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirs[dir] = true
	return d.tick()
}

func (d *Disk) ReadDir(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for path := range d.names {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, d.tick()
}

func (d *Disk) Create(path string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return nil, err
	}
	if d.names[path] != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if d.chance(d.faults.Create) {
		return nil, &fs.PathError{Op: "create", Path: path, Err: syscall.EIO}
	}
	f := &inode{}
	d.names[path] = f
	d.pending = append(d.pending, change{to: path, node: f})
	return &file{d, f, path}, nil
}

func (d *Disk) Open(path string) (journal.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return nil, err
	}
	f := d.names[path]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &file{d, f, path}, nil
}

func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return err
	}
	f := d.names[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if d.chance(d.faults.Rename) {
		return &fs.PathError{Op: "rename", Path: from, Err: syscall.EIO}
	}
	delete(d.names, from)
	d.names[to] = f
	d.pending = append(d.pending, change{from: from, to: to, node: f})
	return nil
}

func (d *Disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return err
	}
	f := d.names[path]
	if f == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	delete(d.names, path)
	d.pending = append(d.pending, change{from: path, node: f})
	return nil
}

func (d *Disk) Link(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return err
	}
	f := d.names[from]
	if f == nil || d.names[to] != nil {
		return &fs.PathError{Op: "link", Path: from, Err: fs.ErrNotExist}
	}
	if d.chance(d.faults.Link) {
		return &fs.PathError{Op: "link", Path: from, Err: syscall.EPERM}
	}
	d.names[to] = f
	d.pending = append(d.pending, change{to: to, node: f})
	return nil
}

func (d *Disk) Truncate(path string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return err
	}
	f := d.names[path]
	if f == nil || size > int64(len(f.data)) {
		return &fs.PathError{Op: "truncate", Path: path, Err: fs.ErrNotExist}
	}
	// The cut may or may not be on the platter: what it takes away was given up, so either is a test.
	f.data, f.room = f.data[:size], size
	if d.rng.IntN(2) == 0 {
		f.kept = f.kept[:min(size, int64(len(f.kept)))]
	}
	return nil
}

func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return err
	}
	if d.chance(d.faults.SyncDir) {
		return &fs.PathError{Op: "fsync", Path: dir, Err: syscall.EIO}
	}
	var rest []change
	for _, c := range d.pending {
		if filepath.Dir(c.from+c.to) != dir && filepath.Dir(c.to) != dir && filepath.Dir(c.from) != dir {
			rest = append(rest, c)
			continue
		}
		d.keep(c)
	}
	d.pending = rest
	return nil
}

type lock struct {
	d    *Disk
	path string
}

func (d *Disk) Lock(path string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.tick(); err != nil {
		return nil, err
	}
	if d.locks[path] {
		return nil, &fs.PathError{Op: "lock", Path: path, Err: syscall.EWOULDBLOCK}
	}
	d.locks[path] = true
	return lock{d, path}, nil
}

func (l lock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	delete(l.d.locks, l.path)
	return nil
}
