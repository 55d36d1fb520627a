// Package zmq is the least of libzmq that carries frames of bus/wire: a ROUTER that is bound, a DEALER that is connected, and one call
// into C for a whole message. What is received is copied once, into memory of the caller's, which may be used again; a general
// binding makes new memory for each part, which at 64 KiB a frame keeps a collector busy, and asks C three times for each.
//
// A Socket belongs to one goroutine at a time. Numbers in comments are those of libzmq 4.2 and later.
package zmq

/*
#cgo pkg-config: libzmq
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { DSAT_ID = 256 }; // a routing id has at most 255 bytes

// A socket with its context and what was received last. data and id are valid until the next dsat_take.
struct dsat_socket {
	void *ctx, *soc;
	zmq_msg_t part;
	void *data;
	size_t size, id_size;
	unsigned char id[DSAT_ID];
	int parts;
};

static struct dsat_socket *dsat_new(int kind)
{
	struct dsat_socket *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
#ifdef M_TRIM_THRESHOLD // glibc gives memory back to the kernel frame by frame else, and gets it back page by page
	mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
	zmq_msg_init(&s->part);
	s->ctx = zmq_ctx_new();
	if (s->ctx)
		s->soc = zmq_socket(s->ctx, kind);
	return s;
}

static int dsat_set(struct dsat_socket *s, int option, int value)
{
	return zmq_setsockopt(s->soc, option, &value, sizeof value);
}

static int dsat_set_long(struct dsat_socket *s, int option, int64_t value)
{
	return zmq_setsockopt(s->soc, option, &value, sizeof value);
}

static int dsat_get(struct dsat_socket *s, int option, int *value)
{
	size_t size = sizeof *value;
	int rc;

	do
		rc = zmq_getsockopt(s->soc, option, value, &size);
	while (rc < 0 && errno == EINTR);
	return rc;
}

static int dsat_readable(struct dsat_socket *s)
{
	int events;

	return dsat_get(s, ZMQ_EVENTS, &events) == 0 && (events & ZMQ_POLLIN);
}

// Receives into s->part, which lets go what it had. Without waiting; EINTR is tried again.
static int dsat_part(struct dsat_socket *s, int flags)
{
	int n;

	do
		n = zmq_msg_recv(&s->part, s->soc, flags);
	while (n < 0 && errno == EINTR);
	return n;
}

// Takes a whole message: with a routing id first, where there is one, and the last part of what follows.
static int dsat_take(struct dsat_socket *s, int routed, int flags)
{
	int n = dsat_part(s, flags);

	if (n < 0)
		return -1;
	s->parts = 0;
	s->id_size = 0;
	if (routed) {
		s->id_size = n < DSAT_ID ? (size_t)n : DSAT_ID;
		memcpy(s->id, zmq_msg_data(&s->part), s->id_size);
	} else {
		s->parts = 1;
	}
	while (zmq_msg_more(&s->part)) {
		if (dsat_part(s, 0) < 0) // parts come together
			return -1;
		s->parts++;
	}
	s->data = zmq_msg_data(&s->part);
	s->size = zmq_msg_size(&s->part);
	return 0;
}

// Frees what was received last.
static void dsat_drop(struct dsat_socket *s)
{
	zmq_msg_close(&s->part);
	zmq_msg_init(&s->part);
}

static int dsat_send(struct dsat_socket *s, const void *data, size_t size, int flags)
{
	int n;

	do
		n = zmq_send(s->soc, data, size, flags);
	while (n < 0 && errno == EINTR);
	return n;
}

// Sends a frame, to the peer of that id where there is one.
static int dsat_give(struct dsat_socket *s, const void *id, size_t id_size, const void *data, size_t size, int flags)
{
	if (id_size > 0 && dsat_send(s, id, id_size, flags | ZMQ_SNDMORE) < 0)
		return -1;
	return dsat_send(s, data, size, flags);
}

static void dsat_close(struct dsat_socket *s)
{
	zmq_msg_close(&s->part);
	if (s->soc)
		zmq_close(s->soc);
	while (s->ctx && zmq_ctx_term(s->ctx) < 0 && errno == EINTR)
		;
	free(s);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

// ErrAgain says that there is nothing to receive, or no room to send.
var ErrAgain = errors.New("cannot go on without waiting")

// keptSize is how large a message may be whose memory is kept until the next one comes.
const keptSize = 128 << 10

// Socket is a ROUTER or a DEALER with a context of its own.
type Socket struct {
	s      *C.struct_dsat_socket
	routed C.int
}

// Bind opens a ROUTER at an endpoint. It takes messages of at most maxMessage bytes, lets highWater messages wait for each peer, and
// tells when a peer is not there or its pipe is full.
func Bind(url string, maxMessage int64, highWater int) (*Socket, error) {
	s, err := open(C.ZMQ_ROUTER)
	if err != nil {
		return nil, err
	}
	s.routed = 1
	err = errors.Join(
		s.set(C.ZMQ_LINGER, 0),
		s.set(C.ZMQ_ROUTER_MANDATORY, 1),
		s.set(C.ZMQ_SNDHWM, highWater),
		s.limit(maxMessage),
		s.at(url, func(u *C.char) (C.int, error) {
			rc, err := C.zmq_bind(s.s.soc, u)
			return rc, err
		}))
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Connect opens a DEALER to an endpoint. It keeps what it cannot send yet, without bound, and for a second when it is closed.
func Connect(url string) (*Socket, error) {
	s, err := open(C.ZMQ_DEALER)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		s.set(C.ZMQ_LINGER, 1000),
		s.set(C.ZMQ_SNDHWM, 0),
		s.set(C.ZMQ_RCVHWM, 0),
		s.at(url, func(u *C.char) (C.int, error) {
			rc, err := C.zmq_connect(s.s.soc, u)
			return rc, err
		}))
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func open(kind C.int) (*Socket, error) {
	s := &Socket{}
	var err error
	if s.s, err = C.dsat_new(kind); s.s == nil {
		return nil, fmt.Errorf("cannot make a socket of ZeroMQ: %w", err)
	}
	if s.s.soc == nil {
		s.Close()
		return nil, fmt.Errorf("cannot make a socket of ZeroMQ: %w", sentence(err))
	}
	return s, nil
}

func (s *Socket) set(option C.int, value int) error {
	rc, err := C.dsat_set(s.s, option, C.int(value))
	return check(rc, err)
}

// limit has it hang up on who sends a larger message.
func (s *Socket) limit(size int64) error {
	rc, err := C.dsat_set_long(s.s, C.ZMQ_MAXMSGSIZE, C.int64_t(size))
	return check(rc, err)
}

func (s *Socket) at(url string, f func(*C.char) (C.int, error)) error {
	u := C.CString(url)
	defer C.free(unsafe.Pointer(u))
	return check(f(u))
}

// check makes an error of what a call has returned.
func check(rc C.int, err error) error {
	if rc >= 0 {
		return nil
	}
	return sentence(err)
}

// sentence is an error of libzmq in its words: some of its numbers the kernel does not know.
func sentence(err error) error {
	no, ok := err.(syscall.Errno) //nolint:errorlint // cgo makes it, and errors.As would allocate
	switch {
	case !ok:
		return errors.New("unknown error of ZeroMQ")
	case no == syscall.EAGAIN:
		return ErrAgain
	}
	return fmt.Errorf("%s (%w)", C.GoString(C.zmq_strerror(C.int(no))), no)
}

// FD is the descriptor that becomes readable when Readable may have changed. It is edge-triggered, and belongs to the socket.
func (s *Socket) FD() (int, error) {
	var fd C.int
	rc, err := C.dsat_get(s.s, C.ZMQ_FD, &fd)
	return int(fd), check(rc, err)
}

// Readable reports whether there is something to receive.
func (s *Socket) Readable() bool {
	return C.dsat_readable(s.s) != 0
}

// Message is one that was received: views, which are valid until the next one is received.
type Message struct {
	ID    []byte // of who sent it, at a ROUTER
	Data  []byte // of the last part
	Parts int    // beyond the id; a frame has one
}

// Receive takes the next message, which m is then. With wait it waits for one; else ErrAgain says that there is none.
func (s *Socket) Receive(m *Message, wait bool) error {
	if s.s.size > keptSize {
		C.dsat_drop(s.s)
		s.s.size = 0
	}
	flags := C.int(C.ZMQ_DONTWAIT)
	if wait {
		flags = 0
	}
	if rc, err := C.dsat_take(s.s, s.routed, flags); rc < 0 {
		return sentence(err)
	}
	m.ID = unsafe.Slice((*byte)(&s.s.id[0]), s.s.id_size)
	m.Data = unsafe.Slice((*byte)(s.s.data), s.s.size)
	m.Parts = int(s.s.parts)
	return nil
}

// Send hands over a frame, which is copied, to the peer of an id, which a DEALER has not. Without wait ErrAgain says that its pipe is full.
func (s *Socket) Send(id, frame []byte, wait bool) error {
	flags := C.int(C.ZMQ_DONTWAIT)
	if wait {
		flags = 0
	}
	rc, err := C.dsat_give(s.s, start(id), C.size_t(len(id)), start(frame), C.size_t(len(frame)), flags)
	if rc < 0 {
		return sentence(err)
	}
	return nil
}

func start(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// Close closes the socket and ends its context: a DEALER waits a second for what it has not sent.
func (s *Socket) Close() {
	C.dsat_close(s.s)
	s.s = nil
}

// Version is that of libzmq, as in "4.3.4".
func Version() string {
	var major, minor, patch C.int
	C.zmq_version(&major, &minor, &patch)
	return fmt.Sprintf("%d.%d.%d", int(major), int(minor), int(patch))
}
