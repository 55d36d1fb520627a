package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

// allMessages stands for every message in quarantine, of --step when it is given.
const allMessages = "all"

const quarantineHelp = `Messages that failed for good or made processes die are set aside with the evidence why. Bare, it lists them.

--step and --reason choose: the messages of one step, those set aside for a reason that matches a regular expression (RE2).

retry puts messages back as new tasks, at the end of their queue. all is what is there now: a message that fails again comes back
as a new one and is not taken twice. What a full queue cannot take stays in quarantine; then it says so and exits with 1.`

func (t *tool) quarantineCommand() *cobra.Command {
	which := control.Aside{}
	list := func(cmd *cobra.Command, _ []string) error { return t.quarantineList(cmd.Context(), which) }
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List, show, edit, retry, drop or export the messages set aside",
		Long:  quarantineHelp,
		Args:  t.noSuchCommand,
		RunE:  list,
	}
	cmd.PersistentFlags().StringVar(&which.Step, "step", "", "only messages of this step")
	cmd.PersistentFlags().StringVar(&which.Reason, "reason", "", "only messages set aside for a reason that matches (RE2)")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List the messages set aside", Args: exactly(), RunE: list},
		&cobra.Command{
			Use: "show ID", Short: "Show one message with its evidence and payload", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error { return t.quarantineShow(cmd.Context(), args[0]) },
		},
		t.editCommand(),
		&cobra.Command{
			Use: "retry ID...|all", Short: "Put messages back into their queues", Args: atLeast(1, "ID or all"),
			Example: "  dsatctl quarantine retry 7.42\n  dsatctl quarantine retry all --step csv --reason 'disk full'",
			RunE: func(cmd *cobra.Command, args []string) error {
				return t.quarantineEach(cmd.Context(), args, which, "put back", (*control.Client).QuarantineRetry)
			},
		},
		&cobra.Command{
			Use: "drop ID...|all", Short: "Forget messages for good", Args: atLeast(1, "ID or all"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return t.quarantineEach(cmd.Context(), args, which, "forgot", (*control.Client).QuarantineDrop)
			},
		},
		&cobra.Command{
			Use: "export", Short: "Print messages with evidence and payload, one JSON object per line", Args: exactly(),
			Example: "  dsatctl quarantine export --step csv > aside.jsonl\n  dsatctl quarantine export | jq -c .payload.json",
			RunE:    func(cmd *cobra.Command, _ []string) error { return t.quarantineExport(cmd.Context(), which) },
		},
	)
	for _, c := range cmd.Commands() {
		if n := c.Name(); n == "show" || n == "edit" || n == "retry" || n == "drop" {
			c.ValidArgsFunction = t.completeQuarantined
		}
	}
	return cmd
}

// quarantineExport prints the API's lines as they are, with and without --json.
func (t *tool) quarantineExport(ctx context.Context, which control.Aside) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	if !t.json {
		client = client.Tee(t.out)
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	for _, err := range client.QuarantineExport(ctx, which) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) quarantineList(ctx context.Context, which control.Aside) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	messages, err := client.Quarantine(ctx, which)
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
		fmt.Fprintf(&b, "payload, %s bytes%s:\n%s", grouped(m.Size), inCodec(m.Codec), legible(m.Payload))
	}
	_, err = t.out.WriteString(b.String())
	return err
}

// inCodec names a codec for people.
func inCodec(name string) string {
	if name == "" {
		return ""
	}
	return " of " + printable(name)
}

// legible is a payload for people: what is written as text is shown as text, all else as what its codec makes of it.
func legible(body *control.Body) string {
	var indented bytes.Buffer
	if body.JSON == nil || body.Text != "" && (body.Codec == "text" || body.Codec == "raw") || json.Indent(&indented, body.JSON, "", "  ") != nil {
		return shown(body)
	}
	return printable(indented.String()) + "\n"
}

// asideChange is retry or drop.
type asideChange func(c *control.Client, ctx context.Context, id string, which control.Aside) (*control.Changed, error)

// quarantineEach does the same to every id; the first failure ends it.
func (t *tool) quarantineEach(ctx context.Context, ids []string, which control.Aside, did string, do asideChange) error {
	ids = splitNames(ids)
	for _, id := range ids {
		if id == allMessages && len(ids) > 1 {
			return usageError("cannot take all and single messages at once: give all, or ids")
		}
		if id != allMessages && which != (control.Aside{}) {
			return usageError("cannot choose by --step or --reason and by id at once: give all with those, or ids")
		}
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.quarantineOne(ctx, client, id, which, did, do); err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) quarantineOne(ctx context.Context, client *control.Client, id string, which control.Aside, did string, do asideChange) error {
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	changed, err := do(client, ctx, id, which)
	if err != nil {
		return err
	}
	if err := t.changedAside(changed, did); err != nil || changed.Left == 0 {
		return err
	}
	t.note("%s stay in quarantine: %s", grouped(changed.Left), changed.Why)
	return &toldError{exitFailed}
}

// changedAside prints the ids it was done to.
func (t *tool) changedAside(changed *control.Changed, did string) error {
	if t.json {
		return nil
	}
	if len(changed.IDs)+changed.Left == 0 {
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
	messages, err := control.Dial(socket).Quarantine(ctx, control.Aside{})
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
