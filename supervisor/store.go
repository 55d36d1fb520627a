package supervisor

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// store keeps descriptors for instances over their restarts: what one life left (sd_notify, FDSTORE=1) the next is handed. It is bounded,
// and forgets what nobody is going to take.
type store struct {
	log    *slog.Logger
	output *output
	limit  func(topology.Ref) int // how many an instance may leave

	mu   sync.Mutex
	kept map[topology.Ref][]*stored
}

// stored is one descriptor.
type stored struct {
	name  string
	fd    int
	watch uint64 // in the output loop; 0: it is not watched
}

// unnamed is the name of a descriptor that was given none, or none that could be told in LISTEN_FDNAMES.
const unnamed = "stored"

func newStore(log *slog.Logger, o *output, limit func(topology.Ref) int) *store {
	return &store{log: log, output: o, limit: limit, kept: make(map[topology.Ref][]*stored)}
}

// keep takes descriptors, which belong to the store from now on, whatever becomes of them. With poll they are forgotten when their other
// end hangs up. What is beyond the limit is closed; what is kept already, under any name, is not kept twice.
func (s *store) keep(ref topology.Ref, name string, fds []int, poll bool) {
	if !storable(name) {
		name = unnamed
	}
	most := s.limit(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := 0
	for _, fd := range fds {
		switch {
		case s.known(ref, fd):
			unix.Close(fd)
		case len(s.kept[ref]) >= most:
			refused++
			unix.Close(fd)
		default:
			unix.CloseOnExec(fd)
			d := &stored{name: name, fd: fd}
			s.kept[ref] = append(s.kept[ref], d)
			if poll {
				s.watch(ref, d)
			}
		}
	}
	if refused > 0 {
		s.log.Warn("descriptors were not kept: there are as many as fd_store allows", "instance", ref, "name", name, "refused", refused, "fd_store", most)
	}
}

// storable: it can stand in LISTEN_FDNAMES.
func storable(name string) bool {
	return name != "" && len(name) <= 255 && strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }) < 0
}

// known reports whether the very same socket or pipe is kept already.
func (s *store) known(ref topology.Ref, fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	return slices.ContainsFunc(s.kept[ref], func(d *stored) bool {
		var other unix.Stat_t
		return unix.Fstat(d.fd, &other) == nil && other.Dev == st.Dev && other.Ino == st.Ino
	})
}

// watch forgets a descriptor when it hangs up. What cannot be watched, as a file, never does.
func (s *store) watch(ref topology.Ref, d *stored) {
	id, err := s.output.watchFor(d.fd, 0, func() {
		s.forget(ref, func(other *stored) bool { return other == d })
	})
	if err == nil {
		d.watch = id
	}
}

// drop closes the descriptors of that name.
func (s *store) drop(ref topology.Ref, name string) {
	s.forget(ref, func(d *stored) bool { return d.name == name })
}

// rest closes all that an instance has left.
func (s *store) rest(ref topology.Ref) { s.forget(ref, func(*stored) bool { return true }) }

func (s *store) forget(ref topology.Ref, which func(*stored) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[ref] = slices.DeleteFunc(s.kept[ref], func(d *stored) bool {
		if !which(d) {
			return false
		}
		if d.watch != 0 {
			s.output.unwatch(d.watch)
		}
		unix.Close(d.fd)
		return true
	})
	if len(s.kept[ref]) == 0 {
		delete(s.kept, ref)
	}
}

// lend duplicates what an instance has left. The receiver closes the duplicates.
func (s *store) lend(ref topology.Ref) (fds []int, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.kept[ref] {
		fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, firstHanded)
		if err != nil {
			s.log.Warn("a kept descriptor cannot be handed over", "instance", ref, "name", d.name, "error", err)
			continue
		}
		fds, names = append(fds, fd), append(names, d.name)
	}
	return fds, names
}

// names is what an instance has left.
func (s *store) names(ref topology.Ref) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, d := range s.kept[ref] {
		out = append(out, d.name)
	}
	return out
}

// handover is all of it, by keys that inherit understands: "store.NAME.WID.FDNAME:N", with ":poll" where it is watched.
func (s *store) handover() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int)
	for ref, list := range s.kept {
		for n, d := range list {
			key := fmt.Sprintf("store.%s.%d.%s:%d", ref.Name, ref.WID, d.name, n)
			if d.watch != 0 {
				key += ":poll"
			}
			out[key] = d.fd
		}
	}
	return out
}

// inherit takes what an earlier dsatd handed over.
func (s *store) inherit(inherited map[string]int) {
	for _, key := range slices.Sorted(maps.Keys(inherited)) {
		rest, is := strings.CutPrefix(key, "store.")
		if !is {
			continue
		}
		name, rest, _ := strings.Cut(rest, ".")
		number, rest, _ := strings.Cut(rest, ".")
		fdname, more, _ := strings.Cut(rest, ":")
		wid, err := strconv.Atoi(number)
		if err != nil {
			unix.Close(inherited[key])
			continue
		}
		s.keep(topology.Ref{Name: name, WID: wid}, fdname, []int{inherited[key]}, strings.HasSuffix(more, ":poll"))
	}
}

// end closes everything.
func (s *store) end() {
	s.mu.Lock()
	refs := slices.Collect(maps.Keys(s.kept))
	s.mu.Unlock()
	for _, ref := range refs {
		s.rest(ref)
	}
}
