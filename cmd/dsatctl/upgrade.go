package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const (
	upgradePatience = time.Minute           // for the next daemon to answer
	upgradeLook     = 20 * time.Millisecond // between two questions whether it is there
)

const upgradeHelp = `Replace the daemon by another program, or by what is at its own path now, without ending anything: the same process
executes it in place. Processes keep running and are its children as before, what they print is read on, messages in
memory go along, listeners refuse nobody.

First the new program has to tell its version and to check the topology that runs; then everything is held still for as
long as what is in hand needs to be answered (--timeout, default 20s). Whenever something is in the way, the old daemon goes on
as before, the reason is told, and the exit code is 1.`

func (t *tool) upgradeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "upgrade [BINARY]",
		Short:   "Replace the daemon by another program in place; everything runs on",
		Long:    upgradeHelp,
		Example: "  dsatctl upgrade\n  dsatctl upgrade ./bin/dsatd --timeout 1m",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly("BINARY")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			binary := ""
			if len(args) > 0 {
				abs, err := filepath.Abs(args[0])
				if err != nil {
					return err
				}
				binary = abs
			}
			return t.upgrade(cmd.Context(), binary)
		},
	}
}

// upgrade asks for it, and believes it when another daemon answers that has the same processes.
func (t *tool) upgrade(ctx context.Context, binary string) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	quiet := client.Tee(nil)
	daemon := watchProcess(client.Socket())
	defer daemon.close()
	before, err := quiet.Status(ctx)
	if err != nil {
		return err
	}
	if err := quiet.Upgrade(ctx, binary, t.timeout); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, upgradePatience)
	defer cancel()
	after, err := successor(waiting, quiet, daemon, before.Epoch)
	if err != nil {
		return err
	}
	if t.json {
		_, err := client.Status(ctx) // printed as it comes
		return err
	}
	kept, lost := compare(before, after)
	fmt.Fprintf(t.out, "dsatd %s took over from %s (pid %d, epoch %d): %d processes run on\n", after.Version, before.Version, after.PID, after.Epoch, kept)
	for _, name := range lost {
		t.note("%s is not the process it was: see dsatctl why %s", name, name)
	}
	return nil
}

// successor waits until a daemon of a later epoch has everything in its hands.
func successor(ctx context.Context, c *control.Client, daemon *process, epoch uint64) (*control.Status, error) {
	for {
		s, err := c.Status(ctx)
		if err == nil && s.Epoch > epoch && s.State != "starting" {
			return s, nil
		}
		if err == nil && s.Epoch == epoch {
			return nil, &control.Error{Kind: control.KindFailed, Message: "cannot upgrade: the daemon ended the connection and goes on as before; its log tells why"}
		}
		if daemon.pidfd >= 0 && daemon.gone() {
			return nil, &control.Error{Kind: control.KindFailed, Message: "cannot upgrade: the program that was executed has ended; what the daemon ran lives on, and the next `dsatd start` takes it back"}
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, &control.Error{Kind: control.KindTimeout, Message: fmt.Sprintf(
				"cannot tell how the upgrade ended: no daemon that is up answers at %s; its log tells why", c.Socket())}
		case <-time.After(upgradeLook):
		}
	}
}

// compare counts the processes that are the same, and names those that are not.
func compare(before, after *control.Status) (kept int, lost []string) {
	pids := make(map[string]int)
	for _, s := range after.Satellites {
		for _, i := range s.Instances {
			pids[fmt.Sprintf("%s:%d", s.Name, i.WID)] = i.PID
		}
	}
	for _, s := range before.Satellites {
		for _, i := range s.Instances {
			name := fmt.Sprintf("%s:%d", s.Name, i.WID)
			switch {
			case i.PID == 0:
			case pids[name] == i.PID:
				kept++
			default:
				lost = append(lost, name)
			}
		}
	}
	return kept, lost
}
