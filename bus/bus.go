// Package bus carries messages between the satellites of a topology and follows each of them until it is done.
//
// The one loop in orchester.go owns all state: steps with their queues, sessions, hops, tasks. Carriers bring whole frames
// of bus/wire to it through one bounded channel and take frames away from per-peer outboxes: ZeroMQ (carrier_zmq.go), the
// stream of a go-plugin satellite (carrier_plugin.go), standard input and output of a filter (carrier_filter.go). The loop
// cannot tell them apart. It never sends and never blocks.
//
// Why a queue gives nothing is told by the list in reasons.go: what holds messages back adds a line there.
//
// Goroutines: the loop; the notifier, which calls Config's functions; two for ZeroMQ (the socket's owner and the watcher of
// its descriptor); three for each plugin and each filter (reader, writer, and one that waits for its end); one for each session
// that accepts a codec, while payloads have to be converted for it. Serve starts what
// is not bound to a process and waits for every one of them before it returns.
package bus

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/plug"
	"github.com/dsat/dsat/topology"
)

// Config is what a bus needs. Hello, Fault, Worn and Event are called from one goroutine of the bus, one after the other, never
// from its loop: they may take their time, but what they wait for must not wait for the bus's notifications.
type Config struct {
	Topology *topology.Topology
	StateDir string // the journal of durable queues is made here; "": there may be none
	RunDir   string // the socket bus.sock and the plugins' directories are made here; must exist, and be closed to others' writing
	Epoch    uint32 // of this run of the daemon
	Log      *slog.Logger
	Hello    func(ref topology.Ref, inc topology.Incarnation)             // said HELLO and was welcomed
	Fault    func(ref topology.Ref, inc topology.Incarnation, why string) // broke the protocol or its deadline: is to be killed
	Worn     func(ref topology.Ref, inc topology.Incarnation, why string) // has handled as many messages as it shall; may be nil
	Event    func(Event)                                                  // nil: events go to Log
	TaskHook func(e TaskEnd, done func())                                 // runs the command of e, and calls done when it is over; nil: there are no commands
	Unread   map[string][]byte                                            // by instance: FilterEnds.Unread of the daemon before
	Import   []byte                                                       // what the daemon before this one has exported; nil: there is nothing
}

// Event is one thing that happened on the bus, for people.
type Event struct {
	Time time.Time
	Step string
	Ref  topology.Ref // zero Name: of no instance
	Inc  topology.Incarnation
	Text string
}

// Kind classifies an Error for programs.
type Kind string

// The closed set of Kind.
const (
	KindInvalid     Kind = "invalid"
	KindNotFound    Kind = "not_found"
	KindConflict    Kind = "conflict"    // what is asked for does not go with what is there
	KindUnavailable Kind = "unavailable" // the bus is shut or closed
	KindTimeout     Kind = "timeout"     // the context ended first
)

// Error is what all methods that can be asked for wrong things return.
type Error struct {
	Kind Kind
	Text string // "cannot X: why"
}

func (e *Error) Error() string { return e.Text }

// SocketName is the ROUTER's file name in the run directory.
const SocketName = "bus.sock"

// Bus carries the messages of one topology.
type Bus struct {
	cfg       Config
	url       string
	start     time.Time
	in        chan inbound
	mail      mailbox
	notes     notifier
	zmq       *zmqCarrier
	v1        *v1Carrier // nil: no [bus.v1]
	pool      framePool
	key       []byte // of tokens
	access    access
	done      chan struct{}
	end       sync.Once
	owned     atomic.Bool    // Serve or Close frees the socket, whoever comes first
	group     sync.WaitGroup // goroutines of plugins and filters
	loop      *orchester
	shelf     *shelf
	restraint restraintFile
	fetcher   fetcher

	committed atomic.Uint64 // what the journal's writer has brought to disk
	journal   atomic.Pointer[journal.Log]
	opening   sync.Mutex // of the journal, while the bus runs

	topology atomic.Pointer[topology.Topology] // the present one
}

// inboundFrames bounds what carriers may be ahead of the loop.
const inboundFrames = 256

