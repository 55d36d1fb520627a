package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// forwarder sends lines to one sink outside: journald, or one syslog daemon. It has a goroutine from the first line on. A sink that is
// dead or slow loses what does not fit the buffer, counted, and holds up nobody; it is dialled again with growing delays as long as there
// is something to send.
type forwarder struct {
	name   string
	dial   func(ctx context.Context) (net.Conn, error)
	stream bool // messages are not kept apart by the transport
	log    *slog.Logger
	start  func() bool // begins run
	sent   atomic.Uint64
	lost   atomic.Uint64

	mu      sync.Mutex
	letters *letters
	begun   bool
	wake    chan struct{}

	conn    net.Conn // the goroutine's own
	failing bool
}

// letters is messages, one after the other, ready to be sent.
type letters struct {
	data []byte
	ends []int
}

const (
	forwardBuffer = 4 << 20
	dialPatience  = 5 * time.Second
	sendPatience  = 2 * time.Second
	lastPatience  = time.Second // at the end
	redialFirst   = 100 * time.Millisecond
	redialMost    = 10 * time.Second
)

// post queues one message; write appends it.
func (f *forwarder) post(write func(dst []byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.letters == nil {
		f.letters = &letters{}
	}
	if len(f.letters.data) >= forwardBuffer {
		f.lost.Add(1)
		return
	}
	f.letters.data = write(f.letters.data)
	f.letters.ends = append(f.letters.ends, len(f.letters.data))
	if !f.begun {
		f.begun = f.start()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *forwarder) run(ctx context.Context) {
	defer func() {
		if f.conn != nil {
			f.conn.Close()
		}
	}()
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			f.last()
			return
		}
		f.mu.Lock()
		l := f.letters
		f.letters = nil
		f.mu.Unlock()
		if l != nil && !f.deliver(ctx, l) {
			f.last()
			return
		}
	}
}

// deliver sends all, however long the sink is away; false means that the context has ended first.
func (f *forwarder) deliver(ctx context.Context, l *letters) bool {
	for delay := redialFirst; ; delay = min(2*delay, redialMost) {
		before := len(l.ends)
		err := f.send(ctx, l, sendPatience)
		f.tell(err)
		if err == nil {
			return true
		}
		if len(l.ends) < before {
			delay = redialFirst
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			f.lost.Add(uint64(len(l.ends)))
			return false
		}
	}
}

// last tries once more at the end, and counts what is left.
func (f *forwarder) last() {
	f.mu.Lock()
	l := f.letters
	f.letters = nil
	f.mu.Unlock()
	if l == nil {
		return
	}
	if f.conn != nil {
		_ = f.send(context.Background(), l, lastPatience) // what could not be sent is counted
	}
	f.lost.Add(uint64(len(l.ends)))
}

func (f *forwarder) tell(err error) {
	switch {
	case err != nil && !f.failing:
		f.log.Warn("cannot forward lines; they are kept as long as there is room, then lost", "to", f.name, "error", err)
	case err == nil && f.failing:
		f.log.Info("lines are forwarded again", "to", f.name, "lost", f.lost.Load())
	}
	f.failing = err != nil
}

// send takes off the letters what it has sent.
func (f *forwarder) send(ctx context.Context, l *letters, patience time.Duration) error {
	if f.conn != nil && f.stream && hungUp(f.conn) {
		f.hang()
	}
	if f.conn == nil {
		ctx, cancel := context.WithTimeout(ctx, dialPatience)
		defer cancel()
		conn, err := f.dial(ctx)
		if err != nil {
			return err
		}
		f.conn = conn
	}
	var err error
	if f.stream {
		err = f.sendStream(l, patience)
	} else {
		err = f.sendEach(l, patience)
	}
	if err != nil {
		f.hang()
	}
	return err
}

func (f *forwarder) hang() {
	f.conn.Close()
	f.conn = nil
}

func (f *forwarder) sendStream(l *letters, patience time.Duration) error {
	if err := f.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	n, err := f.conn.Write(l.data)
	whole := 0
	for whole < len(l.ends) && l.ends[whole] <= n {
		whole++
	}
	l.drop(whole)
	f.sent.Add(uint64(whole))
	return err
}

