package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// inlet is the NOTIFY_SOCKET of one life. Each has one of its own, so that a flood from one fills nobody else's, a datagram whose sender
// has ended already still tells whose it is, and what an earlier life has sent is gone with its socket. It is closed to other users.
type inlet struct {
	s    *Supervisor
	l    *life
	path string
	uid  uint32 // who may write to it, beside root

	mu      sync.Mutex
	fd      int // -1: closed
	pid     int // the main process; 0: not forked yet
	watch   uint64
	heard   tidings
	told    bool // the owner is to come for what was heard
	refused int
}

const (
	mostHeard    = 64  // datagrams of one turn, so that a flood does not hold up others
	mostRounds   = 16  // of those, when the process has ended
	mostHandedIn = 253 // descriptors of one datagram: the kernel's own limit
	longestPath  = 107 // of a unix socket
)

// listenTo opens the socket of a life that has one. It reads nothing before hear.
func (s *Supervisor) listenTo(l *life, p *plan) error {
	if !l.spec.Notify.Socket {
		return nil
	}
	path, err := s.openInlet(l, p.who)
	if err != nil {
		return fmt.Errorf("cannot open the NOTIFY_SOCKET of %s: %w", l.of.ref, err)
	}
	p.env = setenv(p.env, "NOTIFY_SOCKET", path)
	if w := l.spec.Notify.Watchdog; w > 0 {
		p.env = setenv(p.env, "WATCHDOG_USEC", strconv.FormatInt(w.Microseconds(), 10))
		// Where whatever it forks may feed the watchdog, none of them is to think that it is meant for another.
		if l.spec.Notify.Access == topology.NotifyMain {
			if p.traits == nil {
				p.traits = &traits{}
			}
			p.traits.Watched = true
		}
	}
	return nil
}

func (s *Supervisor) openInlet(l *life, who identity) (string, error) {
	path := s.inletPath(l.of.ref)
	if len(path) > longestPath {
		return "", fmt.Errorf("its path is longer than %d bytes: %s (choose a shorter --run-dir)", longestPath, path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	uid := who.uid()
	if uid != uint32(os.Geteuid()) {
		if err := s.corridor(who, dir); err != nil {
			return "", err
		}
	}
	fd, err := bindInlet(path, uid)
	if err != nil {
		return "", err
	}
	l.inlet = &inlet{s: s, l: l, path: path, uid: uid, fd: fd}
	return path, nil
}

// bindInlet makes the socket, which is open to one user and root.
func bindInlet(path string, uid uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	_ = os.Remove(path) // of a life before
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err == nil && uid != uint32(os.Geteuid()) {
		err = os.Chown(path, int(uid), -1)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// inletPath is the same for every life of an instance, so that a process that is taken back is heard again.
func (s *Supervisor) inletPath(ref topology.Ref) string {
	path := filepath.Join(s.runDir, "notify", fmt.Sprintf("%s.%d", ref.Name, ref.WID))
	if len(path) <= longestPath {
		return path
	}
	sum := sha256.Sum256([]byte(ref.String()))
	return filepath.Join(s.runDir, "notify", hex.EncodeToString(sum[:6]))
}

// inletKey is the name of its descriptor when it is handed over.
func inletKey(ref topology.Ref) string { return "notify." + ref.String() }

// descriptor is for a frozen Supervisor; -1: it is closed.
func (e *inlet) descriptor() int {
	if e == nil {
		return -1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fd
}

// reopenInlet is for a life that is taken back.
func (s *Supervisor) reopenInlet(l *life) {
	if !l.spec.Notify.Socket {
		return
	}
	who, err := identify(l.spec.Process)
	if err != nil {
		who = identity{}
	}
	if fd, err := s.estate.take(inletKey(l.of.ref)); err == nil { // what was told meanwhile is in it
		unix.CloseOnExec(fd)
		l.inlet, l.unsure = &inlet{s: s, l: l, path: s.inletPath(l.of.ref), uid: who.uid(), fd: fd}, false
	} else if _, err := s.openInlet(l, who); err != nil {
		s.log.Error("cannot open the NOTIFY_SOCKET of a process that was taken back; it is not heard", "instance", l.of.ref, "error", err)
		return
	}
	l.inlet.main(l.mainPID())
	l.inlet.hear()
}

// main tells who the main process is.
func (e *inlet) main(pid int) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pid = pid
}

// hear begins to read, now that it is known who the main process is.
func (e *inlet) hear() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arm()
}

// arm asks to be told of the next datagram. It is called under the lock.
func (e *inlet) arm() {
	if e.fd < 0 {
		return
	}
	id, err := e.s.output.watchFor(e.fd, unix.EPOLLIN, func() {
		e.read()
		e.mu.Lock()
		e.watch = 0
		e.arm()
		e.mu.Unlock()
	})
	if err != nil {
		e.s.log.Error("cannot read a NOTIFY_SOCKET", "instance", e.l.of.ref, "error", err)
	}
	e.watch = id
}

// close ends it. What is in it still counts for nothing.
func (e *inlet) close() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd < 0 {
		return
	}
	if e.watch != 0 {
		e.s.output.unwatch(e.watch)
	}
	unix.Close(e.fd)
	e.fd = -1
	if h := e.heard.heir; h != nil {
		h.letGo()
		e.heard.heir = nil
	}
	_ = os.Remove(e.path)
}

// exhaust takes what a process has told before it ended, as far as it is not a flood.
func (e *inlet) exhaust() {
	for n := 0; n < mostRounds && e.read(); n++ {
	}
}

// read takes what has arrived, mostHeard datagrams at most, and reports whether there may be more. It never blocks, and may be called from
// anywhere but under the reaper's lock.
func (e *inlet) read() (more bool) {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	buf := make([]byte, mostDatagram+1)
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*mostHandedIn))
	for n := 0; n < mostHeard && e.fd >= 0; n++ {
		size, osize, flags, _, err := unix.Recvmsg(e.fd, buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false
		}
		sender, fds := unpack(oob[:osize])
		t, ok := parseDatagram(buf[:size])
		switch {
		case !ok || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
			e.refuse(sender, "it is no message of sd_notify")
		case !e.trusts(sender):
			e.refuse(sender, `it is not from the main process (see notify_access)`)
		default:
			fds = e.hand(t, fds)
			e.follow(sender, &t)
			e.note(t)
		}
		shut(fds)
	}
	return e.fd >= 0
}

