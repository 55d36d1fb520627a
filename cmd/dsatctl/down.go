package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/web/control"
)

const (
	downGrace = 30 * time.Second       // for the stop deadlines of satellites, after the drain
	downLook  = 100 * time.Millisecond // between two looks whether we were interrupted
)

const downHelp = `Stop the daemon and everything it runs, and wait until it is gone: no new work is taken, sources stop, what is
in flight is finished, then the rest stops in reverse of its order.

--timeout is how long the finishing may take before what is left is counted and given up (default: the topology's).
With it, dsatctl exits with 124 when the daemon is still there 30 s later.`

func (t *tool) downCommand() *cobra.Command {
	noWait := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the daemon and everything it runs, and wait until it is gone",
		Long:  downHelp,
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return t.down(cmd.Context(), noWait) },
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when the daemon has begun to stop")
	return cmd
}

func (t *tool) down(ctx context.Context, noWait bool) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	// The descriptor is taken before the request, so that it is of the process we mean even if its number is used again.
	daemon := watchProcess(client.Socket())
	defer daemon.close()
	if err := client.Down(ctx, t.timeout); err != nil || noWait {
		return err
	}
	ctx, cancel := t.limit(ctx, downGrace)
	defer cancel()
	for !daemon.gone() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &control.Error{Kind: control.KindTimeout, Message: fmt.Sprintf(
				"cannot wait longer for the daemon at %s: it is still stopping: see dsatctl status", client.Socket())}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if !t.json {
		t.note("the daemon is down, and all it ran")
	}
	return nil
}

// process is the daemon as the kernel knows it.
type process struct {
	pidfd  int // -1 when it is out of sight: then only its socket tells
	socket string
}

func watchProcess(socket string) *process {
	p := &process{pidfd: -1, socket: socket}
	if pid := control.Listener(socket); pid > 1 { // 1 is systemd, when it opened the socket
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			p.pidfd = fd
		}
	}
	return p
}

// gone waits for the end at most downLook.
func (p *process) gone() bool {
	if p.pidfd < 0 {
		if control.Answers(p.socket) {
			time.Sleep(downLook)
			return false
		}
		return true
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, int(downLook/time.Millisecond))
	return err == nil && n > 0
}

func (p *process) close() {
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd) // nothing was written
	}
}