func (f *forwarder) sendEach(l *letters, patience time.Duration) error {
	from := 0
	for n, end := range l.ends {
		if n%64 == 0 {
			if err := f.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
				l.drop(n)
				return err
			}
		}
		_, err := f.conn.Write(l.data[from:end])
		if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
			err = sendLarge(f.conn, l.data[from:end])
		}
		switch {
		case errors.Is(err, unix.EMSGSIZE):
			f.lost.Add(1) // no other try will do better
		case errors.Is(err, unix.ECONNREFUSED) && isUDP(f.conn):
			f.lost.Add(1) // the answer to an earlier one: nobody listens, or it has just begun to
		case err != nil:
			l.drop(n)
			return err
		default:
			f.sent.Add(1)
		}
		from = end
	}
	l.drop(len(l.ends))
	return nil
}

// drop forgets the first n letters.
func (l *letters) drop(n int) {
	if n == 0 {
		return
	}
	cut := l.ends[n-1]
	l.data, l.ends = l.data[cut:], l.ends[n:]
	for i := range l.ends {
		l.ends[i] -= cut
	}
}

func isUDP(c net.Conn) bool {
	_, is := c.(*net.UDPConn)
	return is
}

// hungUp: the other side has closed the stream; a write would still succeed once, into nothing.
func hungUp(c net.Conn) (over bool) {
	t, is := c.(*net.TCPConn)
	if !is {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		over = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return over || err != nil
}

// sendLarge hands a datagram that is too large for a unix socket over in a sealed memory file, as journald takes it.
func sendLarge(c net.Conn, p []byte) error {
	u, is := c.(*net.UnixConn)
	if !is {
		return unix.EMSGSIZE
	}
	fd, err := unix.MemfdCreate("dsat-line", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "line")
	defer f.Close()
	if _, err := f.Write(p); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), nil, unix.UnixRights(int(f.Fd())), nil, 0)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

// postOffice is the forwarders there are, one for each sink.
type postOffice struct {
	log     *slog.Logger
	journal string // journald's socket
	host    string
	mu      sync.Mutex
	all     map[string]*forwarder
	ctx     context.Context // of all forwarders: they begin at any time. It ends with close
	end     context.CancelFunc
	wg      sync.WaitGroup
}

const journalSocket = "/run/systemd/journal/socket"

func newPostOffice(log *slog.Logger) *postOffice {
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsAny(host, " \t\n") {
		host = "-"
	}
	p := &postOffice{log: log, journal: journalSocket, host: host, all: make(map[string]*forwarder)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// close ends all forwarders; what can be sent at once is.
func (p *postOffice) close() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	p.wg.Wait()
}

// forwarder is the one for a network and an address.
func (p *postOffice) forwarder(name, network, address string) *forwarder {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.all[name]; f != nil {
		return f
	}
	f := &forwarder{name: name, stream: network == "tcp", log: p.log, wake: make(chan struct{}, 1)}
	f.dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("cannot reach it: %w", err)
		}
		return conn, nil
	}
	f.start = func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ctx.Err() != nil {
			return false
		}
		p.wg.Go(func() { f.run(p.ctx) })
		return true
	}
	p.all[name] = f
	return f
}

// routes are where the lines of a satellite go beside files.
func (p *postOffice) routes(l *topology.Log) []route {
	var all []route
	for _, to := range l.To {
		r := route{l: &l.Syslog, host: p.host, facility: position(topology.SyslogFacilities(), l.Syslog.Facility)}
		r.severity = [2]int{position(topology.SyslogSeverities(), l.Syslog.Stdout), position(topology.SyslogSeverities(), l.Syslog.Stderr)}
		switch to {
		case topology.LogJournald:
			r.to, r.write = p.forwarder("journald", "unixgram", p.journal), appendJournal
		case topology.LogSyslog:
			r.to, r.write = p.syslog(l.Syslog.Address), appendSyslog
			r.framed, r.local = r.to.stream, strings.HasPrefix(l.Syslog.Address, "/")
		default:
			continue
		}
		all = append(all, r)
	}
	return all
}

func (p *postOffice) syslog(address string) *forwarder {
	if strings.HasPrefix(address, "/") {
		return p.forwarder(address, "unixgram", address)
	}
	network, hostPort, _ := strings.Cut(address, "://")
	return p.forwarder(address, network, hostPort)
}

// Forwarding is one sink that lines are forwarded to.
type Forwarding struct {
	To         string // "journald", "/dev/log", "udp://host:514"
	Sent, Lost uint64 // lines
}

func (p *postOffice) forwardings() []Forwarding {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Forwarding
	for _, f := range p.all {
		all = append(all, Forwarding{f.name, f.sent.Load(), f.lost.Load()})
	}
	return all
}
