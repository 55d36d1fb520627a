package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const callHelp = `Hand a message to a step, wait until all that comes of it has ended, and print what the last steps put out, as it
comes, one result per line. The payload is the argument itself, the content of a file with @FILE, or stdin with - or
without an argument.

It exits with 0 when the task is done, with 1 when it failed, and with 124 when it had not ended after --timeout
(default 30s). Then, and on Ctrl-C, the task is ended too: what of it waits is not handled any more, and who has it in
hand is told. With --lasting it goes on: see dsatctl task.

With --session NAME all messages of that name go to the same instance, the next when the one before is answered. When the
instance ends the session is lost: what is unanswered fails, and if nothing is, the next message does. It ends too when it is
not used for 5 minutes.

With --detach it prints an id at once: dsatctl reply ID fetches the answer, now or later. Then there is no deadline unless --timeout
is given.`

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
			q.Step, q.Payload, q.Timeout = args[0], payload, t.timeout
			if q.Detach {
				return t.detach(cmd.Context(), q)
			}
			if q.Timeout == 0 {
				q.Timeout = sendWait
			}
			return t.call(cmd.Context(), q)
		},
	}
	cmd.Flags().StringVar(&q.Codec, "codec", "", "codec of the payload (default: the daemon's)")
	cmd.Flags().StringVar(&q.Session, "session", "", "name of a session: all its messages go to the same instance, one after the other")
	cmd.Flags().BoolVar(&q.Detach, "detach", false, "print the id of the reply, and do not wait for it")
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

func (t *tool) detach(ctx context.Context, q control.CallRequest) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	sent, err := client.Call(ctx, q)
	if err != nil || t.json {
		return err
	}
	_, err = fmt.Fprintln(t.out, sent.Task)
	return err
}

const replyHelp = `Print the answer to a dsatctl call --detach: what the last steps have put out, one result per line. It may be asked as often
as one likes, until --close forgets the answer; closing it twice is no error. It is kept for an hour, and at least as long as dsatd
lives; where the queue of the step is durable, beyond that.

It exits with 0 when the task is done, with 1 when it failed, and with 124 when it has not ended, or has expired. With --wait it waits for
that, --timeout at most (default 30s).`

func (t *tool) replyCommand() *cobra.Command {
	var wait, end bool
	cmd := &cobra.Command{
		Use:     "reply ID",
		Short:   "Print the answer to a detached call",
		Long:    replyHelp,
		Example: "  dsatctl reply 7.42 --wait\n  dsatctl reply 7.42 --close",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := t.client()
			if err != nil {
				return err
			}
			if end {
				ctx, cancel := t.limit(cmd.Context(), 0)
				defer cancel()
				return client.CloseReply(ctx, args[0])
			}
			patience := time.Duration(0)
			if wait {
				if patience = sendWait; t.timeout > 0 {
					patience = t.timeout
				}
			}
			return t.reply(cmd.Context(), client, args[0], patience)
		},
	}
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait for the end of the task")
	cmd.Flags().BoolVar(&end, "close", false, "forget the answer")
	return cmd
}

func (t *tool) reply(ctx context.Context, client *control.Client, id string, patience time.Duration) error {
	sent, err := client.Reply(ctx, id, patience)
	if err != nil {
		return err
	}
	if !t.json {
		for i := range sent.Results {
			if _, err := t.out.Write(content(&sent.Results[i])); err != nil {
				return err
			}
		}
	}
	if sent.State == "running" {
		t.note("task %s has not ended", sent.Task)
		return &toldError{exitTimeout}
	}
	return t.verdict(sent)
}
