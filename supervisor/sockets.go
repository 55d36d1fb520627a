package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// sockets are the listening sockets of a topology. dsatd binds them and never accepts: a satellite that was granted one gets a
// descriptor of it, and while the satellite restarts the kernel goes on queueing connections. One for all is open from the start of
// dsatd to its end; one that each instance has for itself as long as the instance is wanted.
type sockets struct {
	log    *slog.Logger
	runDir string

	mu   sync.Mutex
	open map[string]*listening // by place
}

// listening is one open socket.
type listening struct {
	spec    *topology.Socket
	of      topology.Ref // whose it is; zero: of all that were granted it
	fd      int
	address string // with the port that the kernel chose, where it was to choose
	file    fileID // of a unix socket's path
	waiting int    // in what all returns: connections that nobody has accepted
}

// fileID means one file, whatever has its name later.
type fileID struct{ dev, ino uint64 }

func newSockets(runDir string, log *slog.Logger) *sockets {
	return &sockets{log: log, runDir: runDir, open: make(map[string]*listening)}
}

// keyOf names a socket for the handover to another dsatd: "socket.web", or "socket.web.site:0" for one that an instance has for itself.
func keyOf(k *topology.Socket, ref topology.Ref) string {
	if !k.Own() {
		return "socket." + k.Name
	}
	return "socket." + k.Name + "." + ref.String()
}

// place is where a socket is found among those that are open: while a topology changes, one name can have two addresses.
func place(k *topology.Socket, ref topology.Ref) string { return keyOf(k, ref) + " " + k.Listen }

// begin opens what the satellites of a topology will need, so that a port that is taken is known before anything runs. What an earlier
// dsatd handed over is used, and what it has left in its processes is taken back. left are those processes.
func (s *sockets) begin(t *topology.Topology, inherited map[string]int, left []recordEntry) error {
	var errs []error
	said := make(map[string]bool)
	for _, sat := range t.Satellites {
		for wid := range sat.Instances {
			for _, name := range sat.Sockets {
				k, ref := t.Socket(name), topology.Ref{Name: sat.Name, WID: wid}
				key := keyOf(k, ref)
				if said[key] {
					continue
				}
				said[key] = true
				if s.inherit(k, ref, inherited) || s.regain(k, ref, left) || k.Own() && !sat.Autostart {
					continue
				}
				var ours *stillHeld
				if _, err := s.ensure(k, ref); errors.As(err, &ours) {
					s.log.Warn("a socket stays with the process of an earlier dsatd that has it; it is opened again when that has ended", "socket", k.Name, "error", err)
				} else if err != nil {
					errs = append(errs, err)
				}
			}
		}
	}
	for key, fd := range inherited {
		if strings.HasPrefix(key, "socket.") && !said[key] {
			unix.Close(fd) // of a socket that is gone from the topology
		}
	}
	if len(errs) > 0 {
		s.end()
	}
	return errors.Join(errs...)
}

// inherit takes a descriptor that was handed over.
func (s *sockets) inherit(k *topology.Socket, ref topology.Ref, inherited map[string]int) bool {
	fd, ok := inherited[keyOf(k, ref)]
	if !ok {
		return false
	}
	if !matches(fd, k, k.Address(ref.WID)) {
		unix.Close(fd) // its address has changed
		return false
	}
	unix.CloseOnExec(fd)
	s.keep(k, ref, fd)
	return true
}

