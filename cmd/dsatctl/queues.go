package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const queuesHelp = `Print what waits for each step and what its workers hold: messages waiting, their bytes, those waiting for the
time of their retry, those in the hands of workers, the age of the oldest, workers that may be given work,
messages in quarantine, and whether it is full so that those who fill it wait. Below it are the steps that are held
back by something else: a pause, a drain, a breaker, the budget for retries; and what came to a step past its queue,
along direct links.`

func (t *tool) queuesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queues",
		Aliases: []string{"queue"},
		Short:   "Print what waits for each step; pause, resume, drain or purge a queue",
		Long:    queuesHelp,
		Args:    t.noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := t.client()
			if err != nil {
				return err
			}
			ctx, cancel := t.limit(cmd.Context(), 0)
			defer cancel()
			queues, err := client.Queues(ctx)
			if err != nil || t.json {
				return err
			}
			if len(queues) == 0 {
				t.note("no satellite takes messages")
				return nil
			}
			_, err = t.out.WriteString(queuesText(queues, t.paint()))
			return err
		},
	}
	cmd.AddCommand(t.queueVerbs()...)
	return cmd
}

func queuesText(queues []control.Queue, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"STEP", "DELIVERY", "WAITING", "BYTES", "HELD", "INFLIGHT", "OLDEST", "WORKERS", "DONE", "QUARANTINE", "FULL"}}
	for _, q := range queues {
		workers, quarantine, full := number(strconv.Itoa(q.Workers)), number(grouped(q.Quarantine)), text("no")
		if q.Workers == 0 {
			workers.color = red
		}
		if q.Quarantine > 0 {
			quarantine.color = red
		}
		if q.Blocked {
			full = cell{text: "yes", color: yellow}
		}
		rows.add(text(q.Step), text(q.Delivery), number(grouped(q.Waiting)), number(size(q.Bytes)), number(grouped(q.Held)),
			number(grouped(q.InFlight)), number(ageSeconds(q.OldestAge)), workers, number(grouped(q.Ledger.Done)), quarantine, full)
	}
	rows.write(&b, paint)
	for _, q := range queues {
		if d := q.Direct; d != nil {
			fmt.Fprintf(&b, "%s: directly, to %d that listen: %s sent, %s received, %s missed\n", printable(q.Step), d.Receivers, grouped(d.Sent), grouped(d.Received), grouped(d.Missed))
		}
		for _, line := range restraints(&q) {
			fmt.Fprintf(&b, "%s: %s\n", printable(q.Step), printable(line))
		}
	}
	return b.String()
}
