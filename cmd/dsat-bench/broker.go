package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	natsName = "NATS core"
	jetName  = "JetStream, file, default"
	// alwaysName does what dsat's durable class always does.
	alwaysName = "JetStream, file, sync always"
	consumeRow = "consume and acknowledge"
)

// broker is how one of them is run, and which roles of the clients' program speak to it.
type broker struct {
	name, note       string
	server           func(k kit, dir, address string) (command, error)
	setup            string // role of who prepares the server; empty: nobody has to
	publish, consume string // roles
	alone            []alone
	slow             *broker // who fills its store in its place, when it would take too long itself
}

// alone is one side of a broker: its clients without the others.
type alone struct {
	what, role string
	filled     bool // there are messages before it begins
}

func brokerList() []broker {
	jet := func(name, sync, note string) broker {
		return broker{
			name: name, note: note, setup: "js-setup", publish: "js-pub", consume: "js-sub",
			server: func(k kit, dir, address string) (command, error) {
				return natsServer(k, dir, address, fmt.Sprintf("jetstream {\n store_dir: %q\n %s\n}\n", filepath.Join(dir, "jetstream"), sync))
			},
			alone: []alone{{publishRow, "js-pub", false}, {consumeRow, "js-sub", true}},
		}
	}
	usual := jet(jetName, "", "a work queue in files, PublishAsync, and a pull consumer that acknowledges each message. The server acknowledges before anything is on disk: it syncs every two minutes.")
	always := jet(alwaysName, "sync_interval: always", "the same, with what dsat's durable class always does: nothing is acknowledged before it is on disk.")
	always.slow = &usual
	return []broker{
		{
			name: natsName, note: "NATS server of the module's go.mod, one queue group; nothing is kept, nothing is acknowledged: at most once.",
			server: func(k kit, dir, address string) (command, error) { return natsServer(k, dir, address, "") }, publish: "nats-pub", consume: "nats-sub",
		},
		usual,
		always,
		{
			name: "NSQ", note: "nsqd with its defaults, but that a consumer may ask for what is there within a millisecond: 10,000 messages in memory, what is beyond in files that are synced every two seconds; each message is finished by its consumer.",
			server: nsqServer, publish: "nsq-pub", consume: "nsq-sub",
			alone: []alone{{publishRow, "nsq-pub", false}, {"publish by the hundred, acknowledged", "nsq-mpub", false}, {consumeRow, "nsq-sub", true}},
		},
	}
}

func natsServer(k kit, dir, address, more string) (command, error) {
	path := filepath.Join(dir, "nats.conf")
	// A consumer that is behind for a moment is not to be cut off, which is what a smaller bound means.
	text := fmt.Sprintf("listen: %q\nmax_pending: 1073741824\n%s", address, more)
	return command{argv: []string{filepath.Join(k.root, "nats-server"), "-c", path}}, os.WriteFile(path, []byte(text), 0o600)
}

func nsqServer(k kit, dir, address string) (command, error) {
	data := filepath.Join(dir, "nsq")
	return command{argv: []string{filepath.Join(k.root, "nsqd"), "--tcp-address=" + address, "--http-address=127.0.0.1:0", "--data-path=" + data, "--log-level=error", "--min-output-buffer-timeout=1ms"}},
		os.MkdirAll(data, 0o700)
}

// brokerRival measures one broker.
type brokerRival struct {
	broker broker
	lab    *lab
	kit    kit
}

func (b *brokerRival) label() string { return b.broker.name }
func (b *brokerRival) words() string { return b.broker.note }
func (b *brokerRival) ours() bool    { return false }

// match is one run: a server and its clients, each with a counter.
type match struct {
	*brokerRival
	dir, address string
	running      []*process // in order of their start
	clients      int
}

// counters is how many clients there may be.
const counters = 64

// begin starts the server on an empty store and prepares it.
func (b *brokerRival) begin(ctx context.Context) (*match, error) {
	dir, err := os.MkdirTemp(b.lab.dir, "broker")
	if err != nil {
		return nil, err
	}
	m := &match{brokerRival: b, dir: dir}
	if err := os.WriteFile(m.counters(), make([]byte, counters*8), 0o600); err != nil {
		return nil, err
	}
	if err := m.serve(ctx, b.broker); err != nil {
		return nil, errors.Join(err, m.end())
	}
	if b.broker.setup == "" {
		return m, nil
	}
	p, err := m.client(ctx, b.broker.setup, 64, 0, "")
	if err == nil {
		<-p.ended
		err = p.err
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot prepare %s: %w: %s", b.broker.name, err, b.lab.lastWords()), m.end())
	}
	return m, nil
}

func (m *match) counters() string { return filepath.Join(m.dir, "counters") }