// New makes a bus and binds its socket, so that satellites may be started before Serve runs.
func New(cfg Config) (*Bus, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	path := filepath.Join(cfg.RunDir, SocketName)
	if len(path) > 100 {
		return nil, fmt.Errorf("cannot open the bus: the path %s is longer than the 100 bytes a socket may have; choose a shorter --run-dir", path)
	}
	b := &Bus{cfg: cfg, url: "ipc://" + path, start: time.Now(), in: make(chan inbound, inboundFrames),
		pool: make(framePool, keptFrames), done: make(chan struct{}), access: access{path: path}}
	b.mail.wake = make(chan struct{}, 1)
	b.notes.wake, b.fetcher.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	if err := misruled(cfg.Topology); err != nil {
		return nil, err
	}
	b.topology.Store(cfg.Topology)
	b.shelf = newShelf(b)
	b.loop = newOrchester(b)
	tasks := map[uint64]int32{}
	if len(cfg.Import) > 0 {
		k, err := decodeKept(cfg.Import)
		if err != nil {
			return nil, err
		}
		tasks = b.loop.restore(k)
		b.cfg.Import = nil // it may be large
	}
	if err := b.shelf.prepare(cfg.Topology); err != nil {
		return nil, err
	}
	b.loop.joinStreams()
	if err := b.openDisk(tasks); err != nil {
		return nil, err
	}
	b.loop.goOn(tasks)
	b.readRestraints()
	var err error
	if b.key, err = tokenKey(cfg.RunDir); err != nil {
		b.closeDisk()
		return nil, err
	}
	z, err := newZMQ(b)
	if err != nil {
		b.closeDisk()
		return nil, fmt.Errorf("cannot open the bus at %s: %w", b.url, err)
	}
	b.zmq = z
	if err := b.access.shut(); err != nil {
		z.shut()
		return nil, err
	}
	if b.v1, err = openV1(b, &cfg.Topology.V1); err != nil {
		z.shut()
		return nil, err
	}
	b.loop.openLegacy(b.v1, &cfg.Topology.V1)
	return b, nil
}

// Serve runs the bus until ctx ends or Close is called. It returns nil after every goroutine of the
// bus has ended, and may be called once.
func (b *Bus) Serve(ctx context.Context) error {
	if b.owned.Swap(true) {
		return errClosed
	}
	stop := context.AfterFunc(ctx, b.shutdown)
	defer stop()
	var own sync.WaitGroup
	own.Go(func() { b.notes.run(b.done) })
	own.Go(b.zmq.run)
	own.Go(b.shelf.tend)
	own.Go(b.runFetcher)
	if b.v1 != nil {
		own.Go(b.v1.run)
	}
	b.loop.run()
	own.Wait()
	b.group.Wait()
	b.closeDisk()
	if err := b.forgetRestraints(); err != nil {
		b.cfg.Log.Warn("cannot forget which queues are paused", "error", err)
	}
	b.shelf.close()
	return nil
}

// Close ends Serve. Messages still held are lost with it, but for those of durable queues and of those that spill, which the next bus finds in the journal.
func (b *Bus) Close() {
	b.shutdown()
	if !b.owned.Swap(true) {
		b.zmq.shut()
		b.closeDisk()
		if b.v1 != nil {
			b.v1.shut()
		}
	}
}

func (b *Bus) shutdown() { b.end.Do(func() { close(b.done) }) }

// now is the tracker's time.
func (b *Bus) now() int64 { return int64(time.Since(b.start)) }

// deliver hands what a carrier received to the loop; it waits while the loop is behind, and reports false when the bus is closed.
func (b *Bus) deliver(ev inbound) bool {
	select {
	case b.in <- ev:
		return true
	case <-b.done:
		return false
	}
}

// Admit prepares the bus for one life of an instance, whose process will be of that user and group, and returns the environment by
// which its process finds it. After an error too it is followed by one Gone.
func (b *Bus) Admit(ref topology.Ref, inc topology.Incarnation, uid, gid int) ([]string, error) {
	t := b.topology.Load()
	sat := t.Satellite(ref.Name)
	if sat == nil || (sat.Speaks != topology.SpeaksBus && sat.Speaks != topology.SpeaksV1 && !sat.Speaks.Filter()) {
		return nil, nil
	}
	token, who := b.token(ref, inc), Owner{uid, gid}
	b.mail.post(func(o *orchester) { o.admit(ref, inc, token, who) })
	if sat.Speaks != topology.SpeaksBus {
		return nil, nil
	}
	env := []string{"DSAT_BUS=" + b.url, "DSAT_TOKEN=" + token}
	dir, err := b.furnish(ref, inc, who)
	if err != nil {
		return nil, err
	}
	if sat.Plugin == "" {
		return append(env, "DSAT_DIRECT="+dir), b.access.admit(t, ref, who)
	}
	h := plug.Handshake()
	return append(env, h.MagicCookieKey+"="+h.MagicCookieValue, "PLUGIN_UNIX_SOCKET_DIR="+dir,
		"PLUGIN_PROTOCOL_VERSIONS="+strconv.Itoa(plug.ProtocolVersion)), nil
}

