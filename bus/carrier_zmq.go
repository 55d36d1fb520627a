package bus

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/dsat/dsat/bus/wire"
)

// zmqCarrier owns the ROUTER. Only run touches the socket; others leave orders and wake it.
//
// ZMQ_FD is edge-triggered. One RawConn.Read that never ends watches it: its callback posts to a channel of capacity 1 and
// asks to be called again. One Read per event would reset the poller's state and lose the edge in between for good. After
// every wake, and after every send, ZMQ_EVENTS is looked at until it is clear.
type zmqCarrier struct {
	bus    *Bus
	ctx    *zmq4.Context
	socket *zmq4.Socket
	fd     *os.File // a duplicate of ZMQ_FD
	ready  chan struct{}
	orders orders

	// Only run uses what follows.
	peers  map[string]*peer
	stuck  []*peer // whose pipe was full
	frames [][]byte
	ending []*ending
}

// ending is a dead peer whose last frames may still be on their way.
type ending struct {
	peer  *peer
	quiet int // looks that found nothing
}

const (
	sendHWM     = 1 << 10              // frames; more wait in the outbox, where a peer that never reads is noticed
	stuckRetry  = 2 * time.Millisecond // until a full pipe is tried again
	quietLooks  = 2                    // looks at an empty socket until a dead peer's input counts as ended
	quietPeriod = 500 * time.Microsecond
)

func newZMQ(b *Bus) (*zmqCarrier, error) {
	z := &zmqCarrier{bus: b, ready: make(chan struct{}, 1), peers: map[string]*peer{}}
	z.orders.wake = make(chan struct{}, 1)
	if err := z.open(b.url); err != nil {
		z.shut()
		return nil, err
	}
	return z, nil
}

func (z *zmqCarrier) open(url string) error {
	var err error
	if z.ctx, err = zmq4.NewContext(); err != nil {
		return err
	}
	if z.socket, err = z.ctx.NewSocket(zmq4.ROUTER); err != nil {
		return err
	}
	err = errors.Join(
		z.socket.SetLinger(0),
		z.socket.SetRouterMandatory(1),
		z.socket.SetMaxmsgsize(wire.MaxMessage),
		z.socket.SetSndhwm(sendHWM),
		z.socket.Bind(url))
	if err != nil {
		return err
	}
	fd, err := z.socket.GetFd()
	if err != nil {
		return err
	}
	dup, err := syscall.Dup(fd)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(dup)
	z.fd = os.NewFile(uintptr(dup), "zmq")
	return nil
}

// shut frees everything. Term is interrupted by signals, and tried again.
func (z *zmqCarrier) shut() {
	if z.fd != nil {
		_ = z.fd.Close()
	}
	if z.socket != nil {
		_ = z.socket.Close()
	}
	for z.ctx != nil {
		if err := z.ctx.Term(); err == nil || zmq4.AsErrno(err) != zmq4.Errno(syscall.EINTR) {
			return
		}
	}
}

// run owns the socket until the bus is closed.
func (z *zmqCarrier) run() {
	watch := make(chan struct{})
	go z.watch(watch)
	defer func() {
		z.shut()
		<-watch
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := z.turn()
		runtime.Gosched() // the loop may have an answer to what it was just given: one wake less
		if wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-z.ready:
		case <-z.orders.wake:
		case <-timer.C:
		case <-z.bus.done:
			z.turn() // the last words: ERRORs and BYEs
			return
		}
	}
}

// watch ends when the duplicate is closed.
func (z *zmqCarrier) watch(end chan struct{}) {
	defer close(end)
	raw, err := z.fd.SyscallConn()
	if err != nil {
		z.bus.cfg.Log.Error("cannot watch the bus socket", "error", err)
		return
	}
	_ = raw.Read(func(uintptr) bool {
		select {
		case z.ready <- struct{}{}:
		default:
		}
		return false
	})
}

// turn receives and sends until nothing is left and returns when it wants another look; 0: when woken.
func (z *zmqCarrier) turn() time.Duration {
	for {
		z.follow()
		n := z.receive()
		if n < 0 {
			return 0
		}
		if n == 0 && !z.orders.some() {
			break
		}
	}
	if len(z.ending) > 0 {
		return z.finishQuiet()
	}
	if len(z.stuck) > 0 {
		return stuckRetry
	}
	return 0
}

