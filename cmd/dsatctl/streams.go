package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const streamsHelp = `Print the retained streams: what satellites put out and is kept on disk (retain = { ... } in the topology), those of earlier topologies
too. PATTERN is the path of one, or has * and ? for any characters but /. dsatctl replay reads them.`

func (t *tool) streamsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "streams [PATTERN]",
		Short:   "Print the retained streams",
		Long:    streamsHelp,
		Example: "  dsatctl streams\n  dsatctl streams 'probe/*'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := t.client()
			if err != nil {
				return err
			}
			ctx, cancel := t.limit(cmd.Context(), 0)
			defer cancel()
			list, err := client.Streams(ctx, strings.Join(args, ""))
			if err != nil || t.json {
				return err
			}
			if len(list) == 0 {
				t.note("no stream is retained: retain = { age = \"24h\" } on a satellite keeps what it puts out")
				return nil
			}
			_, err = t.out.WriteString(streamsText(list, t.now(), t.paint()))
			return err
		},
	}
}

func streamsText(list []control.Stream, now time.Time, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"STREAM", "SATELLITE", "MESSAGES", "FIRST", "LAST", "BYTES", "OLDEST", "NEWEST", "LOST"}}
	for _, s := range list {
		satellite, first, last, lost := text(s.Satellite), number("-"), number("-"), number(grouped(s.Lost))
		if s.Satellite == "" {
			satellite = text("(none now)")
		}
		if s.Messages > 0 {
			first, last = number(grouped(s.First)), number(grouped(s.Last))
		}
		if s.Lost > 0 || s.Full {
			lost.color = red
		}
		rows.add(text(s.Name), satellite, number(grouped(s.Messages)), first, last, number(size(s.Bytes)), number(since(s.Oldest, now)), number(since(s.Newest, now)), lost)
	}
	rows.write(&b, paint)
	for _, s := range list {
		if s.Fault != "" {
			b.WriteString(printable(s.Name) + ": nothing is kept: " + printable(s.Fault) + "\n")
		}
	}
	return b.String()
}

// since is how long ago something was.
func since(at *time.Time, now time.Time) string {
	if at == nil {
		return "-"
	}
	return ageSeconds(max(now.Sub(*at), 0).Seconds())
}
