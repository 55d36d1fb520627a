package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/topology"
)

// pluginCarrier is the stream of one go-plugin satellite. The supervisor forked it and read its handshake line; go-plugin
// only attaches. It is never asked whether the process lives.
type pluginCarrier struct {
	bus    *Bus
	addr   string
	owner  Owner
	ctx    context.Context // ends the stream
	cancel context.CancelFunc
	exited chan struct{} // closed when the process is known to be gone, or the bus is closed
	once   sync.Once
}

// startPlugin attaches to the plugin that wrote this handshake line. The attempt goes on in the background: what goes wrong
// there is the end of the peer's input.
func (b *Bus) startPlugin(ref topology.Ref, inc topology.Incarnation, who Owner, line string) (*peer, error) {
	addr, err := parseHandshake(line)
	if err != nil {
		return nil, fmt.Errorf("cannot attach to plugin %v: %w", ref, err)
	}
	if err := b.vouch(ref, inc, who, addr); err != nil {
		return nil, err
	}
	c := &pluginCarrier{bus: b, addr: addr, owner: who, exited: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	p := newPeer(c, b.pool)
	b.group.Go(func() { c.serve(p) })
	return p, nil
}

// parseHandshake reads CORE|APP|network|address|protocol|... and returns the address of a unix socket.
func parseHandshake(line string) (string, error) {
	f := strings.Split(strings.TrimSpace(line), "|")
	if len(f) < 5 || f[0] != strconv.Itoa(plugin.CoreProtocolVersion) {
		return "", fmt.Errorf("%.80q is not go-plugin's handshake line", line)
	}
	if f[1] != strconv.Itoa(plug.ProtocolVersion) {
		return "", fmt.Errorf("it speaks version %s of dsat's plugin protocol, this dsatd speaks %d", f[1], plug.ProtocolVersion)
	}
	if f[2] != "unix" || f[4] != string(plugin.ProtocolGRPC) {
		return "", fmt.Errorf("it serves %s over %s; dsatd wants grpc over a unix socket", f[4], f[2])
	}
	return f[3], nil
}

// serve attaches, reads the stream to its end, and frees what go-plugin holds after the process is gone.
func (c *pluginCarrier) serve(p *peer) {
	defer c.cancel()
	stop := make(chan struct{})
	c.bus.group.Go(func() {
		defer close(stop)
		select {
		case <-c.exited:
		case <-c.bus.done:
			c.leave()
		case <-c.ctx.Done():
		}
	})
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plug.Handshake(),
		Plugins:          plug.Set(nil),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCDialOptions:  append(plug.DialOptions(), grpc.WithContextDialer(c.dial)),
		// Only a logger that is off keeps go-plugin from parsing lines of the plugin as its log, which can crash the host.
		Logger:     hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
		SyncStdout: io.Discard,
		SyncStderr: io.Discard,
		Reattach: &plugin.ReattachConfig{
			Protocol: plugin.ProtocolGRPC, ProtocolVersion: plug.ProtocolVersion,
			Addr:         &net.UnixAddr{Net: "unix", Name: c.addr},
			ReattachFunc: func() (runner.AttachedRunner, error) { return attached{c}, nil },
		},
	})
	err := c.stream(client, p)
	c.bus.deliver(inbound{peer: p, err: err})
	select {
	case <-c.exited:
	case <-c.bus.done:
		c.leave()
	}
	client.Kill() // the process is gone: this frees the connection and go-plugin's goroutines
	c.cancel()
	<-stop
}

// stream opens the stream and reads it to its end; nil when the plugin ended it.
func (c *pluginCarrier) stream(client *plugin.Client, p *peer) error {
	proto, err := client.Client()
	if err != nil {
		return fmt.Errorf("cannot attach to the plugin: %w", err)
	}
	raw, err := proto.Dispense(plug.Name)
	if err != nil {
		return fmt.Errorf("cannot attach to the plugin: %w", err)
	}
	stream, err := raw.(*plug.Conn).OpenLane(c.ctx, func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, "") })
	if err != nil {
		return err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write(stream, p)
	}()
	err = c.read(stream, p)
	c.cancel()
	<-written
	return err
}

func (c *pluginCarrier) read(stream *plug.Stream, p *peer) error {
	for {
		frame, err := stream.Recv(c.bus.pool.get())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("its stream broke: %w", err)
		}
		if len(frame) == 0 {
			continue
		}
		if !c.bus.deliver(inbound{peer: p, frame: frame}) {
			return nil
		}
	}
}

// write sends what the loop leaves in the outbox; only here may a send wait.
func (c *pluginCarrier) write(stream *plug.Stream, p *peer) {
	var frames [][]byte
	for {
		select {
		case <-p.box.wake:
		case <-c.ctx.Done():
			return
		}
		frames = p.box.take(frames)
		for _, f := range frames {
			if stream.Send(f) != nil {
				return // the reader finds the cause
			}
			p.pool.put(f)
		}
	}
}

// dial connects to the plugin, and to nobody else who may have put a socket of his in its place.
func (c *pluginCarrier) dial(ctx context.Context, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.addr)
	if err != nil || !c.owner.foreign() {
		return conn, err
	}
	if err := isOf(conn, c.owner.UID); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot attach to the plugin at %s: %w", c.addr, err)
	}
	return conn, nil
}

// leave says that the process is gone.
func (c *pluginCarrier) leave() { c.once.Do(func() { close(c.exited) }) }

func (c *pluginCarrier) flush(*peer) {} // the outbox wakes the writer

// finish: the kernel has closed the plugin's sockets with the process, so the stream ends by itself.
func (c *pluginCarrier) finish(*peer) { c.leave() }

func (c *pluginCarrier) drop(*peer) {
	c.leave()
	c.cancel()
}

// attached is our process in go-plugin's eyes. The supervisor owns it: nothing here signals or waits for it.
type attached struct{ c *pluginCarrier }

func (a attached) Wait(context.Context) error {
	<-a.c.exited
	return nil
}

func (attached) Kill(context.Context) error { return nil }
func (attached) ID() string                 { return "satellite" }

func (attached) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (attached) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
