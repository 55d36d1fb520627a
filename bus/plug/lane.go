package plug

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/dsat/dsat/bus/wire"
)

// A lane is a second connection to the satellite's socket, of one stream alone. Frames go over it as they are, one after the other:
// each tells its length. HTTP/2 cuts them into pieces of 16 KiB, and gRPC copies each byte some five times on its way; over a
// lane a frame is one write(2) and two reads (docs/decisions/007-lanes.md). The stream goes on to say how the conversation ends, and who is at the other end.
//
// Whoever dials sends hail and a key, and is answered by hail. The key is in the metadata of the stream that the lane belongs to. A
// satellite that knows no lanes takes hail for bad HTTP/2 and hangs up: then frames go over the stream.
const (
	hail       = "DSATLAN1"
	keySize    = 16
	keyName    = "dsat-lane-bin"
	hailWithin = 5 * time.Second
	// mostLanes wait for their stream at most: one is usual, and those of a daemon that was killed in between.
	mostLanes = 4
	// laneBuffer is how much is read at once when no more is known: many small frames, or the beginning of a large one.
	laneBuffer = 4 << 10
)

type laneKey [keySize]byte

// lane carries frames.
type lane struct {
	conn net.Conn
	in   *bufio.Reader
}

func newLane(conn net.Conn) *lane { return &lane{conn, bufio.NewReaderSize(conn, laneBuffer)} }

func (l *lane) send(frame []byte) error {
	_, err := l.conn.Write(frame)
	return err
}

// recv reads the next frame, into buf if it has room; io.EOF between two frames.
func (l *lane) recv(buf []byte) ([]byte, error) {
	head, err := l.in.Peek(wire.FrameHeader)
	switch {
	case err == nil:
	case len(head) == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)): // reset: it has not read all that was sent to it
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("cannot read a frame: %w", io.ErrUnexpectedEOF)
	default:
		return nil, fmt.Errorf("cannot read a frame: %w", err)
	}
	n := int64(binary.LittleEndian.Uint32(head[8:]))
	if binary.LittleEndian.Uint32(head) != wire.Magic || n < wire.FrameHeader || n > wire.MaxMessage {
		return nil, fmt.Errorf("cannot read a frame: %x is no header of one", head)
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, n, max(n, wire.MaxFrame))
	}
	buf = buf[:n]
	if _, err := io.ReadFull(l.in, buf); err != nil {
		return nil, fmt.Errorf("cannot read a frame: %w", err)
	}
	return buf, nil
}

// OpenLane opens the stream and a lane for its frames, by a connection of its own that dial makes. It is Open where there can be none:
// the satellite knows no lanes, or cannot be dialled, of which the stream then tells more.
func (c *Conn) OpenLane(ctx context.Context, dial func(context.Context) (net.Conn, error)) (*Stream, error) {
	var key laneKey
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("cannot open a lane to a plugin: %w", err)
	}
	conn, err := dial(ctx)
	if err == nil {
		err = greet(conn, key)
	}
	if err != nil {
		return c.Open(ctx)
	}
	s, err := c.Open(metadata.AppendToOutgoingContext(ctx, keyName, string(key[:])))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.lane = newLane(conn)
	context.AfterFunc(ctx, func() { _ = conn.Close() }) // who reads or writes is told
	return s, nil
}

// greet hails a satellite, or closes the connection.
func greet(conn net.Conn, key laneKey) error {
	var answer [len(hail)]byte
	err := conn.SetDeadline(time.Now().Add(hailWithin))
	if err == nil {
		_, err = conn.Write(append([]byte(hail), key[:]...))
	}
	if err == nil {
		_, err = io.ReadFull(conn, answer[:])
	}
	if err == nil && string(answer[:]) != hail {
		err = fmt.Errorf("answered %q", answer)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// lanes is gRPC's door of a satellite: it tells lanes from connections of HTTP/2 by their first bytes, and keeps them for their
// streams. Nothing is secret here, and nobody is proved: the socket is in a directory of its owner's.
type lanes struct {
	mu      sync.Mutex
	waiting map[laneKey]net.Conn
	order   []laneKey
}

// passed is what a stream of gRPC knows of its connection: whose door it came by.
type passed struct {
	credentials.CommonAuthInfo
	door *lanes
}

func (passed) AuthType() string { return "none" }

// ServerHandshake takes a connection in.
func (l *lanes) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	first := make([]byte, len(hail))
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, nil, errors.Join(io.EOF, conn.Close())
	}
	if string(first) != hail {
		return &peeked{Conn: conn, first: first}, passed{credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}, l}, nil
	}
	var key laneKey
	_, err := io.ReadFull(conn, key[:])
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err == nil {
		l.put(key, conn)
		_, err = conn.Write([]byte(hail))
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return nil, nil, credentials.ErrConnDispatched
}

// put keeps a lane until its stream comes; the oldest goes when there are too many.
func (l *lanes) put(key laneKey, conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.order) >= mostLanes {
		if old := l.waiting[l.order[0]]; old != nil {
			_ = old.Close()
		}
		delete(l.waiting, l.order[0])
		l.order = append(l.order[:0], l.order[1:]...)
	}
	if l.waiting == nil {
		l.waiting = map[laneKey]net.Conn{}
	}
	l.waiting[key] = conn
	l.order = append(l.order, key)
}

// take is the lane of a stream; nil where there is none.
func (l *lanes) take(key laneKey) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn := l.waiting[key]
	delete(l.waiting, key)
	return conn
}

// laneOf finds the lane that a stream names; nil when it names none.
func laneOf(stream grpc.ServerStream) (net.Conn, error) {
	md, _ := metadata.FromIncomingContext(stream.Context())
	keys := md.Get(keyName)
	if len(keys) == 0 {
		return nil, nil
	}
	from, _ := peer.FromContext(stream.Context())
	if p, ok := from.AuthInfo.(passed); ok && len(keys[0]) == keySize {
		if conn := p.door.take(laneKey([]byte(keys[0]))); conn != nil {
			return conn, nil
		}
	}
	return nil, errors.New("cannot find the lane of this stream: it was not opened, or closed since")
}

// ClientHandshake is that of nobody: dsatd dials without credentials.
func (*lanes) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, passed{}, nil
}

// Info says that there is no security.
func (*lanes) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "none"}
}

// Clone returns the same: it is one door.
func (l *lanes) Clone() credentials.TransportCredentials { return l }

// OverrideServerName is of no meaning here.
func (*lanes) OverrideServerName(string) error { return nil }

// peeked is a connection whose first bytes were read already.
type peeked struct {
	net.Conn
	first []byte
}

// Read begins with them.
func (p *peeked) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.first)
	p.first = p.first[n:]
	return n, nil
}
