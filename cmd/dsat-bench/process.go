package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dsat/dsat/web/control"
)

const (
	// limit guards one run against hanging; it is no figure.
	limit = 90 * time.Second
	// grace is how long what was told to end may take until it is killed.
	grace = 15 * time.Second
)

// process is one that the bench has started. It ends with its context, by TERM, and is killed when that does not help.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // after ended
}

// command is a program to run, with what its environment has beyond the bench's own.
type command struct{ argv, env []string }

func (c command) prepare(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

// begin starts a process whose complaints go to a file in the lab. Its environment says whose it is (see sweepMarked).
func (l *lab) begin(ctx context.Context, c command) (*process, error) {
	cmd := c.prepare(ctx)
	cmd.Env = append(cmd.Env, l.mark())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	log, err := os.Create(l.log())
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// mark is what the environment of all that the lab starts has, unless a manager cleans it.
func (l *lab) mark() string { return "DSAT_BENCH_LAB=" + l.dir }

func (l *lab) log() string { return filepath.Join(l.dir, "log") }

// lastWords is the end of that file.
func (l *lab) lastWords() string {
	text, err := os.ReadFile(l.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// end tells the process to end and waits until it has.
func (p *process) end() error { return p.endBy(syscall.SIGTERM) }

func (p *process) endBy(signal syscall.Signal) error {
	_ = p.cmd.Process.Signal(signal) // it may have ended by itself
	select {
	case <-p.ended:
		return p.err
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %v of %v", p.cmd.Path, grace, signal)
	}
}

// dsatd starts the daemon with a topology in the foreground.
func (l *lab) dsatd(ctx context.Context, text string) (*process, error) {
	file := filepath.Join(l.dir, "bench.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return l.begin(ctx, l.dsatdStart(file))
}

func (l *lab) dsatdStart(file string) command {
	return command{argv: []string{filepath.Join(l.bin, "dsatd"), "start", "--run-dir", l.runDir(), "--state-dir", filepath.Join(l.dir, "state"), file}}
}

func (l *lab) runDir() string { return filepath.Join(l.dir, "run") }

func (l *lab) socket() string { return filepath.Join(l.runDir(), control.SocketName) }

// withDaemon runs f while dsatd runs the topology.
func (l *lab) withDaemon(ctx context.Context, text string, f func(context.Context, *control.Client) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	d, err := l.dsatd(ctx, text)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, d.end()); err != nil {
			err = fmt.Errorf("%w; the end of dsatd's log:\n%s", err, l.lastWords())
		}
	}()
	client := control.Dial(l.socket())
	for {
		st, err := client.Status(ctx)
		if err == nil && st.Ready {
			return f(ctx, client)
		}
		select {
		case <-d.ended:
			return errors.New("dsatd ended at once")
		case <-ctx.Done():
			return fmt.Errorf("dsatd does not become ready: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
