package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

// allMessages stands for every message in quarantine, of --step when it is given.
const allMessages = "all"

func (t *tool) quarantineCommand() *cobra.Command {
	step := ""
	list := func(cmd *cobra.Command, _ []string) error { return t.quarantineList(cmd.Context(), step) }
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List, show, retry or drop the messages set aside",
		Long:  `Messages that failed for good or made processes die are set aside with the evidence why. Bare, it lists them.`,
		Args:  t.noSuchCommand,
		RunE:  list,
	}
	cmd.PersistentFlags().StringVar(&step, "step", "", "only messages of this step")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List the messages set aside", Args: exactly(), RunE: list},
		&cobra.Command{
			Use: "show ID", Short: "Show one message with its evidence and payload", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error { return t.quarantineShow(cmd.Context(), args[0]) },
		},
		&cobra.Command{
			Use: "retry ID...|all", Short: "Put messages back into their queues", Args: atLeast(1, "ID or all"),
			Example: "  dsatctl quarantine retry 7.42\n  dsatctl quarantine retry all --step csv",
			RunE: func(cmd *cobra.Command, args []string) error {
				return t.quarantineEach(cmd.Context(), args, step, "put back", (*control.Client).QuarantineRetry)
			},
		},
		&cobra.Command{
			Use: "drop ID...|all", Short: "Forget messages for good", Args: atLeast(1, "ID or all"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return t.quarantineEach(cmd.Context(), args, step, "forgot", (*control.Client).QuarantineDrop)
			},
		},
	)
	for _, c := range cmd.Commands()[1:] {
		c.ValidArgsFunction = t.completeQuarantined
	}
	return cmd
}

func (t *tool) quarantineList(ctx context.Context, step string) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	messages, err := client.Quarantine(ctx, step)
	if err != nil || t.json {
		return err
	}
	if len(messages) == 0 {
		t.note("nothing is in quarantine")
		return nil
	}
	var b strings.Builder
	rows := table{head: []string{"ID", "STEP", "TASK", "AGE", "ATTEMPTS", "CRASHES", "SIZE", "REASON"}}
	for _, m := range messages {
		rows.add(text(m.ID), text(m.Step), text(m.Task), number(age(t.now().Sub(m.Time))), number(strconv.Itoa(m.Attempts)),
			number(strconv.Itoa(m.Crashes)), number(size(int64(m.Size))), text(m.Reason))
	}
	rows.write(&b, t.paint())
	_, err = t.out.WriteString(b.String())
	return err
}

func (t *tool) quarantineShow(ctx context.Context, id string) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	m, err := client.QuarantineGet(ctx, id)
	if err != nil || t.json {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "message %s of %s  task %s\n", printable(m.ID), printable(m.Step), printable(m.Task))
	fmt.Fprintf(&b, "set aside %s, %s ago\n", m.Time.Local().Format(time.RFC3339), age(t.now().Sub(m.Time)))
	fmt.Fprintf(&b, "why: %s (attempts %d, crashes %d)\n", printable(m.Reason), m.Attempts, m.Crashes)
	if len(m.Evidence) > 0 {
		b.WriteString("evidence:\n")
	}
	for _, line := range m.Evidence {
		fmt.Fprintf(&b, "  %s\n", printable(line))
	}
	if m.Payload != nil {
		fmt.Fprintf(&b, "payload, %s bytes:\n%s", grouped(m.Size), shown(m.Payload))
	}
	_, err = t.out.WriteString(b.String())
	return err
}

// quarantineEach does the same to every id; the first failure ends it.
// asideChange is retry or drop.
type asideChange func(c *control.Client, ctx context.Context, id, step string) (*control.Changed, error)

func (t *tool) quarantineEach(ctx context.Context, ids []string, step, did string, do asideChange) error {
	ids = splitNames(ids)
	for _, id := range ids {
		if id == allMessages && len(ids) > 1 {
			return usageError("cannot take all and single messages at once: give all, or ids")
		}
		if id != allMessages && step != "" {
			return usageError("cannot choose by --step and by id at once: give all with --step, or ids")
		}
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.quarantineOne(ctx, client, id, step, did, do); err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) quarantineOne(ctx context.Context, client *control.Client, id, step, did string, do asideChange) error {
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	changed, err := do(client, ctx, id, step)
	if err != nil || t.json {
		return err
	}
	if len(changed.IDs) == 0 {
		t.note("nothing is in quarantine")
	}
	for _, id := range changed.IDs {
		if _, err := fmt.Fprintln(t.out, did, printable(id)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) completeQuarantined(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	socket, err := t.socketPath()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	messages, err := control.Dial(socket).Quarantine(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ids := []string{}
	for _, m := range messages {
		if strings.HasPrefix(m.ID, begun) {
			ids = append(ids, m.ID+"\t"+printable(m.Reason))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
