package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

func (t *tool) startCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "start NAME...",
		Short:             "Start satellites or instances and wait until they are ready",
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: t.change(func(ctx context.Context, c *control.Client, args []string) (*control.Change, error) {
			return c.Start(ctx, splitNames(args), t.timeout)
		}),
	}
}

func (t *tool) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop NAME...",
		Short: "Stop satellites or instances and wait until they are gone",
		Long: `Stop satellites or instances and wait until they are gone: what is in their hands is finished, then they get
their stop signal, after the deadline SIGKILL. Messages for them wait until they are started again.

They stay stopped: changes of the topology, upgrades and a dsatd that was killed and started again do not start them. dsatctl start,
dsatctl restart and, where there is one, their schedule do; so does dsatd after dsatctl down.`,
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: t.change(func(ctx context.Context, c *control.Client, args []string) (*control.Change, error) {
			return c.Stop(ctx, splitNames(args), t.timeout)
		}),
	}
}

func (t *tool) restartCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restart NAME...",
		Short: "Replace the processes one after the other and wait until they are ready",
		Long: `Replace the processes of satellites or instances, one after the other within a satellite, and wait until the
new ones are ready. No message is lost: what is in hand is finished, what arrives waits.`,
		Example:           "  dsatctl restart cpu\n  dsatctl restart cpu:1\n  dsatctl restart 'c*' --timeout 1m\n  dsatctl restart group:backend",
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: t.change(func(ctx context.Context, c *control.Client, args []string) (*control.Change, error) {
			return c.Restart(ctx, splitNames(args), t.timeout)
		}),
	}
}

func (t *tool) scaleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "scale NAME N",
		Short: "Want N instances of a satellite and wait until they are ready, or gone",
		Long: `Want N instances of a satellite and wait until they are ready, or gone; those with the highest numbers go. The number holds
until another is asked for, by hand or by a change of the topology, or dsatd is ended; to keep it, set instances in the file.`,
		Example:           "  dsatctl scale cpu 4",
		Args:              exactly("NAME", "N"),
		ValidArgsFunction: t.completeNames,
		RunE: t.change(func(ctx context.Context, c *control.Client, args []string) (*control.Change, error) {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 {
				return nil, usageError(fmt.Sprintf("cannot scale %s to %q: want a number of instances, 0 or more", args[0], args[1]))
			}
			return c.Scale(ctx, args[0], n, t.timeout)
		}),
	}
}

func (t *tool) signalCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "signal SIGNAL NAME...",
		Short:   "Send a signal to the processes of satellites or instances",
		Example: "  dsatctl signal HUP csv\n  dsatctl signal USR1 'cpu:*'",
		Args:    atLeast(2, "SIGNAL or NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "WINCH"}, cobra.ShellCompDirectiveNoFileComp
			}
			return t.completeNames(cmd, args[1:], begun)
		},
		RunE: t.change(func(ctx context.Context, c *control.Client, args []string) (*control.Change, error) {
			return c.Signal(ctx, splitNames(args[1:]), args[0])
		}),
	}
}

// change runs a command that changes instances and prints how they are afterwards.
func (t *tool) change(do func(context.Context, *control.Client, []string) (*control.Change, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client, err := t.client()
		if err != nil {
			return err
		}
		ctx, cancel := t.limit(cmd.Context(), changeGrace)
		defer cancel()
		change, err := do(ctx, client, args)
		if err != nil {
			return err
		}
		return t.changed(change)
	}
}

// changed prints the instances; it fails when one of them did.
func (t *tool) changed(change *control.Change) error {
	var failed error
	var b strings.Builder
	rows := table{head: []string{"NAME", "STATE", "PID"}}
	for _, i := range change.Instances {
		rows.add(text(i.Name+":"+strconv.Itoa(i.WID)), cell{text: i.State, color: stateColor(i.State)}, number(pidOf(i.PID)))
		if i.Error != "" {
			failed = &toldError{exitFailed}
		}
	}
	if t.json {
		return failed
	}
	if len(rows.rows) > 0 {
		rows.write(&b, t.paint())
	}
	if _, err := t.out.WriteString(b.String()); err != nil {
		return err
	}
	for _, i := range change.Instances {
		if i.Error != "" {
			t.note("%s:%d: %s", i.Name, i.WID, i.Error)
		}
	}
	return failed
}
