package supervisor

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// output reads all captured pipes with one goroutine: one epoll set, whose data is a number of our own, never the descriptor, and
// which a descriptor leaves before it is closed (a child between fork and exec holds a copy of it, and would keep it in the set).
type output struct {
	epoll int
	bell  int // an eventfd: wakes the loop
	bufs  sync.Pool

	mu   sync.Mutex
	next uint64
	open map[uint64]*capture
	ends map[uint64]*ending
	ring []chan struct{} // who rang the bell
	done bool

	gate   sync.Mutex // held by the loop while it handles what epoll told, and by whoever freezes it
	frozen bool       // belongs to whoever freezes
}

// ending is a descriptor that is watched for one event: a pidfd becomes readable when its process has ended.
type ending struct {
	fd   int
	tell func()
}

// capture is our end of one pipe.
type capture struct {
	fd     int
	book   *logs.Book
	inc    topology.Incarnation // of its process; 0: of no life
	pid    int                  // 0: not yet known
	stream logs.Stream
	toFile bool              // files and sinks get its lines, not the ring alone
	first  func(line string) // takes the first line, which is no log
	match  *regexp.Regexp    // readiness
	found  func(line string) // called once with the first match
	words  *words            // keeps the last lines; nil: nobody asks for them
	spool  *spool            // gets all of it, instead of everybody else; nil: it is lines

	mu   sync.Mutex
	id   uint64 // 0: not in the set
	shut bool
	tail []byte // an unfinished line
}

const (
	readSize = 64 << 10
	maxDrain = 4 << 20 // read at most from a pipe whose process is gone, for somebody else may still be writing
)

func newOutput() (*output, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot watch output: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("cannot watch output: %w", err)
	}
	o := &output{epoll: epoll, bell: bell, open: make(map[uint64]*capture), ends: make(map[uint64]*ending)}
	o.bufs.New = func() any { return new([readSize]byte) }
	return o, nil
}

// add begins to read.
func (o *output) add(c *capture) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return
	}
	o.next++
	c.id = o.next
	o.open[c.id] = c
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(uint32(c.id)), Pad: int32(uint32(c.id >> 32))}
	if err := unix.EpollCtl(o.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
		delete(o.open, c.id)
		c.id = 0
	}
}

// listen goes on, or stops, reading a pipe. An end of the stream is heard in any case.
func (o *output) listen(c *capture, on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || c.id == 0 {
		return
	}
	ev := unix.EpollEvent{Fd: int32(uint32(c.id)), Pad: int32(uint32(c.id >> 32))}
	if on {
		ev.Events = unix.EPOLLIN
	}
	_ = unix.EpollCtl(o.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev) // cannot fail: it is in the set
}

// watch calls tell once, from the loop, when the process behind a pidfd has ended. The descriptor has left the set by then.
func (o *output) watch(pidfd int, tell func()) error {
	_, err := o.watchFor(pidfd, unix.EPOLLIN, tell)
	return err
}

// run reads until the context ends. A turn reads each pipe once at most, so that a flood from one does not hold up the others.
func (o *output) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, o.wake)
	defer stop()
	events := make([]unix.EpollEvent, 128)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(o.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		o.gate.Lock()
		for _, ev := range events[:max(n, 0)] {
			id := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
			if id == 0 {
				o.answer()
				continue
			}
			o.mu.Lock()
			c, e := o.open[id], o.ends[id]
			delete(o.ends, id)
			if e != nil { // under the lock: once it is out of ends, its owner may close it
				_ = unix.EpollCtl(o.epoll, unix.EPOLL_CTL_DEL, e.fd, nil) // cannot fail: it is in the set
			}
			o.mu.Unlock()
			if e != nil {
				e.tell()
			}
			switch {
			case c == nil:
			case o.read(c, readSize):
				o.close(c)
			default:
				o.rest(c)
			}
		}
		o.gate.Unlock()
	}
}

