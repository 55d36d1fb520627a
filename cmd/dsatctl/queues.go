package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const queuesHelp = `Print what waits for each step and what its workers hold: messages waiting, their bytes, those waiting for the
time of their retry, those in the hands of workers, the age of the oldest, workers that may be given work,
messages a second that came and that were done (of the last 10 seconds), messages in quarantine, and whether it is full so that those
who fill it wait. Below it are the steps that are held back by something else: a full queue below, a pause, a drain, a breaker, the
budget for retries; what of a queue is on disk only; and what came to a step past its queue, along direct links.

With -v each queue has a line more: what it may hold and how full it is, what happens to a message that finds it full, the rates of the
last minute, and its breaker.`

func (t *tool) queuesCommand() *cobra.Command {
	verbose := false
	cmd := t.watched(&cobra.Command{
		Use:     "queues",
		Aliases: []string{"queue"},
		Short:   "Print what waits for each step; pause, resume, drain or purge a queue",
		Long:    queuesHelp,
		Args:    t.noSuchCommand,
	}, func(ctx context.Context, _ []string) error {
		client, err := t.client()
		if err != nil {
			return err
		}
		queues, err := client.Queues(ctx)
		if err != nil || t.json {
			return err
		}
		if len(queues) == 0 {
			t.note("no satellite takes messages")
			return nil
		}
		_, err = t.out.WriteString(queuesText(queues, verbose, t.paint()))
		return err
	})
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "limits, what happens when it is full, and rates of a minute")
	cmd.AddCommand(t.queueVerbs()...)
	return cmd
}

func queuesText(queues []control.Queue, verbose, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"STEP", "DELIVERY", "WAITING", "BYTES", "HELD", "INFLIGHT", "OLDEST", "WORKERS", "IN/S", "OUT/S", "DONE", "QUARANTINE", "FULL"}}
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
			number(grouped(q.InFlight)), number(ageSeconds(q.OldestAge)), workers, perSecond(q.Rate, false), perSecond(q.Rate, true), number(grouped(q.Ledger.Done)), quarantine, full)
	}
	rows.write(&b, paint)
	if verbose {
		b.WriteString("\n" + bounds(queues, paint))
	}
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

// perSecond is a rate of the last 10 seconds.
func perSecond(r *control.QueueRate, out bool) cell {
	switch {
	case r == nil:
		return number("-")
	case out:
		return number(hertz(r.Out10s))
	}
	return number(hertz(r.In10s))
}

// hertz is a number of messages a second: small ones keep a digit behind the point.
func hertz(perSecond float64) string {
	if perSecond > 0 && perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return grouped(int64(perSecond + 0.5))
}

// bounds is what queues may hold.
func bounds(queues []control.Queue, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"STEP", "MESSAGES", "OF", "BYTES", "OF", "USED", "WHEN FULL", "IN/S 1M", "OUT/S 1M", "BREAKER", "WAITS FOR", "HOLDS UP"}}
	for _, q := range queues {
		limit, rate, breaker := q.Limit, q.Rate, q.Breaker
		if limit == nil {
			limit = &control.QueueLimit{}
		}
		if rate == nil {
			rate = &control.QueueRate{}
		}
		if breaker == "" {
			breaker = "-"
		}
		held := q.Waiting + q.Held
		rows.add(text(q.Step), number(grouped(held)), number(grouped(limit.Messages)), number(size(q.Bytes)), number(size(limit.Bytes)), number(used(held, limit.Messages, q.Bytes, limit.Bytes)),
			text(limit.Full), number(hertz(rate.In1m)), number(hertz(rate.Out1m)), text(breaker), text(listed(q.BlockedBy)), text(listed(q.Blocks)))
	}
	rows.write(&b, paint)
	return b.String()
}

// used is how full a queue is by the bound it is nearer to.
func used(n, most int, bytes, mostBytes int64) string {
	share := 0.0
	if most > 0 {
		share = float64(n) / float64(most)
	}
	if mostBytes > 0 {
		share = max(share, float64(bytes)/float64(mostBytes))
	}
	return fmt.Sprintf("%.0f%%", 100*share)
}

func listed(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}