// serve starts a server and waits until it listens.
func (m *match) serve(ctx context.Context, b broker) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	cmd, err := b.server(m.kit, m.dir, m.address)
	if err != nil {
		return err
	}
	p, err := m.lab.begin(ctx, cmd)
	if err != nil {
		return err
	}
	m.running = append(m.running, p)
	for {
		conn, err := net.Dial("tcp", m.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the server of %s ended at once: %s", b.name, m.lab.lastWords())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// client starts one.
func (m *match) client(ctx context.Context, role string, size, rate int, out string) (*process, error) {
	p, err := m.lab.begin(ctx, command{argv: []string{filepath.Join(m.kit.root, "brokers"), "-role", role, "-url", m.address, "-size", strconv.Itoa(size),
		"-rate", strconv.Itoa(rate), "-counters", m.counters(), "-slot", strconv.Itoa(m.clients), "-out", out}})
	if err == nil {
		m.clients++
		m.running = append(m.running, p)
	}
	return p, err
}

// done is the sum of some clients' counters, and when.
func (m *match) done(from, to int) (sum uint64, at int64, err error) {
	raw, err := os.ReadFile(m.counters())
	if err != nil {
		return 0, 0, err
	}
	at = monotonic()
	for i := from; i < to; i++ {
		sum += binary.LittleEndian.Uint64(raw[i*8:])
	}
	return sum, at, nil
}

// rate is how fast some clients' counters grow, after the warm-up.
func (m *match) rate(ctx context.Context, from, to int) (float64, error) {
	if err := sleep(ctx, warmUp); err != nil {
		return 0, err
	}
	before, at, err := m.done(from, to)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, span); err != nil {
		return 0, err
	}
	after, end, err := m.done(from, to)
	if err == nil && after == before {
		err = errIdle
	}
	return float64(after-before) / (float64(end-at) / 1e9), err
}

// end ends all, the last first.
func (m *match) end() error {
	var err error
	for i := len(m.running) - 1; i >= 0; i-- {
		p := m.running[i]
		if e := p.end(); e != nil && i > 0 { // a server has its own idea of an exit code
			err = errors.Join(err, fmt.Errorf("%w: %s", e, m.lab.lastWords()))
		}
	}
	return errors.Join(err, os.RemoveAll(m.dir))
}

// limited is one run that may not hang.
func (b *brokerRival) limited(ctx context.Context, f func(context.Context, *match) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	m, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.end()) }()
	return f(ctx, m)
}

// through starts consumers before publishers, so that nothing is published to nobody.
func (b *brokerRival) through(ctx context.Context, size int, s shape) (rate float64, err error) {
	err = b.limited(ctx, func(ctx context.Context, m *match) error {
		first := m.clients
		if err := m.several(ctx, s.consumers, b.broker.consume, size); err != nil {
			return err
		}
		last := m.clients
		if err := m.several(ctx, s.publishers, b.broker.publish, size); err != nil {
			return err
		}
		rate, err = m.rate(ctx, first, last)
		return err
	})
	return rate, err
}

func (m *match) several(ctx context.Context, n int, role string, size int) error {
	for range n {
		if _, err := m.client(ctx, role, size, 0, ""); err != nil {
			return err
		}
	}
	return nil
}

func (b *brokerRival) late(ctx context.Context, rate int, s shape) (q quantiles, err error) {
	out := filepath.Join(b.lab.dir, "times")
	err = b.limited(ctx, func(ctx context.Context, m *match) error {
		consumer, err := m.client(ctx, b.broker.consume, 64, 0, out)
		if err != nil {
			return err
		}
		if err := m.several(ctx, s.consumers-1, b.broker.consume, 64); err != nil {
			return err
		}
		for range s.publishers {
			if _, err := m.client(ctx, b.broker.publish, 64, max(rate/s.publishers, 1), ""); err != nil {
				return err
			}
		}
		if err := sleep(ctx, warmUp+measure); err != nil {
			return err
		}
		if err := consumer.end(); err != nil {
			return fmt.Errorf("%w: %s", err, b.lab.lastWords())
		}
		q, err = readTimes(out)
		return err
	})
	return q, err
}

// filling is how long a store is filled for consumers that are measured alone: longer than they take to empty it.
const filling = 3 * time.Second

func (b *brokerRival) alone(ctx context.Context, a alone, size int) (rate float64, err error) {
	err = b.limited(ctx, func(ctx context.Context, m *match) error {
		if a.filled {
			if err := m.fill(ctx, size); err != nil {
				return err
			}
		}
		first := m.clients
		if _, err := m.client(ctx, a.role, size, 0, ""); err != nil {
			return err
		}
		rate, err = m.rate(ctx, first, m.clients)
		return err
	})
	return rate, err
}

// fill publishes for a while. A server that syncs always would take minutes for it, so the store is filled by one that does not.
func (m *match) fill(ctx context.Context, size int) error {
	filler := m.broker
	if m.broker.slow != nil {
		filler = *m.broker.slow
		if err := m.restart(ctx, filler); err != nil {
			return err
		}
	}
	p, err := m.client(ctx, filler.publish, size, 0, "")
	if err != nil {
		return err
	}
	if err := sleep(ctx, filling); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return fmt.Errorf("%w: %s", err, m.lab.lastWords())
	}
	if m.broker.slow != nil {
		return m.restart(ctx, m.broker)
	}
	return nil
}

// restart replaces the server by another one on the same store.
func (m *match) restart(ctx context.Context, b broker) error {
	_ = m.running[0].end() // it has its own idea of an exit code
	m.running = m.running[1:]
	if err := m.serve(ctx, b); err != nil {
		return err
	}
	server := m.running[len(m.running)-1]
	m.running = append([]*process{server}, m.running[:len(m.running)-1]...)
	return nil
}
