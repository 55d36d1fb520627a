// Package plug is what both ends of the plugin carrier share: go-plugin's handshake, the name of the one gRPC service with
// its one stream of raw frames, the stream's codec, and the lane beside it. A satellite serves, dsatd opens; frames are those of
// bus/wire, one a message, any time in either direction. Where both ends know lanes, the stream is how they meet and part, and the
// frames go by a connection of their own.
//
// The codec is registered under a content-subtype of its own, which only our stream asks for: go-plugin's health, broker,
// stdio and controller services on the same connection go on with protobuf.
package plug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/dsat/dsat/bus/wire"
)

// Name is the one plugin of a satellite's plugin set.
const Name = "bus"

// ProtocolVersion is that of go-plugin's handshake line. It changes when Method or its frames do.
const ProtocolVersion = 1

// Window is the flow control window of the stream and of the connection, in bytes. Credit never exceeds it, so that a send
// to a satellite that reads does not wait.
const Window = 1 << 20

const (
	subtype = "dsat"
	service = "dsat.bus.v1.Carrier"
	method  = "Frames"
)

// Handshake keeps people from starting a plugin by hand, and other plugins from being taken for satellites.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: ProtocolVersion, MagicCookieKey: "DSAT_PLUGIN_COOKIE", MagicCookieValue: "satellite-1"}
}

// Set returns the plugin set. A satellite gives the function that serves the stream of a daemon; it returns when the stream
// is over. The daemon gives nil.
func Set(serve func(*Stream) error) plugin.PluginSet {
	return plugin.PluginSet{Name: &carrier{serve: serve}}
}

// carrier is our plugin in go-plugin's terms.
type carrier struct {
	plugin.NetRPCUnsupportedPlugin
	serve func(*Stream) error
}

// GRPCServer registers our service on a satellite's server.
func (c *carrier) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if c.serve == nil {
		return fmt.Errorf("cannot serve the plugin carrier: no function to serve the stream")
	}
	Register(s, c.serve)
	return nil
}

// GRPCClient returns the connection as a *Conn.
func (c *carrier) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, cc *grpc.ClientConn) (any, error) {
	return &Conn{cc: cc}, nil
}

// Register serves the stream on any gRPC server; tests do so without go-plugin.
func Register(s *grpc.Server, serve func(*Stream) error) {
	handler := func(_ any, stream grpc.ServerStream) error {
		conn, err := laneOf(stream)
		if err != nil {
			return err
		}
		own := &Stream{stream: stream}
		if conn != nil {
			own.lane = newLane(conn)
			defer func() { _ = conn.Close() }()
			defer context.AfterFunc(stream.Context(), func() { _ = conn.Close() })()
		}
		return serve(own)
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: method, Handler: handler, ServerStreams: true, ClientStreams: true}},
	}, serve)
}

// NewServer makes the gRPC server of a satellite with our windows; it fits plugin.ServeConfig.GRPCServer.
func NewServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(append([]grpc.ServerOption{grpc.Creds(&lanes{})}, opts...),
		grpc.InitialWindowSize(Window), grpc.InitialConnWindowSize(Window),
		grpc.WriteBufferSize(64<<10), grpc.ReadBufferSize(64<<10),
		grpc.MaxRecvMsgSize(wire.MaxMessage), grpc.MaxSendMsgSize(wire.MaxMessage))...)
}

// DialOptions are those of the daemon's connection.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(Window), grpc.WithInitialConnWindowSize(Window),
		grpc.WithWriteBufferSize(64 << 10), grpc.WithReadBufferSize(64 << 10),
		grpc.WithDisableRetry(), // its buffer would keep the first 256 KiB of frames
	}
}

// Conn is the daemon's connection to a satellite.
type Conn struct{ cc *grpc.ClientConn }

// NewConn wraps a connection that did not come from go-plugin.
func NewConn(cc *grpc.ClientConn) *Conn { return &Conn{cc: cc} }

