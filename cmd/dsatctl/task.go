package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const taskHelp = `Print what became of a message and all that descends from it: a message on each link, where it is, and how often it was tried.

With --trace it is drawn over time: . waits in a queue, = is in the hand of a worker, x is an attempt that failed, and > goes on. The
daemon remembers the newest 8,192 messages that have ended.`

func (t *tool) taskCommand() *cobra.Command {
	var end, trace bool
	cmd := &cobra.Command{
		Use:     "task ID",
		Short:   "Print what became of a message and all that descends from it, or cancel it",
		Long:    taskHelp,
		Example: "  dsatctl task 7.42\n  dsatctl task 7.42 --trace\n  dsatctl task 7.42 --cancel",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := func(c *control.Client, ctx context.Context) (*control.Task, error) {
				if end {
					return c.CancelTask(ctx, args[0])
				}
				return c.Task(ctx, args[0])
			}
			return answered(cmd.Context(), t, ask, func(task *control.Task) string {
				if trace {
					return traceText(task, t.paint())
				}
				return taskText(task, t.paint())
			})
		},
	}
	cmd.Flags().BoolVar(&end, "cancel", false, "end what of it waits or is in hand; what its workers answer is ignored")
	cmd.Flags().BoolVar(&trace, "trace", false, "draw when each message waited, was in hand, and failed")
	return cmd
}

func taskText(task *control.Task, paint bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "task %s  %s  %s open\n", printable(task.ID), colored(printable(task.State), stateColor(task.State), paint), grouped(task.Open))
	if len(task.Hops) > 0 {
		b.WriteByte('\n')
		hops := table{head: []string{"HOP", "STEP", "STATE", "INSTANCE", "ATTEMPTS", "AGE", "REASON"}}
		for _, h := range task.Hops {
			hops.add(text(h.ID), text(h.Step), cell{text: h.State, color: stateColor(h.State)},
				text(orDash(h.Instance)), number(strconv.Itoa(h.Attempts)), number(ageSeconds(h.Age)), text(h.Reason))
		}
		hops.write(&b, paint)
	}
	if len(task.Results) > 0 {
		b.WriteString("\nresults:\n")
		for _, r := range task.Results {
			b.WriteString(shown(&r))
		}
	}
	return b.String()
}

// shown is a payload for people: a text, or how long a binary one is.
func shown(body *control.Body) string {
	if body.JSON != nil {
		return string(body.JSON) + "\n"
	}
	if body.Base64 != nil {
		return fmt.Sprintf("(%s bytes, not text; see --json)\n", grouped(len(body.Base64)))
	}
	return printable(strings.TrimRight(body.Text, "\n")) + "\n"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
