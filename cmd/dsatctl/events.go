package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const eventsHelp = `Print what happened, oldest first: the events the daemon has kept, and with -f those to come.

With -f it goes on until Ctrl-C, which exits with 0, or until the daemon ends, which exits with 3. A connection
that drops is taken up again where it ended. When events were lost on the way it says how many.`

func (t *tool) eventsCommand() *cobra.Command {
	follow, since := false, uint64(0)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happened",
		Long:  eventsHelp,
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.events(cmd.Context(), since, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events to come")
	cmd.Flags().Uint64Var(&since, "since", 0, "only events with a number greater than this")
	return cmd
}

func (t *tool) events(ctx context.Context, since uint64, follow bool) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	last := since
	for event, err := range client.Events(ctx, since, follow) {
		if err != nil {
			return followed(err, follow)
		}
		if last > 0 && event.Seq > last+1 {
			t.note("%d events were lost here", event.Seq-last-1)
		}
		last = event.Seq
		if !t.json {
			t.eventLine(&event)
		}
		if follow {
			if err := t.out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tool) eventLine(e *control.Event) {
	paint := t.paint()
	who := e.Kind
	if e.Satellite != "" {
		who = e.Satellite
	}
	if e.WID != nil {
		who += ":" + strconv.Itoa(*e.WID)
	}
	change := ""
	if e.To != "" {
		change = colored(printable(e.To), stateColor(e.To), paint)
	}
	if e.From != "" && e.To != "" {
		change = printable(e.From) + " -> " + change
	}
	if change != "" && e.Cause != "" {
		change += "  "
	}
	// The buffer keeps an error of writing until it is flushed.
	_, _ = fmt.Fprintf(t.out, "%6d  %s  %-12s  %s%s\n", e.Seq, e.Time.Local().Format("15:04:05.000"), printable(who), change, printable(e.Cause))
}