// follow looks at the process that is named as the main one. From here on that may speak, so that its first word is heard although the
// owner has not come yet.
func (e *inlet) follow(sender *unix.Ucred, t *tidings) {
	if t.mainPID == 0 || t.mainPID == e.pid {
		return
	}
	h, err := e.s.heirOf(e.l, t.mainPID)
	if err != nil {
		e.refuse(sender, fmt.Sprintf("MAINPID=%d: %v", t.mainPID, err))
		return
	}
	e.pid, t.heir = h.pid, h
}

// note keeps what was told until the owner comes for it; he is called once.
func (e *inlet) note(t tidings) {
	e.heard.add(t)
	if !e.told {
		e.told = true
		e.l.of.tell(event{kind: evNotify, life: e.l})
	}
}

// take is what was heard since it was called last.
func (e *inlet) take() tidings {
	if e == nil {
		return tidings{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.heard
	e.heard, e.told = tidings{}, false
	return t
}

// hand gives descriptors to the store; those it returns are to be closed.
func (e *inlet) hand(t tidings, fds []int) []int {
	switch ref := e.l.of.ref; {
	case t.store && len(fds) > 0 && !t.barrier:
		e.s.store.keep(ref, t.fdName, fds, !t.pollOff)
		return nil
	case t.storeRemove && t.fdName != "":
		e.s.store.drop(ref, t.fdName)
	}
	return fds
}

func (e *inlet) refuse(who *unix.Ucred, why string) {
	if e.refused++; e.refused > 1 {
		return // told once of each life
	}
	pid := 0
	if who != nil {
		pid = int(who.Pid)
	}
	e.s.log.Warn("a message to NOTIFY_SOCKET was refused; others like it will be without a word", "instance", e.l.of.ref, "pid", pid, "reason", why)
}

// trusts: the sender, whom the kernel names, may speak for this life. One that has ended meanwhile was of its user, and had the path.
func (e *inlet) trusts(who *unix.Ucred) bool {
	switch {
	case who == nil || who.Pid <= 0 || who.Uid != e.uid && who.Uid != 0:
		return false
	case int(who.Pid) == e.pid:
		return true
	case e.l.spec.Notify.Access != topology.NotifyAll:
		return false
	}
	p, err := readStat(int(who.Pid))
	if err != nil || p.dead() || !p.memory {
		return true
	}
	if p.sid == e.pid || p.pgid == e.pid {
		return true
	}
	env := envOf(p.pid, "DSAT_RUN", "DSAT_INSTANCE", "DSAT_INCARNATION")
	return env[0] == e.s.runDir && env[1] == e.l.of.ref.String() && env[2] == strconv.FormatUint(uint64(e.l.inc), 10)
}

// unpack takes the sender and the descriptors out of what came beside a datagram.
func unpack(oob []byte) (who *unix.Ucred, fds []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, nil
	}
	for _, m := range messages {
		if c, err := unix.ParseUnixCredentials(&m); err == nil {
			who = c
		}
		if more, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, more...)
		}
	}
	return who, fds
}

// shut closes descriptors of others without waiting for what a socket may still have to send.
func shut(fds []int) {
	for _, fd := range fds {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // most are no sockets
		unix.Close(fd)
	}
}
