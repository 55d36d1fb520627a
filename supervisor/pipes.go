package supervisor

import (
	"fmt"
	"os"
	"regexp"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// plumbing is the three standard descriptors of one child and our ends of them.
type plumbing struct {
	child    [3]uintptr
	toClose  []int // the child's ends, once it has them
	captures []*capture
	in, out  *os.File // a filter's
}

const (
	pipeDepth  = 1 << 20  // what a child can say while nobody listens
	pipeBudget = 48 << 20 // for all pipes together where the kernel limits a user to 64 MiB
)

// plumb opens what a satellite's descriptors are to be.
func (s *Supervisor) plumb(l *life) (*plumbing, error) {
	t, p := l.spec, &plumbing{}
	for i := range p.child {
		p.child[i] = uintptr(s.null)
	}
	err := s.plumbOut(l, p)
	if err == nil && t.Speaks.Filter() {
		err = s.plumbFilterIn(l, p)
	}
	if err == nil {
		err = s.plumbErr(l, p)
	}
	if err != nil {
		p.closeChild()
		p.closeOurs()
		return nil, err
	}
	return p, nil
}

func (s *Supervisor) plumbOut(l *life, p *plumbing) error {
	t := l.spec
	switch {
	case t.Speaks.Filter() && t.TTY:
		master, slave, err := openTTY()
		if err != nil {
			return err
		}
		p.out = os.NewFile(uintptr(master), l.of.ref.String()+" tty")
		p.child[1] = p.lend(slave)
		return nil
	case t.Speaks.Filter():
		ours, theirs, err := s.outPipe()
		if err != nil {
			return err
		}
		p.out = os.NewFile(uintptr(ours), l.of.ref.String()+" stdout")
		p.child[1] = p.lend(theirs)
		return nil
	case t.Log.Stdout == topology.LogNull && t.Plugin == "":
		return nil
	}
	c, err := s.capture(l, p, 1, logs.Stdout, t.Log.Stdout)
	if err == nil && t.Plugin != "" && s.bus != nil {
		c.first = s.handshake(l)
	}
	return err
}

// plumbErr joins stderr to stdout where the topology says so, unless stdout is a protocol.
func (s *Supervisor) plumbErr(l *life, p *plumbing) error {
	t := l.spec
	if joined(t) && !t.Speaks.Filter() && t.Plugin == "" {
		p.child[2] = p.child[1]
		return nil
	}
	target := stderrTarget(t)
	if target == topology.LogNull {
		return nil
	}
	_, err := s.capture(l, p, 2, logs.Stderr, target)
	return err
}

func joined(t *topology.Satellite) bool {
	return t.Log.Stderr == topology.LogJoined || t.Log.Stderr == ""
}

// stderrTarget is where stderr goes when it has a pipe of its own.
func stderrTarget(t *topology.Satellite) topology.LogTarget {
	if joined(t) {
		return t.Log.Stdout
	}
	return t.Log.Stderr
}

// handshake takes the first line of a plugin.
func (s *Supervisor) handshake(l *life) func(string) {
	ref, inc := l.of.ref, l.inc
	return func(line string) {
		s.record.says(ref, inc, line)
		s.bus.Handshake(ref, inc, line)
	}
}

// plumbFilterIn: the child's end is opened for reading only, so that closing ours is its end of file.
func (s *Supervisor) plumbFilterIn(l *life, p *plumbing) error {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return err
	}
	p.in = os.NewFile(uintptr(fd[1]), l.of.ref.String()+" stdin")
	theirs, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd[0]), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	unix.Close(fd[0])
	if err != nil {
		return err
	}
	p.child[0] = p.lend(theirs)
	return nil
}

func (s *Supervisor) capture(l *life, p *plumbing, fd int, stream logs.Stream, target topology.LogTarget) (*capture, error) {
	ours, theirs, err := s.outPipe()
	if err != nil {
		return nil, err
	}
	c, err := s.captureOf(l, ours, stream, target)
	if err != nil {
		unix.Close(ours)
		unix.Close(theirs)
		return nil, err
	}
	p.captures = append(p.captures, c)
	p.child[fd] = p.lend(theirs)
	return c, nil
}

// captureOf is what reads one pipe of a life.
func (s *Supervisor) captureOf(l *life, fd int, stream logs.Stream, target topology.LogTarget) (*capture, error) {
	c := &capture{fd: fd, book: l.of.book, inc: l.inc, pid: l.pid, stream: stream, toFile: target != topology.LogRing && target != topology.LogNull}
	if r := l.spec.Ready; r.Kind == topology.ReadyLog {
		var err error
		if c.match, err = regexp.Compile(r.Log); err != nil {
			return nil, fmt.Errorf("cannot watch the output: %w", err)
		}
		c.found = func(string) { l.of.post(event{kind: evReady, life: l}) }
	}
	return c, nil
}

// outPipe makes a pipe for output. The child's end is opened read-write and deep: while dsatd is dead there still is a reader, so no
// SIGPIPE, and room to talk. Ours does not block; the child's, another open file, does.
func (s *Supervisor) outPipe() (ours, theirs int, err error) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, 0, err
	}
	if s.depth > 0 {
		// Refused when this user's pipes hold too much already; then it stays as the kernel made it.
		_, _ = unix.FcntlInt(uintptr(fd[0]), unix.F_SETPIPE_SZ, s.depth)
	}
	theirs, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd[1]), unix.O_RDWR|unix.O_CLOEXEC, 0)
	unix.Close(fd[1])
	if err != nil {
		unix.Close(fd[0])
		return 0, 0, err
	}
	return fd[0], theirs, nil
}

// depthFor shares what the kernel allows a user: beyond its soft limit new pipes would shrink to a page or two.
func depthFor(pipes int) int {
	if unix.Geteuid() == 0 || pipes == 0 {
		return pipeDepth
	}
	depth := pipeDepth
	for depth > 64<<10 && depth*pipes > pipeBudget {
		depth /= 2
	}
	if depth*pipes > pipeBudget {
		return 0
	}
	return depth
}

func (p *plumbing) lend(fd int) uintptr {
	p.toClose = append(p.toClose, fd)
	return uintptr(fd)
}

func (p *plumbing) closeChild() {
	for _, fd := range p.toClose {
		unix.Close(fd)
	}
	p.toClose = nil
}

func (p *plumbing) closeOurs() {
	for _, c := range p.captures {
		c.shut = true
		unix.Close(c.fd)
	}
	p.captures = nil
	p.closeFilter()
}

func (p *plumbing) closeFilter() {
	for _, f := range []*os.File{p.in, p.out} {
		if f != nil {
			f.Close()
		}
	}
}

// openTTY opens a pseudo terminal that passes bytes as they are. A program whose output is a terminal buffers by line.
func openTTY() (master, slave int, err error) {
	master, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot open a terminal: %w", err)
	}
	var n int
	if err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err == nil {
		n, err = unix.IoctlGetInt(master, unix.TIOCGPTN)
	}
	if err == nil {
		slave, err = unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		if err = makeRaw(slave); err != nil {
			unix.Close(slave)
		}
	}
	if err != nil {
		unix.Close(master)
		return 0, 0, fmt.Errorf("cannot open a terminal: %w", err)
	}
	return master, slave, nil
}

func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.ICRNL | unix.INLCR | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
