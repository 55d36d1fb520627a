package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/dsat/dsat/web/control"
)

// kills is how many workers one run kills.
const kills = 100

const (
	// workers is how many there are; all of them are up before each kill.
	workers = 3
	// victims is the worker's table.
	victims = "work = { in_hand = 1 }\n" + atOnce
	// atOnce brings back at once, however often, what is killed for the figure's sake.
	atOnce = "restart = { limit = 0, backoff = { initial = \"1ms\", factor = 1.0, max = \"1ms\", jitter = 0.0 } }\n"
)

// redelivery measures the time from kill -9 of a worker to its message done by another one.
func redelivery(ctx context.Context, l *lab) (*report, error) {
	r := newReport("Redelivery after kill -9", pluginName)
	r.notes = append(r.notes, machine()+fmt.Sprintf(". Three workers; one begins a message and is killed; the figure is from before kill(2) to another's beginning of the same message, "+
		"which it then acknowledges at once; a killed worker is back before the next kill. %d kills a run. Brokers wait for an acknowledgement timeout here: 30 s by default in JetStream, 60 s in NSQ.", kills))
	for range l.runs {
		for _, c := range carriers() {
			if err := l.killWorkers(ctx, r, c); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return r, nil
}

func (l *lab) killWorkers(ctx context.Context, r *report, c contender) error {
	out := filepath.Join(l.dir, "victims")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		return err
	}
	text, err := cast{carrier: c.carrier, worker: peerEnv{role: "victim", out: out}, workers: victims, shape: shape{consumers: workers}}.topology()
	if err != nil {
		return err
	}
	var values []float64
	err = l.withDaemon(ctx, text, func(ctx context.Context, c *control.Client) error {
		values, err = hunt(ctx, c, out)
		return err
	})
	if err != nil {
		return err
	}
	r.add("kill -9 to done elsewhere, p50 ms", c.name, median(values))
	r.add("kill -9 to done elsewhere, p99 ms", c.name, quantile(values, 0.99))
	return nil
}

// victimMark is a line a victim writes.
type victimMark struct {
	word    string // begun or done
	pid     int
	message uint64
	at      int64 // CLOCK_MONOTONIC, ns
}

func (m victimMark) String() string {
	return fmt.Sprintf("%s %d %d %d\n", m.word, m.pid, m.message, m.at)
}

func parseMark(line string) (m victimMark, err error) {
	if _, err := fmt.Sscan(line, &m.word, &m.pid, &m.message, &m.at); err != nil {
		return m, fmt.Errorf("cannot read %q as a victim's mark: %w", line, err)
	}
	if m.word != "begun" && m.word != "done" {
		return m, fmt.Errorf("cannot read %q as a victim's mark", line)
	}
	return m, nil
}

// hunt sends a message, kills who begins it, and keeps the time until another does it; so many times.
func hunt(ctx context.Context, c *control.Client, path string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewReader(f)
	var values []float64
	for number := range uint64(kills) {
		took, err := killOne(ctx, c, lines, number)
		if err != nil {
			return nil, fmt.Errorf("kill %d of %d: %w", number+1, kills, err)
		}
		values = append(values, ms(took))
	}
	return values, nil
}

func killOne(ctx context.Context, c *control.Client, lines *bufio.Reader, number uint64) (took int64, err error) {
	if err := allUp(ctx, c); err != nil {
		return 0, err
	}
	if _, err := c.Send(ctx, "worker", "raw", binary.LittleEndian.AppendUint64(nil, number), 0); err != nil {
		return 0, err
	}
	begun, err := nextMark(ctx, lines, "begun", number)
	if err != nil {
		return 0, err
	}
	at := monotonic()
	if err := syscall.Kill(begun.pid, syscall.SIGKILL); err != nil {
		return 0, err
	}
	done, err := nextMark(ctx, lines, "done", number)
	return done.at - at, err
}

// allUp waits until every worker has a session.
func allUp(ctx context.Context, c *control.Client) error {
	for {
		queues, err := c.Queues(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(queues, func(q control.Queue) bool { return q.Workers == workers }) {
			return nil
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// nextMark waits for the next mark, which is to be this one.
func nextMark(ctx context.Context, lines *bufio.Reader, word string, number uint64) (victimMark, error) {
	line, err := nextLine(ctx, lines)
	if err != nil {
		return victimMark{}, fmt.Errorf("waiting for %s: %w", word, err)
	}
	m, err := parseMark(line)
	if err == nil && (m.word != word || m.message != number) {
		err = fmt.Errorf("%q in place of %s of message %d", line, word, number)
	}
	return m, err
}

// nextLine waits for a whole line of a file that others append to.
func nextLine(ctx context.Context, r *bufio.Reader) (string, error) {
	line := ""
	for {
		part, err := r.ReadString('\n')
		line += part
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, io.EOF) {
			return "", err
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return "", err
		}
	}
}