// follow does what the loop has ordered.
func (z *zmqCarrier) follow() {
	flush, finish, drop := z.orders.take()
	flush = append(flush, z.stuck...)
	z.stuck = z.stuck[:0]
	for _, p := range flush {
		z.send(p)
	}
	for _, p := range finish {
		z.ending = append(z.ending, &ending{peer: p})
	}
	for _, p := range drop {
		z.send(p)
		if z.peers[p.address] == p {
			delete(z.peers, p.address)
		}
	}
}

// receive takes messages until ZMQ_EVENTS is clear. It returns how many there were, or less than 0 when the bus is closed.
func (z *zmqCarrier) receive() int {
	n := 0
	for {
		ev, err := z.socket.GetEvents()
		if err != nil || ev&zmq4.POLLIN == 0 {
			return n
		}
		for {
			ok, open := z.receiveOne()
			if !open {
				return -1
			}
			if !ok {
				break
			}
			if n++; n%batch == 0 {
				z.follow()
			}
		}
	}
}

// receiveOne takes one message: routing id and frame. More parts than that are not of this protocol.
func (z *zmqCarrier) receiveOne() (ok, open bool) {
	id, err := z.socket.RecvBytes(zmq4.DONTWAIT)
	if err != nil {
		return false, true
	}
	frame, err := z.socket.RecvBytes(zmq4.DONTWAIT) // a ROUTER puts the id before what came, so there is at least one part more
	if err != nil {
		return false, true
	}
	for more, _ := z.socket.GetRcvmore(); more; more, _ = z.socket.GetRcvmore() {
		if _, err := z.socket.RecvBytes(zmq4.DONTWAIT); err != nil {
			return false, true
		}
		frame = []byte{0} // refused by whoever reads it
	}
	return true, z.handIn(id, frame)
}

// handIn gives a frame to the loop. Who is unknown has to begin with HELLO, and is asked for it; one that speaks another language
// is left to the loop, which refuses it.
func (z *zmqCarrier) handIn(id, frame []byte) bool {
	p := z.peers[string(id)]
	if p == nil {
		if forgotHello(frame) {
			z.askHello(id)
			return true
		}
		p = newPeer(z, z.bus.pool)
		p.address, p.route = string(id), id
		z.peers[p.address] = p
	}
	return z.bus.deliver(inbound{peer: p, frame: frame})
}

// forgotHello reports whether a frame is well-formed and begins with anything but HELLO, as those of a peer do that does not know
// that the daemon is another one.
func forgotHello(frame []byte) bool {
	var rec wire.Record
	r, err := wire.Parse(frame)
	return err == nil && r.Next(&rec) && rec.Kind != wire.Hello
}

func (z *zmqCarrier) askHello(id []byte) {
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Error, Epoch: z.bus.cfg.Epoch, N: wire.ErrHelloAgain}, []byte("cannot take this: the connection is not known, say HELLO"))
	_ = z.transmit(id, b.Frame())
}

func (z *zmqCarrier) transmit(id, frame []byte) error {
	if _, err := z.socket.SendBytes(id, zmq4.DONTWAIT|zmq4.SNDMORE); err != nil {
		return err
	}
	_, err := z.socket.SendBytes(frame, zmq4.DONTWAIT)
	return err
}

// send brings away what is in a peer's outbox. A full pipe is tried again later; a peer that is gone gets nothing.
func (z *zmqCarrier) send(p *peer) {
	z.frames = p.box.take(z.frames)
	for i, f := range z.frames {
		err := z.transmit(p.route, f)
		if err != nil && zmq4.AsErrno(err) == zmq4.Errno(syscall.EAGAIN) {
			p.box.putBack(z.frames[i:])
			z.stuck = append(z.stuck, p)
			break
		}
		p.pool.put(f)
	}
	clear(z.frames)
}

// finishQuiet counts looks that found nothing and ends the input of dead peers after enough of them.
func (z *zmqCarrier) finishQuiet() time.Duration {
	keep := z.ending[:0]
	for _, e := range z.ending {
		if e.quiet++; e.quiet < quietLooks {
			keep = append(keep, e)
		} else if !z.bus.deliver(inbound{peer: e.peer}) {
			return 0
		}
	}
	clear(z.ending[len(keep):])
	z.ending = keep
	if len(keep) == 0 {
		return 0
	}
	return quietPeriod
}

func (z *zmqCarrier) flush(p *peer)  { z.orders.add(&z.orders.flush, p) }
func (z *zmqCarrier) finish(p *peer) { z.orders.add(&z.orders.finish, p) }
func (z *zmqCarrier) drop(p *peer)   { z.orders.add(&z.orders.drop, p) }

// Version is that of libzmq, as in "4.3.4".
func Version() string {
	major, minor, patch := zmq4.Version()
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}
