package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

// shape is how many publish, and how many consume.
type shape struct{ publishers, consumers int }

func (s shape) String() string { return fmt.Sprintf("%d -> %d", s.publishers, s.consumers) }

func shapes() []shape { return []shape{{1, 1}, {1, 4}, {4, 1}} }

func sizes() []int { return []int{64, 256, 1024} }

// span is how long a rate is measured here: there are many.
const span = time.Second

const brokersNote = "Every publisher, consumer and server is a process of its own, on one machine. A rate is what consumers have handled (and acknowledged, where that is possible) in " +
	"1 s, after a warm-up of 0.7 s; publishers go as fast as they are let. Clients are the brokers' own Go libraries with 4,096 messages on their way " +
	"(NSQ: 2,500, its server's limit). Latencies are of 64 B messages in an open loop, from the moment a message was due to when it was handled; half load is half of the rate measured just before."

// aims is what the issue of the bus wants of these figures.
func aims(r *report) {
	for i, size := range sizes() {
		through, publish := throughRow(shape{1, 1}, size), fmt.Sprintf("%s, %d B, messages/s", publishRow, size)
		r.goalOver([]float64{2, 1.2, 1.2}[i], atLeast, through, directName, figure{through, rawName})
		for _, c := range carriers() {
			durable := durableName(c)
			r.goalOver(1, atLeast, through, c.name, figure{through, natsName})
			r.goalOver(8, atLeast, through, c.name, figure{fmt.Sprintf("%s, %d B, messages/s", consumeRow, size), jetName})
			r.goalOver(2, atLeast, publish, durable, figure{publish, jetName})
			r.goalOver(50, atLeast, publish, durable, figure{publish, alwaysName})
		}
	}
}

func throughRow(s shape, size int) string { return fmt.Sprintf("%s, %d B, messages/s", s, size) }

// durableName is what a carrier is called where its queues are durable.
func durableName(c contender) string {
	return "dsat durable, " + strings.TrimPrefix(c.name, "dsat tracked, ")
}

// rival is what is measured beside brokers in one table: a broker, or dsat on one carrier.
type rival interface {
	label() string
	words() string // what a reader has to know of it
	// through is the rate at which messages are handled.
	through(ctx context.Context, size int, s shape) (float64, error)
	// late is the time from due to handled of 64 B messages, of so many a second together.
	late(ctx context.Context, rate int, s shape) (quantiles, error)
	// ours reports whether an error of it ends the bench.
	ours() bool
}