// keep enters an open descriptor.
func (s *sockets) keep(k *topology.Socket, ref topology.Ref, fd int) *listening {
	l := &listening{spec: k, fd: fd, address: nameOf(fd, k, ref.WID)}
	if k.Own() {
		l.of = ref
	}
	if path := filePath(k, ref.WID); path != "" {
		l.file = identityOf(path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[place(k, ref)] = l
	return l
}

// ensure opens a socket unless it is open.
func (s *sockets) ensure(k *topology.Socket, ref topology.Ref) (*listening, error) {
	s.mu.Lock()
	l := s.open[place(k, ref)]
	s.mu.Unlock()
	if l != nil {
		return l, nil
	}
	fd, err := bind(k, ref.WID)
	if errors.Is(err, unix.EADDRINUSE) {
		fd, err = s.contest(k, ref, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (socket %s): %w", k.Address(ref.WID), k.Name, err)
	}
	return s.keep(k, ref, fd), nil
}

// lend duplicates the sockets of an instance, in the order of its grants. The receiver closes them.
func (s *sockets) lend(t *topology.Topology, sat *topology.Satellite, ref topology.Ref) (fds []int, err error) {
	for _, name := range sat.Sockets {
		fd, err := s.lendOne(t.Socket(name), name, ref)
		if err == nil {
			fds = append(fds, fd)
			continue
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, err
	}
	return fds, nil
}

func (s *sockets) lendOne(k *topology.Socket, name string, ref topology.Ref) (int, error) {
	if k == nil {
		return -1, fmt.Errorf("cannot hand over socket %s: the topology has it no more", name)
	}
	l, err := s.ensure(k, ref)
	if err != nil {
		return -1, err
	}
	return s.dup(l)
}

// dup is a second descriptor of an open socket, which stays what it is when the first is closed.
func (s *sockets) dup(l *listening) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.fd < 0 {
		return -1, fmt.Errorf("cannot hand over socket %s: it was closed", l.spec.Name)
	}
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("cannot hand over socket %s: %w", l.spec.Name, err)
	}
	return fd, nil
}

// words are what stands for ${socket.NAME.fd} and the like in one instance, as pairs for strings.NewReplacer.
func (s *sockets) words(t *topology.Topology, sat *topology.Satellite, wid int) (pairs []string) {
	for n, name := range sat.Sockets {
		k := t.Socket(name)
		if k == nil {
			continue
		}
		address := k.Address(wid)
		s.mu.Lock()
		if l := s.open[place(k, topology.Ref{Name: sat.Name, WID: wid})]; l != nil {
			address = l.address
		}
		s.mu.Unlock()
		pairs = append(pairs, topology.SocketPlaceholder(name, topology.SocketFD), strconv.Itoa(firstHanded+n),
			topology.SocketPlaceholder(name, topology.SocketAddress), address)
		if i := strings.LastIndexByte(address, ':'); i >= 0 && !k.Unix() {
			pairs = append(pairs, topology.SocketPlaceholder(name, topology.SocketPort), address[i+1:])
		}
	}
	return pairs
}

// rest closes what an instance had for itself: nobody is going to accept from it.
func (s *sockets) rest(ref topology.Ref) {
	s.drop(func(l *listening) bool { return l.of == ref })
}

// retain is called when the topology has become another: what no satellite is granted any more, or what listens elsewhere now, is
// closed; what has changed otherwise is changed where it is.
func (s *sockets) retain(t *topology.Topology) {
	granted := make(map[string]bool)
	for _, sat := range t.Satellites {
		for _, name := range sat.Sockets {
			granted[name] = true
		}
	}
	s.drop(func(l *listening) bool {
		k := t.Socket(l.spec.Name)
		return k == nil || !granted[k.Name] || k.Listen != l.spec.Listen
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.open {
		k := t.Socket(l.spec.Name)
		if describe(k) != describe(l.spec) || k.Backlog != l.spec.Backlog {
			if err := retune(l.fd, k, l.of.WID); err != nil {
				s.log.Error("cannot change an open socket; it stays as it was", "socket", k.Name, "error", err)
			}
		}
		l.spec = k
	}
}

// describe is a socket in one word, for comparing; what concerns dsatd alone is left out.
func describe(k *topology.Socket) string {
	mode := ""
	if k.Mode != nil {
		mode = strconv.FormatUint(uint64(*k.Mode), 8)
	}
	return fmt.Sprint(k.Listen, k.PerInstance, k.ReusePort, k.IPv6Only, k.FreeBind, k.Transparent, k.KeepAlive, k.NoDelay, k.ReceiveBuf, k.SendBuf, mode, k.User, k.Group)
}

// end closes all, and removes the files of unix sockets.
func (s *sockets) end() { s.drop(func(*listening) bool { return true }) }

func (s *sockets) drop(which func(*listening) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.open {
		if !which(l) {
			continue
		}
		delete(s.open, key)
		unix.Close(l.fd)
		l.fd = -1
		if path := filePath(l.spec, l.of.WID); path != "" && l.file != (fileID{}) && identityOf(path) == l.file {
			_ = os.Remove(path) // what cannot be removed is replaced by the next dsatd
		}
	}
}

// handover is all open sockets by their key.
func (s *sockets) handover() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.open))
	for _, l := range s.open {
		out[keyOf(l.spec, l.of)] = l.fd
	}
	return out
}

// all is what is open at a moment, by name and instance.
func (s *sockets) all() []listening {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []listening
	for _, l := range s.open {
		now := *l
		now.waiting = waiting(l)
		out = append(out, now)
	}
	slices.SortFunc(out, func(a, b listening) int {
		return cmp.Or(strings.Compare(a.spec.Name, b.spec.Name), strings.Compare(a.of.Name, b.of.Name), cmp.Compare(a.of.WID, b.of.WID))
	})
	return out
}
