package supervisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// eyes watch the files of all satellites through one inotify descriptor, which is in the output loop's epoll set. Directories are
// watched, never files: editors replace files, and what is replaced is another file. Without a watch in the topology there is nothing.
type eyes struct {
	s *Supervisor

	mu      sync.Mutex
	fd      int              // -1: not open
	dirs    map[int32]string // by watch descriptor
	watches []*fileWatch
	full    bool // not all could be watched; it was said
}

// fileWatch is the watch of one satellite.
type fileWatch struct {
	name  string
	spec  topology.Watch
	paths []string         // those of spec, and where they lead to
	seen  map[string]print // what was at each of paths when it was looked at last
	timer *time.Timer
	first time.Time // of the changes that nothing was done for yet; zero: none
	what  string    // changed first
}

// maxWatched bounds the directories that are watched, of all satellites together.
const maxWatched = 20_000

// watchMask is what counts: what was written and closed, came, went or moved.
const watchMask = unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK

// selfMask is what counts of the directories above: that they go or move themselves, not what happens in them.
const selfMask = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_MASK_ADD

func newEyes(s *Supervisor) *eyes { return &eyes{s: s, fd: -1, dirs: make(map[int32]string)} }

// follow goes over to the watches of another topology. What was seen and not acted upon is kept where the watch is the same.
func (e *eyes) follow(t *topology.Topology) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.watches
	e.watches = nil
	for _, sat := range t.Satellites {
		if len(sat.Watch.Paths) == 0 {
			continue
		}
		w := &fileWatch{name: sat.Name, spec: sat.Watch}
		for _, old := range before {
			if old.name == w.name && reflect.DeepEqual(old.spec, w.spec) {
				w = old
			}
		}
		e.watches = append(e.watches, w)
	}
	for _, old := range before {
		if old.timer != nil && !slices.Contains(e.watches, old) {
			old.timer.Stop()
		}
	}
	if e.fd < 0 && len(e.watches) == 0 {
		return
	}
	if e.fd < 0 {
		if err := e.open(); err != nil {
			e.s.log.Error("cannot watch files; nothing is done when they change", "error", err)
			return
		}
	}
	e.scan()
}

func (e *eyes) open() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	e.fd = fd
	return e.arm()
}

// arm waits for the next event. The loop must not wait for a scan, so that it is handled beside it.
func (e *eyes) arm() error {
	_, err := e.s.output.watchFor(e.fd, unix.EPOLLIN, func() { e.s.crew.run(e.look) })
	return err
}

// scan sets the watches anew: every directory in which something that counts is or could appear. Watching one again costs nothing,
// and finds the new one where a directory was replaced.
func (e *eyes) scan() {
	now, full := make(map[int32]string), false
	add := func(dir string, mask uint32) {
		if len(now) >= maxWatched {
			full = true
			return
		}
		wd, err := unix.InotifyAddWatch(e.fd, dir, mask)
		switch {
		case err == nil:
			now[int32(wd)] = dir
		case errors.Is(err, unix.ENOSPC):
			full = true
		}
	}
	for _, w := range e.watches {
		first := w.seen == nil
		seen := make(map[string]print)
		w.paths = resolved(w.spec.Paths)
		for _, p := range w.paths {
			e.approach(filepath.Dir(p), add)
			w.below(p, func(dir string) { add(dir, watchMask) })
			// What came before its directory was watched is told by nobody.
			if seen[p] = printOf(p); !first && seen[p] != w.seen[p] {
				e.touch(w, p)
			}
		}
		w.seen = seen
	}
	for wd := range e.dirs {
		if _, stays := now[wd]; !stays {
			_, _ = unix.InotifyRmWatch(e.fd, uint32(wd)) // gone by itself, most often
		}
	}
	e.dirs = now
	if full && !e.full {
		e.s.log.Warn("not all directories can be watched: raise fs.inotify.max_user_watches, or watch fewer with ignore", "watched", len(now))
	}
	e.full = full
}

// approach watches the nearest directory there is, and those above it lest one of them be moved away, from above: each is found through
// one that is watched already, so that what is put in its place is heard of.
func (e *eyes) approach(dir string, add func(dir string, mask uint32)) {
	for {
		near := existing(dir)
		if near != "/" {
			add("/", selfMask)
		}
		for n := 1; n < len(near); n++ {
			if near[n] == '/' {
				add(near[:n], selfMask)
			}
		}
		add(near, watchMask)
		if existing(dir) == near { // what comes from now on is told
			return
		}
	}
}

// print tells a file or directory at a path from another one that was, or will be, at the same path. What is written to it is told by
// inotify, for it is watched from before it is looked at.
type print struct {
	major, minor uint32
	ino          uint64
	born         unix.StatxTimestamp // numbers are used again; zero where the file system does not tell
}

// printOf is zero where there is nothing.
func printOf(path string) print {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st) != nil {
		return print{}
	}
	return print{st.Dev_major, st.Dev_minor, st.Ino, st.Btime}
}