// brokers measures dsat beside NATS, JetStream and NSQ.
func brokers(ctx context.Context, l *lab) (*report, error) {
	r := newReport("Brokers", natsName)
	r.notes = append(r.notes, machine()+". "+brokersNote)
	if err := compile(ctx, l, "pushpull", pushPullC, "-lzmq"); err != nil {
		return nil, err
	}
	kit, err := brokerKit(&fetch{ctx: ctx, cache: l.cache})
	if peerErr := buildPeer(ctx, l); peerErr != nil {
		return nil, peerErr
	}
	all := []rival{directRival{l}}
	for _, c := range carriers() {
		all = append(all, dsatRival{l, c, ""})
	}
	for _, c := range carriers() {
		c.name = durableName(c)
		all = append(all, dsatRival{l, c, "queue = { delivery = \"durable\" }\n"})
	}
	switch {
	case err == nil:
		for _, b := range brokerList() {
			all = append(all, &brokerRival{broker: b, lab: l, kit: kit})
		}
	case ctx.Err() != nil:
		return nil, err
	default:
		r.note("skipped: NATS, JetStream and NSQ: %v", err)
	}
	for _, a := range all {
		r.note("%s: %s", a.label(), a.words())
	}
	t := &tournament{lab: l, report: r, rivals: all}
	aims(r)
	for _, part := range []struct {
		title string
		floor string
		run   func(context.Context) error
	}{{"Through", natsName, t.rates}, {"Publishing, and consuming what is there", jetName, t.apart}, {"Latency", natsName, t.latencies}} {
		r.begin(part.title).floor = part.floor
		t.out = map[string]bool{}
		for range l.runs {
			if err := part.run(ctx); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// tournament is all of them on one page.
type tournament struct {
	lab    *lab
	report *report
	rivals []rival
	out    map[string]bool  // who has failed once in this part, and is not measured any more in it
	full   map[load]float64 // messages of 64 B a second
}

// load is whose rate it is, and with how many of each.
type load struct {
	label string
	shape shape
}

// quick reports whether a rival is measured with several publishers and consumers too: those that the targets are about.
func quick(a rival) bool {
	_, direct := a.(directRival)
	d, ours := a.(dsatRival)
	return direct || ours && d.queue == "" || a.label() == natsName || a.label() == jetName
}

// bear decides what becomes of an error of a.
func (t *tournament) bear(ctx context.Context, a rival, what string, err error) error {
	if err == nil || errors.Is(err, errNotTimed) {
		return nil
	}
	if a.ours() || ctx.Err() != nil {
		return fmt.Errorf("%s, %s: %w", a.label(), what, err)
	}
	t.out[a.label()] = !errors.Is(err, errIdle) // a disk that is slow for a moment is no end
	t.report.note("failed: %s, %s: %v", a.label(), what, err)
	return nil
}

func (t *tournament) rates(ctx context.Context) error {
	t.full = map[load]float64{}
	for _, s := range shapes() {
		for _, size := range sizes() {
			row := throughRow(s, size)
			for _, a := range t.rivals {
				if t.out[a.label()] || s != (shape{1, 1}) && !quick(a) {
					continue
				}
				rate, err := a.through(ctx, size, s)
				if err := t.bear(ctx, a, row, err); err != nil {
					return err
				}
				if err == nil {
					t.report.add(row, a.label(), rate)
				}
				if size == 64 {
					t.full[load{a.label(), s}] = rate
				}
			}
			if (s == shape{1, 1}) {
				rate, err := t.lab.pushPull(ctx, size)
				if err != nil {
					return err
				}
				t.report.add(row, rawName, rate)
			}
		}
	}
	return nil
}

func (t *tournament) latencies(ctx context.Context) error {
	for _, s := range shapes() {
		for _, low := range []bool{true, false} {
			for _, a := range t.rivals {
				rate, row := 1000, fmt.Sprintf("%s, due to handled at 1,000/s", s)
				if !low {
					rate, row = int(t.full[load{a.label(), s}]/2), fmt.Sprintf("%s, due to handled at half load", s)
				}
				if t.out[a.label()] || rate == 0 || s != (shape{1, 1}) && !quick(a) {
					continue
				}
				q, err := a.late(ctx, rate, s)
				if err := t.bear(ctx, a, row, err); err != nil {
					return err
				}
				if err == nil {
					t.report.add(row+", p50 us", a.label(), q.p50)
					t.report.add(row+", p99 us", a.label(), q.p99)
				}
			}
		}
	}
	return nil
}

// apart is what publishers and consumers reach alone.
func (t *tournament) apart(ctx context.Context) error {
	for _, size := range sizes() {
		for _, a := range t.rivals {
			if d, ok := a.(dsatRival); ok && d.queue != "" {
				rate, err := d.publish(ctx, size)
				if err := t.bear(ctx, a, "publish", err); err != nil {
					return err
				}
				t.report.add(fmt.Sprintf("%s, %d B, messages/s", publishRow, size), a.label(), rate)
				continue
			}
			b, ok := a.(*brokerRival)
			if !ok || t.out[a.label()] {
				continue
			}
			for _, m := range b.broker.alone {
				row := fmt.Sprintf("%s, %d B, messages/s", m.what, size)
				rate, err := b.alone(ctx, m, size)
				if err := t.bear(ctx, a, row, err); err != nil {
					return err
				}
				if err == nil {
					t.report.add(row, a.label(), rate)
				}
			}
		}
	}
	return nil
}

// brokerKit builds the clients and the servers from the module beside this program. It is found from the root of the repository.
func brokerKit(f *fetch) (kit, error) {
	const source = "cmd/dsat-bench/brokers"
	sum, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return kit{}, fmt.Errorf("cannot find the module of the brokers' clients: %w (run the bench in the root of the repository)", err)
	}
	if built, err := os.ReadFile(filepath.Join(f.cache, "brokers", "go.sum")); err == nil && string(built) != string(sum) {
		if err := os.RemoveAll(filepath.Join(f.cache, "brokers")); err != nil { // of other versions
			return kit{}, err
		}
	}
	k, err := f.keep("brokers", func(dir string) (string, error) {
		if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644); err != nil {
			return "", err
		}
		_, err := f.output(source, command{argv: []string{"go", "build", "-o", dir + "/", "github.com/nats-io/nats-server/v2", "github.com/nsqio/nsq/apps/nsqd"}, env: []string{"GOFLAGS="}})
		return "", err
	})
	if err != nil {
		return k, err
	}
	// The clients are ours, and change without their versions changing.
	_, err = f.output(source, command{argv: []string{"go", "build", "-o", filepath.Join(k.root, "brokers"), "."}, env: []string{"GOFLAGS="}})
	return k, err
}

// dsatRival is dsat on one carrier; queue is what the worker's entry says of its queue.
type dsatRival struct {
	lab     *lab
	carrier contender
	queue   string
}

func (d dsatRival) label() string { return d.carrier.name }
func (d dsatRival) ours() bool    { return true }
func (d dsatRival) words() string {
	if d.queue != "" {
		return "the same, and a message is accepted when it is on disk, by fdatasync; what a worker did with it is written too."
	}
	return "source -> orchester -> worker -> acknowledged; at least once, every hop followed by the tracker."
}

func (d dsatRival) through(ctx context.Context, size int, s shape) (float64, error) {
	c := cast{carrier: d.carrier.carrier, source: peerEnv{role: "source", size: size}, worker: peerEnv{role: "sink"}, workers: handful + d.queue, shape: s}
	return d.lab.tracked(ctx, c, span)
}

// publishRow is what is acknowledged while nobody consumes.
const publishRow = "publish, acknowledged"

// publish is the rate at which messages are accepted while there is no worker.
func (d dsatRival) publish(ctx context.Context, size int) (rate float64, err error) {
	text, err := cast{carrier: d.carrier.carrier, source: peerEnv{role: "source", size: size}, worker: peerEnv{role: "sink"},
		workers: "autostart = false\nqueue = { delivery = \"durable\", max = \"16GiB\", max_messages = 1000000000 }\n"}.topology()
	if err != nil {
		return 0, err
	}
	err = d.lab.withDaemon(ctx, text, func(ctx context.Context, c *control.Client) error {
		rate, err = growth(ctx, func() (uint64, int64, error) {
			queues, err := c.Queues(ctx)
			at, n := monotonic(), uint64(0)
			for _, q := range queues {
				n += q.Ledger.Admitted
			}
			return n, at, err
		})
		return err
	})
	return rate, err
}

// growth is how fast a count grows after the warm-up.
func growth(ctx context.Context, count func() (uint64, int64, error)) (float64, error) {
	if err := sleep(ctx, warmUp); err != nil {
		return 0, err
	}
	before, at, err := count()
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, span); err != nil {
		return 0, err
	}
	after, end, err := count()
	if err == nil && after == before {
		err = errIdle
	}
	return float64(after-before) / (float64(end-at) / 1e9), err
}

// late is timed by the first of the consumers, who has its share.
func (d dsatRival) late(ctx context.Context, rate int, s shape) (quantiles, error) {
	out := filepath.Join(d.lab.dir, "times")
	c := cast{carrier: d.carrier.carrier, source: peerEnv{role: "source", size: 64, rate: max(rate/s.publishers, 1)}, worker: peerEnv{role: "sink", out: out}, workers: handful + d.queue, shape: s}
	_, q, err := d.lab.timed(ctx, c, out)
	return q, err
}

// errIdle says that nothing was done in the time that was measured.
var errIdle = errors.New("nothing was handled")
