package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/topology"
)

// v1Carrier owns the sockets of [bus.v1]. It is the second file that knows ZeroMQ: another protocol, other kinds of sockets, and a
// goroutine of its own, so that what strangers pour into an endpoint without keys never stands before the sessions of satellites.
// Descriptors are watched as carrier_zmq.go does.
//
// What it receives it hands to the loop as batches of vectors (appendArrival). What it is given to send is a vector for each frame; while
// a socket takes none, they wait in their outbox, and ZMQ_EVENTS tells when it does: nothing is tried by time.
type v1Carrier struct {
	bus     *Bus
	ctx     *zmq4.Context
	sockets []*v1Socket // in order of their links
	ready   chan struct{}
	orders  orders

	// Only run uses what follows.
	frames [][]byte
	ending []*lastWord
}

// lastWord is a dead process whose last vectors may still be on their way.
type lastWord struct {
	peer  *peer
	since time.Time
	quiet int // looks that found nothing from anybody
}

// lastWordPatience bounds the wait for a quiet moment: others may talk without end.
const lastWordPatience = 10 * time.Millisecond

// v1Socket is one endpoint; links that share it share the socket.
type v1Socket struct {
	peer   *peer // what the loop knows it by
	zmq    *zmq4.Socket
	fd     *os.File      // a duplicate of ZMQ_FD
	reads  bool          // PULL or SUB
	tcp    bool          // peers have addresses
	full   bool          // it took no more when it was last tried
	paused atomic.Bool   // the loop wants nothing from it for now
	taken  atomic.Uint64 // vectors that are not ours any more, since the start
}

// v1Backlog is how many vectors ZeroMQ holds for us of each peer. It is not small: when a peer ends while ZeroMQ does not read from it
// because so many wait, ZeroMQ drops what the kernel still has of it (seen with 4.3.4: 214 of 4,000 at a limit of 64).
const v1Backlog = 10_000

// openV1 opens the sockets of a topology; nil when there are none. It takes no endpoint from somebody who uses it.
func openV1(b *Bus, t *topology.V1) (*v1Carrier, error) {
	c := &v1Carrier{bus: b, ready: make(chan struct{}, 1)}
	c.orders.wake = make(chan struct{}, 1)
	byKey := map[string]*v1Socket{}
	for i := range t.Open {
		p := &t.Open[i]
		if p.End == "" {
			continue
		}
		k := socketKey(p)
		s := byKey[k]
		if s == nil {
			var err error
			if s, err = c.open(p, t); err != nil {
				c.shut()
				return nil, fmt.Errorf("cannot open %s of [bus.v1] at %s: %w", p.Name, p.Endpoint.URL, err)
			}
			byKey[k] = s
		}
	}
	if len(c.sockets) == 0 {
		return nil, nil
	}
	return c, nil
}

// socketKey is equal for links that share a socket.
func socketKey(p *v1.Planned) string { return fmt.Sprint(p.Endpoint.URL, " ", p.Socket(), " ", p.Bind) }

var socketTypes = map[v1.Scheme]zmq4.Type{"PUSH": zmq4.PUSH, "PULL": zmq4.PULL, "PUB": zmq4.PUB, "SUB": zmq4.SUB}

func (c *v1Carrier) open(p *v1.Planned, t *topology.V1) (*v1Socket, error) {
	var err error
	if c.ctx == nil {
		if c.ctx, err = zmq4.NewContext(); err != nil {
			return nil, err
		}
	}
	s := &v1Socket{reads: !p.Socket().Sends(), tcp: p.Endpoint.Host != ""}
	if s.zmq, err = c.ctx.NewSocket(socketTypes[p.Socket()]); err != nil {
		return nil, err
	}
	c.sockets = append(c.sockets, s)
	s.peer = newPeer(c, c.bus.pool)
	s.peer.address = socketKey(p)
	s.peer.v1 = s
	hwm := t.HWM
	if p.Socket() == "PUB" {
		hwm = max(hwm, 1000) // a listener that is slow loses what is beyond
	}
	err = errors.Join(s.zmq.SetLinger(0), s.zmq.SetMaxmsgsize(v1.MaxVector), s.zmq.SetSndhwm(hwm), s.zmq.SetRcvhwm(v1Backlog), s.zmq.SetImmediate(true))
	if strings.Contains(p.Endpoint.Host, ":") {
		err = errors.Join(err, s.zmq.SetIpv6(true))
	}
	if p.Socket() == "SUB" {
		err = errors.Join(err, s.zmq.SetSubscribe(t.Where+":")) // with the colon: host1 is not host10
	}
	if err != nil {
		return nil, err
	}
	if err := meet(s.zmq, p); err != nil {
		return nil, err
	}
	return s, s.watched()
}