// resolved is the paths, and where they lead to, should they be links.
func resolved(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, p)
		if real, err := filepath.EvalSymlinks(p); err == nil && real != p {
			out = append(out, real)
		}
	}
	return out
}

// existing is the nearest directory above that is there.
func existing(dir string) string {
	for dir != "/" {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// below adds a directory and all below it that count.
func (w *fileWatch) below(root string, add func(string)) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // gone meanwhile, or not ours to read: the rest counts
		}
		if rel, _ := filepath.Rel(root, path); rel != "." && w.spec.Ignores(rel) {
			return fs.SkipDir
		}
		add(path)
		return nil
	})
}

// look reads what has happened and looks for more.
func (e *eyes) look() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd < 0 {
		return
	}
	var buf [16 << 10]byte
	rescan := false
	for {
		n, err := unix.Read(e.fd, buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		rescan = e.events(buf[:n]) || rescan
	}
	if rescan {
		e.scan()
	}
	if err := e.arm(); err != nil {
		e.s.log.Error("cannot go on watching files", "error", err)
	}
}

// events handles what inotify tells; true: directories came or went.
func (e *eyes) events(buf []byte) (rescan bool) {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(buf)), binary.NativeEndian.Uint32(buf[4:])
		size := int(binary.NativeEndian.Uint32(buf[12:]))
		end := min(unix.SizeofInotifyEvent+size, len(buf))
		name := strings.TrimRight(string(buf[unix.SizeofInotifyEvent:end]), "\x00")
		buf = buf[end:]
		switch dir, known := e.dirs[wd]; {
		case mask&unix.IN_Q_OVERFLOW != 0: // what was lost may be anything
			rescan = true
			for _, w := range e.watches {
				e.touch(w, "more than could be told")
			}
		case !known:
		case mask&(unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
			rescan = true
			e.lost(dir)
		default:
			rescan = e.seen(filepath.Join(dir, name), mask) || rescan
		}
	}
	return rescan
}

// lost is a directory that is not where it was.
func (e *eyes) lost(dir string) {
	for _, w := range e.watches {
		for _, p := range w.paths {
			if p == dir || strings.HasPrefix(p, dir+"/") {
				e.touch(w, dir)
			}
		}
	}
}

// seen is one path at which something happened.
func (e *eyes) seen(path string, mask uint32) (rescan bool) {
	isDir := mask&unix.IN_ISDIR != 0
	for _, w := range e.watches {
		for _, p := range w.paths {
			rel, inside := strings.CutPrefix(path, p+"/")
			switch {
			case path == p:
				w.seen[p] = printOf(p)
				rescan = rescan || mask&unix.IN_CLOSE_WRITE == 0 // a link may lead elsewhere now
				e.touch(w, path)
			case inside && !w.spec.Ignores(rel):
				rescan = rescan || isDir
				e.touch(w, path)
			case strings.HasPrefix(p, path+"/"):
				rescan = true // which finds out whether it is there now
			}
		}
	}
	return rescan
}

// mostPatience is how many times the quiet time a stream of changes can put off what is done.
const mostPatience = 10

// touch begins, or prolongs, the wait for quiet.
func (e *eyes) touch(w *fileWatch, what string) {
	now := time.Now()
	if w.first.IsZero() {
		w.first, w.what = now, what
		if w.timer != nil {
			w.timer.Stop() // put off while it ran out
		}
		w.timer = time.AfterFunc(w.spec.Debounce, func() { e.s.crew.run(func() { e.act(w) }) })
		return
	}
	if now.Sub(w.first) < (mostPatience-1)*w.spec.Debounce {
		w.timer.Reset(w.spec.Debounce)
	}
}

// act does what is to be done. One that is stopped stays so.
func (e *eyes) act(w *fileWatch) {
	e.mu.Lock()
	what, done := w.what, w.first.IsZero()
	w.first, w.what = time.Time{}, ""
	e.mu.Unlock()
	if done {
		return
	}
	sat := e.s.roster().byName[w.name]
	if sat == nil {
		return
	}
	var up []topology.Ref
	for _, i := range sat.instances() {
		if st := i.status.Load(); st.Want == Up || st.State == Fatal {
			up = append(up, i.ref)
		}
	}
	if len(up) == 0 {
		return
	}
	if w.spec.Action == topology.WatchRestart {
		e.s.log.Info(fmt.Sprintf("%s is restarted: %s has changed", w.name, what))
		_, _ = e.s.Restart(context.Background(), up) // how it went is in the states
		return
	}
	e.s.log.Info(fmt.Sprintf("%s is sent %s: %s has changed", w.name, unix.SignalName(w.spec.Signal), what))
	results, err := e.s.Signal(up, w.spec.Signal)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		e.s.log.Warn("cannot signal all that watch a file", "satellite", w.name, "error", err)
	}
}

// close is for when the loops have ended.
func (e *eyes) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.watches {
		if w.timer != nil {
			w.timer.Stop()
		}
	}
	if e.fd >= 0 {
		unix.Close(e.fd)
		e.fd = -1
	}
}