// pluginDir is where one life has a socket of its own, a plugin its server, others the end of direct links, and nobody else: incarnations are counted by instance, so the first
// of two instances have the same. It is short, because a socket's path may have 107 bytes only.
func (b *Bus) pluginDir(ref topology.Ref, inc topology.Incarnation) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s", ref, inc)
	return filepath.Join(b.pluginRoot(), strconv.FormatUint(h.Sum64(), 36))
}

// Spawned tells that the process runs. in and out are our ends of a filter's standard input and output, non-blocking; the bus
// owns them from now on. Both are nil for everything else.
func (b *Bus) Spawned(ref topology.Ref, inc topology.Incarnation, pid int, in, out *os.File) {
	b.mail.post(func(o *orchester) { o.spawned(ref, inc, pid, in, out) })
}

// Handshake hands over the first line of a plugin's standard output.
func (b *Bus) Handshake(ref topology.Ref, inc topology.Incarnation, line string) {
	b.mail.post(func(o *orchester) { o.handshake(ref, inc, line) })
}

// Gone tells that the process was reaped, or never started: why, and its last log lines. What it had in hand goes back to the
// head of its queue as soon as all it had sent is read.
func (b *Bus) Gone(ref topology.Ref, inc topology.Incarnation, cause string, last []string) {
	b.mail.post(func(o *orchester) { o.gone(ref, inc, cause, last) })
}

// Drain gives an instance no more work and returns when all it had is answered and it has said BYE (a filter: when all is
// answered), when it has no session, or with ctx's cause.
func (b *Bus) Drain(ctx context.Context, ref topology.Ref, inc topology.Incarnation) error {
	drained := make(chan struct{})
	b.mail.post(func(o *orchester) { o.drain(ref, inc, drained) })
	select {
	case <-drained:
		return nil
	case <-b.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot drain %v: it did not finish what it had in hand: %w", ref, context.Cause(ctx))
	}
}

// Shut closes the doors: Send is refused from now on. What is on its way goes on; what waits in durable queues stays there.
func (b *Bus) Shut() { b.mail.post((*orchester).shutDoors) }

// Idle returns nil when nothing waits, is held or in flight, and no source has anything unaccepted; else what is left, with ctx's cause.
func (b *Bus) Idle(ctx context.Context) error {
	idle := make(chan struct{})
	b.mail.post(func(o *orchester) { o.idle = append(o.idle, idle) })
	select {
	case <-idle:
		return nil
	case <-b.done:
		return errClosed
	case <-ctx.Done():
		l := b.Ledger()
		return fmt.Errorf("cannot wait longer until nothing is in flight: %d held, %d in flight: %w", l.Held, l.InFlight, context.Cause(ctx))
	}
}

// Alive returns nil when the loop answered.
func (b *Bus) Alive(ctx context.Context) error {
	_, err := ask(ctx, b, func(*orchester) (struct{}, error) { return struct{}{}, nil })
	return err
}

var errClosed = &Error{KindUnavailable, "cannot ask the bus: it is closed"}

// ask runs f in the loop and returns its answer.
func ask[T any](ctx context.Context, b *Bus, f func(*orchester) (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	c := make(chan answer, 1)
	b.mail.post(func(o *orchester) {
		v, err := f(o)
		c <- answer{v, err}
	})
	var zero T
	select {
	case a := <-c:
		return a.v, a.err
	case <-b.done:
		return zero, errClosed
	case <-ctx.Done():
		return zero, &Error{KindTimeout, "cannot wait longer for the bus: " + context.Cause(ctx).Error()}
	}
}

// IsNotFound reports whether err says that what was named does not exist.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == KindNotFound
}

// pluginRoot holds the socket directories of all plugins.
func (b *Bus) pluginRoot() string { return filepath.Join(b.cfg.RunDir, "p") }