// meet binds or connects. ZeroMQ's bind takes the path of a socket from whoever has it, and of any other file too.
func meet(s *zmq4.Socket, p *v1.Planned) error {
	if !p.Bind {
		return s.Connect(p.Endpoint.URL)
	}
	if path := p.Endpoint.Path; path != "" {
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return err
		case info.Mode()&os.ModeSocket == 0:
			return errors.New("there is a file of that name, which is no socket")
		default:
			if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
				_ = conn.Close()
				return errors.New("somebody listens there already")
			}
		}
	}
	return s.Bind(p.Endpoint.URL)
}

// watched makes the duplicate of the descriptor.
func (s *v1Socket) watched() error {
	fd, err := s.zmq.GetFd()
	if err != nil {
		return err
	}
	dup, err := syscall.Dup(fd)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(dup)
	s.fd = os.NewFile(uintptr(dup), "zmq v1")
	return nil
}

func (c *v1Carrier) shut() {
	for _, s := range c.sockets {
		if s.fd != nil {
			_ = s.fd.Close()
		}
		if s.zmq != nil {
			_ = s.zmq.Close()
		}
	}
	for c.ctx != nil {
		if err := c.ctx.Term(); err == nil || zmq4.AsErrno(err) != zmq4.Errno(syscall.EINTR) {
			return
		}
	}
}

// run owns the sockets until the bus is closed.
func (c *v1Carrier) run() {
	watches := make(chan struct{}, len(c.sockets))
	for _, s := range c.sockets {
		go c.watch(s, watches)
	}
	defer func() {
		c.shut()
		for range c.sockets {
			<-watches
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := c.turn()
		if wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-c.ready:
		case <-c.orders.wake:
		case <-timer.C:
		case <-c.bus.done:
			return
		}
	}
}

// watch ends when the duplicate is closed.
func (c *v1Carrier) watch(s *v1Socket, end chan<- struct{}) {
	defer func() { end <- struct{}{} }()
	raw, err := s.fd.SyscallConn()
	if err != nil {
		c.bus.cfg.Log.Error("cannot watch a socket of [bus.v1]", "error", err)
		return
	}
	_ = raw.Read(func(uintptr) bool {
		select {
		case c.ready <- struct{}{}:
		default:
		}
		return false
	})
}

// turn sends and receives until nothing is left, a share from each socket in turn, so that none stands before another. It returns
// when it wants another look; 0: when woken.
func (c *v1Carrier) turn() time.Duration {
	for {
		c.follow()
		some := false
		for _, s := range c.sockets {
			n, open := c.share(s)
			if !open {
				return 0
			}
			some = some || n > 0
		}
		if !some && !c.orders.some() {
			return c.hearOut(1)
		}
		if len(c.ending) > 0 {
			c.hearOut(0)
		}
	}
}

// follow does what the loop has ordered.
func (c *v1Carrier) follow() {
	flush, finish, drop := c.orders.take()
	for _, p := range flush {
		c.send(p.v1)
	}
	for _, p := range finish {
		c.ending = append(c.ending, &lastWord{peer: p, since: time.Now()})
	}
	for _, p := range drop {
		if p.v1 != nil && !p.v1.reads { // the loop wants back what was not sent
			c.frames = p.box.take(c.frames)
			p.v1.taken.Add(uint64(len(c.frames))) // places are counted on
			clear(c.frames)
			c.bus.deliver(inbound{peer: p})
		}
	}
}

