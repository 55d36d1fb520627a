package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const callHelp = `Hand a message to a step, wait until all that comes of it has ended, and print what the last steps put out, as it
comes, one result per line. The payload is the argument itself, the content of a file with @FILE, or stdin with - or
without an argument.

It exits with 0 when the task is done, with 1 when it failed, and with 124 when it had not ended after --timeout
(default 30s). Then, and on Ctrl-C, the task is ended too: what of it waits is not handled any more, and who has it in
hand is told. With --lasting it goes on: see dsatctl task.`

func (t *tool) callCommand() *cobra.Command {
	var q control.CallRequest
	cmd := &cobra.Command{
		Use:               "call STEP [PAYLOAD|@FILE|-]",
		Short:             "Ask a step and print its answer",
		Long:              callHelp,
		Example:           "  dsatctl call upper hello\n  echo '{\"load1\": 0.5}' | dsatctl call judge --codec json --timeout 5s",
		Args:              stepAndPayload,
		ValidArgsFunction: t.completeSteps,
		RunE: func(cmd *cobra.Command, args []string) error {
			payload, err := t.payload(append(args, "-")[1])
			if err != nil {
				return err
			}
			q.Step, q.Payload, q.Timeout = args[0], payload, sendWait
			if t.timeout > 0 {
				q.Timeout = t.timeout
			}
			return t.call(cmd.Context(), q)
		},
	}
	cmd.Flags().StringVar(&q.Codec, "codec", "", "codec of the payload (default: the daemon's)")
	cmd.Flags().BoolVar(&q.Lasting, "lasting", false, "the task goes on when nobody waits for it any more")
	return cmd
}

// stepAndPayload wants a step, and takes a payload.
func stepAndPayload(cmd *cobra.Command, args []string) error {
	if len(args) < 1 {
		return atLeast(1, "STEP")(cmd, args)
	}
	return exactly([]string{"STEP", "PAYLOAD"}[:max(1, min(len(args), 2))]...)(cmd, args)
}

func (t *tool) call(ctx context.Context, q control.CallRequest) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	var sent *control.Sent
	if t.json {
		sent, err = client.Call(ctx, q)
	} else {
		sent, err = client.CallStream(ctx, q, func(result *control.Body) error {
			if _, err := t.out.Write(content(result)); err != nil {
				return err
			}
			return t.out.Flush()
		})
	}
	if err != nil {
		return err
	}
	return t.verdict(sent)
}

// verdict tells of a call that is not simply done.
func (t *tool) verdict(sent *control.Sent) error {
	switch {
	case sent.State != "done":
		t.note("%s%s: %s", taskWord(sent), sent.State, sent.Reason)
		if sent.State == "expired" {
			return &toldError{exitTimeout}
		}
		return &toldError{exitFailed}
	case sent.Omitted > 0:
		t.note("task %s is done, and %s of its outputs were left out: they are more than 16 MiB", sent.Task, grouped(sent.Omitted))
		return &toldError{exitFailed}
	}
	return nil
}

func taskWord(sent *control.Sent) string {
	if sent.Task == "" {
		return ""
	}
	return "task " + sent.Task + " "
}
