package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dsat/dsat/web/control"
)

// kills is how many workers one run kills.
const kills = 100

// redelivery measures the time from kill -9 of a worker to its message done by another one.
func redelivery(l *lab) (*report, error) {
	r := newReport("Redelivery after kill -9", pluginName)
	r.notes = append(r.notes, machine()+fmt.Sprintf(". Two workers; one begins a message and is killed; the figure is from before kill(2) to the other's being done with it. %d kills a run. "+
		"Brokers wait for an acknowledgement timeout here: 30 s by default in JetStream, 60 s in NSQ.", kills))
	for range l.runs {
		for _, c := range carriers {
			if err := l.killWorkers(r, c.name, c.carrier); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return r, nil
}

func (l *lab) killWorkers(r *report, name, carrier string) error {
	out := filepath.Join(l.dir, "victims")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		return err
	}
	text, err := peers(carrier, "source", "victim", 2, map[string]string{
		envRate + ".source": "40", envSize + ".source": "64", envOut + ".victim": out,
		"worker": "work = { in_hand = 1 }\nrestart = { limit = 0 }\n",
	})
	if err != nil {
		return err
	}
	var values []float64
	err = l.withDaemon(text, func(ctx context.Context, _ *control.Client) error {
		values, err = hunt(ctx, out)
		return err
	})
	if err != nil {
		return err
	}
	r.add("kill -9 to done elsewhere, p50 ms", name, median(values))
	r.add("kill -9 to done elsewhere, p99 ms", name, quantile(values, 0.99))
	return nil
}

// hunt reads the victims' file, kills whoever has begun a message, and keeps the times until it is done.
func hunt(ctx context.Context, path string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewReader(f)
	killed := map[uint64]int64{}
	var values []float64
	partial := ""
	for len(values) < kills {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d messages were done elsewhere: %w", len(values), kills, err)
		}
		text, err := lines.ReadString('\n')
		partial += text
		if err != nil {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		var word string
		var pid int
		var message uint64
		var at int64
		if _, err := fmt.Sscan(partial, &word, &pid, &message, &at); err != nil {
			return nil, fmt.Errorf("cannot read %q: %w", partial, err)
		}
		partial = ""
		if word == "done" {
			values = append(values, ms(at-killed[message]))
			continue
		}
		killed[message] = monotonic()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return nil, err
		}
	}
	return values, nil
}