// share moves a share of what one socket has and returns how many messages; false: the bus is closed. Asking for ZMQ_EVENTS lets the socket
// see what has happened, and clears the edge.
func (c *v1Carrier) share(s *v1Socket) (n int, open bool) {
	ev, err := s.zmq.GetEvents()
	if err != nil {
		return 0, true
	}
	if s.full && ev&zmq4.POLLOUT != 0 {
		n += c.send(s)
	}
	if !s.reads || s.paused.Load() || ev&zmq4.POLLIN == 0 {
		return n, true
	}
	var frame []byte
	for k := 0; k < batch && len(frame) < 64<<10; k++ {
		vector, address, ok := s.receive()
		if !ok {
			break
		}
		if frame == nil {
			frame = c.bus.pool.get()
		}
		frame = appendArrival(frame, address, vector)
		n++
	}
	if frame == nil {
		return n, true
	}
	return n, c.bus.deliver(inbound{peer: s.peer, frame: frame})
}

// receive takes one message. One of several parts is none of this protocol: it arrives empty, which is malformed.
func (s *v1Socket) receive() (vector []byte, address string, ok bool) {
	var err error
	if s.tcp {
		var about map[string]string
		if vector, about, err = s.zmq.RecvBytesWithMetadata(zmq4.DONTWAIT, "Peer-Address"); err == nil {
			address = about["Peer-Address"]
		}
	} else {
		vector, err = s.zmq.RecvBytes(zmq4.DONTWAIT)
	}
	if err != nil {
		return nil, "", false
	}
	for {
		more, err := s.zmq.GetRcvmore()
		if err != nil || !more {
			return vector, address, true
		}
		vector = nil
		if _, err := s.zmq.RecvBytes(zmq4.DONTWAIT); err != nil {
			return nil, address, true
		}
	}
}

// send brings away what waits for a socket, as far as it takes it.
func (c *v1Carrier) send(s *v1Socket) (n int) {
	s.full = false
	c.frames = s.peer.box.take(c.frames)
	for i, f := range c.frames {
		if _, err := s.zmq.SendBytes(f, zmq4.DONTWAIT); err != nil {
			s.peer.box.putBack(c.frames[i:])
			s.full = true
			break
		}
		s.taken.Add(1)
		n++
	}
	clear(c.frames)
	return n
}

// hearOut ends the input of dead processes after enough quiet looks, or when their time is up. It returns when it wants another look.
func (c *v1Carrier) hearOut(quiet int) time.Duration {
	keep := c.ending[:0]
	for _, e := range c.ending {
		if e.quiet += quiet; e.quiet < quietLooks && time.Since(e.since) < lastWordPatience {
			keep = append(keep, e)
		} else if !c.bus.deliver(inbound{peer: e.peer}) {
			return 0
		}
	}
	clear(c.ending[len(keep):])
	c.ending = keep
	if len(keep) == 0 {
		return 0
	}
	return quietPeriod
}

func (c *v1Carrier) flush(p *peer)  { c.orders.add(&c.orders.flush, p) }
func (c *v1Carrier) finish(p *peer) { c.orders.add(&c.orders.finish, p) }
func (c *v1Carrier) drop(p *peer)   { c.orders.add(&c.orders.drop, p) }

// pause stops the reading of a socket, or lets it go on.
func (c *v1Carrier) pause(s *v1Socket, on bool) {
	if s.paused.Swap(on) && !on && c != nil {
		select {
		case c.ready <- struct{}{}:
		default:
		}
	}
}

// appendArrival appends a vector and the address it came from to a batch: u32 length, u8 length of the address, address, vector.
func appendArrival(b []byte, address string, vector []byte) []byte {
	address = address[:min(len(address), 255)]
	b = binary.LittleEndian.AppendUint32(b, uint32(len(vector)))
	b = append(append(b, byte(len(address))), address...)
	return append(b, vector...)
}

// nextArrival takes the first vector off a batch.
func nextArrival(b []byte) (address string, vector, rest []byte, ok bool) {
	if len(b) < 5 {
		return "", nil, nil, false
	}
	n, a := int(binary.LittleEndian.Uint32(b)), int(b[4])
	b = b[5:]
	return string(b[:a]), b[a : a+n], b[a+n:], true
}
