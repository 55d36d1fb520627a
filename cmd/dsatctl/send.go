package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const sendWait = 30 * time.Second

const sendHelp = `Hand a message to a step and print the id of its task. The payload is the argument itself, the content of a
file with @FILE, or stdin with - (so a payload that begins with @ goes through stdin).

With --wait it waits until the task has ended and prints what came out at the last steps, one result per line; it
exits with 1 when the task failed and with 124 when it had not ended after --timeout (default 30s).`

func (t *tool) sendCommand() *cobra.Command {
	codec, wait, wishes := "", false, wishFlags{}
	cmd := &cobra.Command{
		Use:               "send STEP PAYLOAD|@FILE|-",
		Short:             "Hand a message to a step",
		Long:              sendHelp,
		Example:           "  dsatctl send csv '{\"load1\": 0.5}'\n  echo hello | dsatctl send upper - --wait",
		Args:              exactly("STEP", "PAYLOAD"),
		ValidArgsFunction: t.completeSteps,
		RunE: func(cmd *cobra.Command, args []string) error {
			payload, err := t.payload(args[1])
			if err != nil {
				return err
			}
			opt, err := wishes.options(t.now())
			if err != nil {
				return err
			}
			return t.send(cmd.Context(), args[0], codec, payload, wait, opt)
		},
	}
	cmd.Flags().StringVar(&codec, "codec", "", "codec of the payload (default: the daemon's)")
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait for the end of the task and print its results")
	wishes.declare(cmd)
	return cmd
}

func (t *tool) payload(arg string) ([]byte, error) {
	if arg == "-" {
		payload, err := io.ReadAll(t.in)
		if err != nil {
			return nil, fmt.Errorf("cannot read the payload from stdin: %w", err)
		}
		return payload, nil
	}
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		payload, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read the payload: %w", err)
		}
		return payload, nil
	}
	return []byte(arg), nil
}

func (t *tool) send(ctx context.Context, step, codec string, payload []byte, wait bool, opt control.SendOptions) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	patience := time.Duration(0)
	if wait {
		patience = sendWait
		if t.timeout > 0 {
			patience = t.timeout
		}
	}
	ctx, cancel := t.limit(ctx, changeGrace)
	defer cancel()
	opt.Wait = patience
	sent, err := client.SendWith(ctx, step, codec, payload, opt)
	if err != nil {
		return err
	}
	if !t.json {
		if err := t.sent(sent, wait); err != nil {
			return err
		}
	}
	if sent.Repeat {
		t.note("this id was taken already: the task is that of the first message")
	}
	switch {
	case sent.State == "failed":
		t.note("task %s failed: %s", sent.Task, sent.Reason)
		return &toldError{exitFailed}
	case wait && sent.State != "done":
		t.note("task %s has not ended after %s: see dsatctl task %s", sent.Task, patience, sent.Task)
		return &toldError{exitTimeout}
	}
	return nil
}

func (t *tool) sent(sent *control.Sent, wait bool) error {
	if !wait {
		_, err := fmt.Fprintln(t.out, sent.Task)
		return err
	}
	for _, result := range sent.Results {
		if _, err := t.out.Write(content(&result)); err != nil {
			return err
		}
	}
	return nil
}

// content is a payload as it was, a text ended by a newline.
func content(b *control.Body) []byte {
	if b.Base64 != nil {
		return b.Base64
	}
	return append(bytes.TrimRight([]byte(b.Text), "\n"), '\n')
}