// read takes up to limit bytes; it reports the end of the stream.
func (o *output) read(c *capture, limit int) (end bool) {
	buf := o.bufs.Get().(*[readSize]byte)
	defer o.bufs.Put(buf)
	c.mu.Lock()
	defer c.mu.Unlock()
	for total := 0; total < limit && !c.shut; {
		n, err := unix.Read(c.fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		case err != nil || n == 0:
			return true
		default:
			if c.spool != nil {
				c.spool.add(buf[:n])
				clear(buf[:n])
			} else {
				c.feed(time.Now(), buf[:n])
			}
			total += n
		}
	}
	return false
}

// drain reads what a dead process has written.
func (o *output) drain(c *capture) { o.read(c, maxDrain) }

// close reads the rest and lets go of the pipe.
func (o *output) close(c *capture) {
	o.drain(c)
	o.mu.Lock()
	defer o.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return
	}
	c.shut = true
	if len(c.tail) > 0 {
		c.take(time.Now(), [][]byte{c.tail})
		c.tail = nil
	}
	if c.id != 0 {
		_ = unix.EpollCtl(o.epoll, unix.EPOLL_CTL_DEL, c.fd, nil) // cannot fail: it is in the set
		delete(o.open, c.id)
	}
	unix.Close(c.fd)
}

// rest stops reading a pipe for a while, where the satellite would rather wait than lose lines.
func (o *output) rest(c *capture) {
	if c.book == nil || !c.toFile {
		return
	}
	d, blocks := c.book.Owed(time.Now())
	if !blocks || d == 0 && !c.book.Crowded(c.stream, nil) {
		return
	}
	o.listen(c, false)
	resume := func() { o.listen(c, true) }
	switch {
	case d > 0:
		time.AfterFunc(d, resume)
	case !c.book.Crowded(c.stream, resume):
		resume()
	}
}

// feed cuts what was read into lines. One that is too long is taken apart.
func (c *capture) feed(at time.Time, p []byte) {
	var lines [][]byte
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			c.tail = append(c.tail, p...)
			for len(c.tail) >= logs.MaxLine {
				lines = append(lines, c.tail[:logs.MaxLine:logs.MaxLine])
				c.tail = c.tail[logs.MaxLine:]
			}
			break
		}
		line := p[:n]
		p = p[n+1:]
		if len(c.tail) > 0 {
			line = append(c.tail, line...)
			c.tail = nil
		}
		for len(line) > logs.MaxLine {
			lines = append(lines, line[:logs.MaxLine])
			line = line[logs.MaxLine:]
		}
		lines = append(lines, bytes.TrimSuffix(line, []byte{'\r'}))
	}
	if len(lines) > 0 {
		c.take(at, lines)
	}
}

// take is what happens to lines.
func (c *capture) take(at time.Time, lines [][]byte) {
	if c.first != nil {
		c.first(string(lines[0]))
		c.first, lines = nil, lines[1:]
	}
	if c.match != nil {
		for _, l := range lines {
			if c.match.Match(l) {
				c.found(string(l))
				c.match = nil
				break
			}
		}
	}
	if c.words != nil {
		c.words.add(lines)
	}
	if c.book != nil {
		c.book.Append(at, logs.Origin{Inc: c.inc, PID: c.pid, Stream: c.stream}, c.toFile, lines)
	}
}

func (o *output) wake() {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(o.bell, one) // full means that it rings already
}

func (o *output) answer() {
	var count [8]byte
	_, _ = unix.Read(o.bell, count[:]) // empty is fine too
	o.mu.Lock()
	ring := o.ring
	o.ring = nil
	o.mu.Unlock()
	for _, r := range ring {
		close(r)
	}
}

func (o *output) alive(ctx context.Context) error {
	answer := make(chan struct{})
	o.mu.Lock()
	if o.done {
		o.mu.Unlock()
		return context.Canceled
	}
	o.ring = append(o.ring, answer)
	o.wake()
	o.mu.Unlock()
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end closes everything; the loop has ended.
func (o *output) end() {
	o.mu.Lock()
	o.done = true
	var open []*capture
	for _, c := range o.open {
		open = append(open, c)
	}
	o.mu.Unlock()
	for _, c := range open {
		o.close(c)
	}
	unix.Close(o.bell)
	unix.Close(o.epoll)
}