// Open opens the stream; it ends with ctx.
func (c *Conn) Open(ctx context.Context) (*Stream, error) {
	desc := &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}
	s, err := c.cc.NewStream(ctx, desc, "/"+service+"/"+method, grpc.CallContentSubtype(subtype),
		grpc.MaxCallRecvMsgSize(wire.MaxMessage), grpc.MaxCallSendMsgSize(wire.MaxMessage))
	if err != nil {
		return nil, fmt.Errorf("cannot open the stream of a plugin: %w", err)
	}
	return &Stream{stream: s}, nil
}

// stream is the part of grpc.ClientStream and grpc.ServerStream that is used.
type stream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

// Stream carries frames both ways. One goroutine may send while another receives.
type Stream struct {
	stream stream
	lane   *lane   // nil: frames go over the stream
	out    message // of Send
	in     message // of Recv
}

// Context ends with the stream.
func (s *Stream) Context() context.Context { return s.stream.Context() }

// Send hands over one frame, which is copied, and over a lane has to be one of bus/wire. It waits while the other side's window is full; after the stream has ended
// it returns io.EOF or the cause.
func (s *Stream) Send(frame []byte) error {
	if s.lane != nil {
		return s.lane.send(frame)
	}
	s.out.data = frame
	err := s.stream.SendMsg(&s.out)
	s.out.data = nil
	return err
}

// Recv waits for the next frame and returns it in buf's memory if it has room, else in a new one. io.EOF: the other side ended well.
func (s *Stream) Recv(buf []byte) ([]byte, error) {
	if s.lane != nil {
		frame, err := s.lane.recv(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			err = s.verdict()
		}
		return frame, err
	}
	s.in.data = buf[:0]
	err := s.stream.RecvMsg(&s.in)
	data := s.in.data
	s.in.data = nil
	return data, err
}

// verdict is how the stream ended whose lane is at its end.
func (s *Stream) verdict() error {
	if err := s.stream.RecvMsg(&s.in); err != nil {
		return err
	}
	return errors.New("cannot take a frame of the stream: its lane is where they come")
}

// CloseSend tells the satellite that the daemon sends no more; on a satellite's side it does nothing.
func (s *Stream) CloseSend() error {
	c, ok := s.stream.(interface{ CloseSend() error })
	if !ok {
		return nil
	}
	err := c.CloseSend()
	if s.lane == nil {
		return err
	}
	if half, ok := s.lane.conn.(interface{ CloseWrite() error }); ok {
		err = errors.Join(err, half.CloseWrite())
	}
	return err
}

// message is what the codec reads and writes.
type message struct{ data []byte }

// codec copies frames into pooled buffers, and out of gRPC's. The pool is its own: gRPC's clears every buffer it gives away,
// which for frames of 64 KiB costs more than all else on this way.
type codec struct{ pool *framePool }

// framePool keeps memory for frames under way. It implements mem.BufferPool.
type framePool struct{ free sync.Pool }

// Get returns a buffer of that length; what is in it is undefined.
func (p *framePool) Get(length int) *[]byte {
	if b, ok := p.free.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, max(length, wire.MaxFrame))
	return &b
}

// Put takes a buffer back. One that a huge frame needed is the collector's.
func (p *framePool) Put(b *[]byte) {
	if cap(*b) <= 2*wire.MaxFrame {
		p.free.Put(b)
	}
}

// gRPC's registry of codecs is a global without a lock: it is written here, before anything runs.
var _ = register()

func register() struct{} {
	encoding.RegisterCodecV2(codec{pool: &framePool{}})
	return struct{}{}
}

// Name is the content-subtype.
func (codec) Name() string { return subtype }

// Marshal copies the frame.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, fmt.Errorf("cannot encode %T: not a frame", v)
	}
	return mem.BufferSlice{mem.Copy(m.data, c.pool)}, nil
}

// Unmarshal copies the frame out.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("cannot decode into %T: not a frame", v)
	}
	n := data.Len()
	if cap(m.data) < n {
		m.data = make([]byte, n)
	}
	m.data = m.data[:n]
	data.CopyTo(m.data)
	return nil
}
