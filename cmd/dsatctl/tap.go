package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const tapHelp = `Follow messages as they are given to workers: of a step, or of the link between two. Of a source, which is given nothing, these are
the messages it puts out. Payloads are shown as JSON, whatever their codec is, and cut.

It never slows the bus: what is not read in time is lost to the viewer, and it says how many. --sample and --rate leave messages
out on purpose. With --count nothing is shown but how many messages went over each link in every second; then no step need be named.

It goes on until Ctrl-C, or -n messages, or the end of the daemon, which exits with 3. Messages of class direct do not pass the daemon.`

func (t *tool) tapCommand() *cobra.Command {
	q, count, most := control.TapQuery{}, false, 0
	cmd := &cobra.Command{
		Use:               "tap STEP | tap FROM TO",
		Short:             "Follow messages on their way",
		Long:              tapHelp,
		Example:           "  dsatctl tap csv\n  dsatctl tap cpu csv --rate 2\n  dsatctl tap csv -n 1 --json | jq .payload\n  dsatctl tap --count",
		ValidArgsFunction: t.completeSteps,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && !count:
				return exactly("STEP")(cmd, args)
			case len(args) > 2:
				return exactly("FROM", "TO")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Sample < 0 || q.Rate < 0 || q.Cut < 0 || most < 0 {
				return usageError("cannot tap: numbers are not below 0")
			}
			switch len(args) {
			case 1:
				q.To = args[0]
				if from, to, ok := strings.Cut(args[0], "->"); ok {
					q.From, q.To = strings.TrimSpace(from), strings.TrimSpace(to)
				}
			case 2:
				q.From, q.To = args[0], args[1]
			}
			if count {
				return t.tapCounts(cmd.Context(), q, most)
			}
			return t.tap(cmd.Context(), q, most)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&q.Sample, "sample", 0, "show one of so many messages")
	flags.Float64Var(&q.Rate, "rate", 0, "show at most so many messages a second (default and limit: 1000)")
	flags.IntVar(&q.Cut, "cut", 0, "show at most so many bytes of a payload (default 1024, limit 65536)")
	flags.BoolVar(&count, "count", false, "only count messages, for each link in every second")
	flags.IntVarP(&most, "lines", "n", 0, "end after so many messages, or seconds with --count")
	return cmd
}

func (t *tool) tap(ctx context.Context, q control.TapQuery, most int) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	seen := 0
	for m, err := range client.Tap(ctx, q) {
		if err != nil {
			return followed(err, true)
		}
		if m.Lost > 0 {
			t.note("%s messages were lost here: this viewer was too slow for them", grouped(m.Lost))
		}
		if !t.json {
			t.tappedLine(&m)
		}
		if err := t.out.Flush(); err != nil {
			return err
		}
		if seen++; seen == most {
			break
		}
	}
	return nil
}

func (t *tool) tappedLine(m *control.Tapped) {
	paint := t.paint()
	attempt, from := "", m.From
	if m.Attempt > 1 {
		attempt = colored(fmt.Sprintf("  attempt %d", m.Attempt), yellow, paint)
	}
	if from == "" {
		from = "(outside)"
	}
	payload := string(m.Payload)
	if m.Cut != "" {
		payload = m.Cut + "..."
	}
	// The buffer keeps an error of writing until it is flushed.
	_, _ = fmt.Fprintf(t.out, "%s  %s -> %s  %s  task %s%s  %s  %s %s  %s\n", colored(m.Time.Local().Format("15:04:05.000"), faint, paint),
		printable(from), colored(printable(m.Instance), bold, paint), printable(m.ID), printable(m.Task), attempt, ageSeconds(m.Age),
		printable(m.Codec), size(int64(m.Size)), printable(strings.ReplaceAll(payload, "\n", " ")))
}

func (t *tool) tapCounts(ctx context.Context, q control.TapQuery, most int) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	seen := 0
	for rates, err := range client.TapCounts(ctx, q) {
		if err != nil {
			return followed(err, true)
		}
		if !t.json {
			_, _ = t.out.WriteString(ratesText(rates, t.paint()))
		}
		if err := t.out.Flush(); err != nil {
			return err
		}
		if seen++; seen == most {
			break
		}
	}
	return nil
}

func ratesText(rates []control.LinkRate, paint bool) string {
	var b strings.Builder
	if len(rates) == 0 {
		return "nothing went over it\n"
	}
	rows := table{head: []string{"LINK", "MESSAGES/S", "MESSAGES", "BYTES"}}
	for _, r := range rates {
		from := r.From
		if from == "" {
			from = "(outside)"
		}
		rows.add(text(from+" -> "+r.To), number(fmt.Sprintf("%.1f", r.Rate)), number(grouped(r.Messages)), number(size(int64(r.Bytes))))
	}
	rows.write(&b, paint)
	return b.String() + "\n"
}
