package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const drainHelp = `Let nothing more into a queue, so that it is worked off: those who fill it wait, as if it were full. It lasts until
dsatctl queue resume. With --wait it returns when nothing is left there, or exits with 124 after --timeout (default 30s).`

// queueVerb changes one queue.
type queueVerb func(context.Context, *control.Client, string) (*control.QueueChange, error)

// queueVerbs are the ways to do so.
func (t *tool) queueVerbs() []*cobra.Command {
	wait := false
	verb := func(use, short, long string, do queueVerb) *cobra.Command {
		return &cobra.Command{Use: use + " STEP...", Short: short, Long: long, Args: atLeast(1, "STEP"), ValidArgsFunction: t.completeSteps,
			RunE: func(cmd *cobra.Command, args []string) error { return t.queueEach(cmd.Context(), args, do) }}
	}
	drain := verb("drain", "Let nothing in, so that it is worked off", drainHelp, func(ctx context.Context, c *control.Client, step string) (*control.QueueChange, error) {
		patience := time.Duration(0)
		if wait {
			if patience = t.timeout; patience == 0 {
				patience = sendWait
			}
		}
		change, err := c.QueueDrain(ctx, step, patience)
		if err == nil && wait && change.Queue.Waiting+change.Queue.Held+change.Queue.InFlight > 0 {
			t.note("the queue of %s is not empty after %s, and is drained on", step, patience)
			return change, &toldError{exitTimeout}
		}
		return change, err
	})
	drain.Flags().BoolVarP(&wait, "wait", "w", false, "wait until nothing is left in it")
	return []*cobra.Command{
		verb("pause", "Give the workers of a step nothing more", "Give the workers of a step nothing more: what they have in hand they finish, and arrivals wait. It lasts until dsatctl queue resume, over an upgrade and a kill of dsatd too, but not over its end.",
			func(ctx context.Context, c *control.Client, step string) (*control.QueueChange, error) {
				return c.QueuePause(ctx, step)
			}),
		verb("resume", "End a pause and a drain", "", func(ctx context.Context, c *control.Client, step string) (*control.QueueChange, error) {
			return c.QueueResume(ctx, step)
		}),
		drain,
		verb("purge", "Cancel what waits in a queue", "Cancel what waits in a queue and what is held there for its retry; what is in hand is left. Its tasks end as failed.",
			func(ctx context.Context, c *control.Client, step string) (*control.QueueChange, error) {
				return c.QueuePurge(ctx, step)
			}),
	}
}

func (t *tool) queueEach(ctx context.Context, steps []string, do queueVerb) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	for _, step := range splitNames(steps) {
		if err := t.queueOne(ctx, client, step, do); err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) queueOne(ctx context.Context, client *control.Client, step string, do queueVerb) error {
	ctx, cancel := t.limit(ctx, changeGrace)
	defer cancel()
	c, err := do(ctx, client, step)
	if err != nil || t.json {
		return err
	}
	_, err = fmt.Fprintln(t.out, printable(changedText(c)))
	return err
}

// changedText says in a line how a queue is.
func changedText(c *control.QueueChange) string {
	q := &c.Queue
	how := "open"
	switch {
	case q.Paused && q.Draining:
		how = "paused, and drained"
	case q.Paused:
		how = "paused"
	case q.Draining:
		how = "drained"
	}
	text := fmt.Sprintf("%s is %s: %s waiting, %s held, %s in hand", q.Step, how, grouped(q.Waiting), grouped(q.Held), grouped(q.InFlight))
	if c.Purged > 0 {
		text += fmt.Sprintf("; %s cancelled", grouped(c.Purged))
	}
	return text
}

// restraints are the reasons why work of a step waits though there are workers.
func restraints(q *control.Queue) (said []string) {
	if len(q.BlockedBy) > 0 {
		said = append(said, "it waits for the full queue of "+strings.Join(q.BlockedBy, " and "))
	}
	if q.Stuck {
		said = append(said, "the journal takes nothing new, those who fill it wait; dsatctl status says why")
	}
	if q.Spilled > 0 {
		said = append(said, fmt.Sprintf("%s of those that wait, %s, are on disk, and come back to memory in their turn", grouped(q.Spilled), size(q.SpillBytes)))
	}
	if q.Paused {
		said = append(said, "paused; dsatctl queue resume "+q.Step)
	}
	if q.Draining {
		said = append(said, "drained, nothing is let in; dsatctl queue resume "+q.Step)
	}
	switch q.Breaker {
	case "open":
		said = append(said, fmt.Sprintf("its breaker is open for another %s: %s", ageSeconds(q.OpenFor), q.OpenedBy))
	case "half-open":
		said = append(said, "its breaker is half open: "+q.OpenedBy)
	}
	if q.Delayed > 0 {
		said = append(said, grouped(q.Delayed)+" of those held are delayed")
	}
	if q.Starved > 0 {
		said = append(said, grouped(q.Starved)+" of those held wait for the budget for retries")
	}
	return said
}
