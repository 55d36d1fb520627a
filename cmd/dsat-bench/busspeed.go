package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dsat/dsat/web/control"
)

//go:embed c/pushpull.c
var pushPullC []byte

const (
	rawName    = "libzmq C PUSH/PULL ipc"
	pluginName = "dsat tracked, plugin"
	zeromqName = "dsat tracked, ZeroMQ"

	warmUp  = 700 * time.Millisecond // connections, caches and heaps, before a rate is measured
	measure = 2 * time.Second
)

var carriers = []struct{ name, carrier string }{{pluginName, "plugin"}, {zeromqName, "zeromq"}}

// busSpeed measures tracked messages a second and latencies on both carriers beside bare libzmq in the same run.
func busSpeed(l *lab) (*report, error) {
	if err := os.WriteFile(filepath.Join(l.dir, "pushpull.c"), pushPullC, 0o600); err != nil {
		return nil, err
	}
	out, err := exec.Command("gcc", "-O2", "-o", filepath.Join(l.dir, "pushpull"), filepath.Join(l.dir, "pushpull.c"), "-lzmq").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cannot build pushpull.c: %w\n%s", err, out)
	}
	r := newReport("Bus", rawName)
	r.notes = append(r.notes, machine()+". tracked: source -> orchester -> worker -> acknowledged (DONE received), at least once; "+rawName+": one message a frame, nothing acknowledged. "+
		"Latencies are of 64 B messages: emit to accepted is one at a time; due to handled is an open loop at that rate, counted from the moment a message was due.")
	for range l.runs {
		for _, size := range []int{64, 256, 1024} {
			row := fmt.Sprintf("%d B, messages/s", size)
			rate, err := l.pushPull(size)
			if err != nil {
				return nil, err
			}
			r.add(row, rawName, rate)
			for _, c := range carriers {
				rate, err := l.tracked(c.carrier, size)
				if err != nil {
					return nil, fmt.Errorf("%s at %d B: %w", c.name, size, err)
				}
				r.add(row, c.name, rate)
			}
		}
		for _, c := range carriers {
			if err := l.latencies(r, c.name, c.carrier); err != nil {
				return nil, fmt.Errorf("latency of %s: %w", c.name, err)
			}
		}
	}
	return r, nil
}

func (l *lab) pushPull(size int) (float64, error) {
	out, err := exec.Command(filepath.Join(l.dir, "pushpull"), "ipc://"+filepath.Join(l.dir, "pushpull.sock"), strconv.Itoa(size), "3000000").Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// peers is a topology of one source and workers, all of them this binary.
func peers(carrier, source, worker string, workers int, extra map[string]string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	runs := fmt.Sprintf("plugin = %q", self)
	if carrier == "zeromq" {
		runs = fmt.Sprintf("command = [%q]\nspeaks = \"bus\"", self)
	}
	env := func(role string) string {
		pairs := []string{fmt.Sprintf("%s = %q", envRole, role), fmt.Sprintf("%s = %q", envCarrier, carrier)}
		for _, k := range []string{envSize, envRate, envOut} {
			if v := extra[k+"."+role]; v != "" {
				pairs = append(pairs, fmt.Sprintf("%s = %q", k, v))
			}
		}
		return strings.Join(pairs, ", ")
	}
	return fmt.Sprintf("dsat = 1\n[satellite.source]\n%s\nenv = { %s }\nto = \"worker\"\n[satellite.worker]\n%s\nenv = { %s }\ninstances = %d\n%s",
		runs, env(source), runs, env(worker), workers, extra["worker"]), nil
}

// withDaemon runs f while dsatd runs the topology.
func (l *lab) withDaemon(text string, f func(ctx context.Context, c *control.Client) error) (err error) {
	cmd, err := l.dsatd(text)
	if err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, cmd.Wait())
	}()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	client := control.Dial(filepath.Join(l.runDir(), control.SocketName))
	for {
		st, err := client.Status(ctx)
		if err == nil && st.Ready {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("dsatd does not become ready: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return f(ctx, client)
}

func (l *lab) tracked(carrier string, size int) (rate float64, err error) {
	text, err := peers(carrier, "source", "sink", 1, map[string]string{envSize + ".source": strconv.Itoa(size), "worker": "work = { in_hand = 4096 }\n"})
	if err != nil {
		return 0, err
	}
	err = l.withDaemon(text, func(ctx context.Context, c *control.Client) error {
		time.Sleep(warmUp)
		before, at, err := doneAt(ctx, c)
		if err != nil {
			return err
		}
		time.Sleep(measure)
		after, end, err := doneAt(ctx, c)
		rate = float64(after-before) / (float64(end-at) / 1e9)
		return err
	})
	return rate, err
}

// doneAt is how many hops were done, and when.
func doneAt(ctx context.Context, c *control.Client) (done uint64, at int64, err error) {
	queues, err := c.Queues(ctx)
	at = monotonic()
	for _, q := range queues {
		done += q.Ledger.Done
	}
	return done, at, err
}

func (l *lab) latencies(r *report, name, carrier string) error {
	out := filepath.Join(l.dir, "times")
	for _, m := range []struct {
		row, source string
		extra       map[string]string
	}{
		{"emit to accepted", "pingpong", map[string]string{envOut + ".pingpong": out}},
		{"due to handled at 1,000/s", "source", map[string]string{envRate + ".source": "1000", envOut + ".sink": out}},
		{"due to handled at 100,000/s", "source", map[string]string{envRate + ".source": "100000", envOut + ".sink": out}},
	} {
		m.extra[envSize+"."+m.source] = "64"
		text, err := peers(carrier, m.source, "sink", 1, m.extra)
		if err != nil {
			return err
		}
		_ = os.Remove(out)
		if err := l.withDaemon(text, func(context.Context, *control.Client) error { time.Sleep(warmUp + measure); return nil }); err != nil {
			return err
		}
		raw, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		var count, p50, p99, p999 float64
		if _, err := fmt.Sscan(string(raw), &count, &p50, &p99, &p999); err != nil {
			return fmt.Errorf("cannot read %q: %w", raw, err)
		}
		r.add(m.row+", p50 us", name, p50)
		r.add(m.row+", p99 us", name, p99)
	}
	return nil
}
