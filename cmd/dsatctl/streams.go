package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const streamsHelp = `Print the retained streams: what satellites put out and is kept on disk (retain = { ... } in the topology), those of earlier topologies
too; with how many messages a second were put in during the last 10 seconds, and how many read it. PATTERN is the path of one, or has * and ? for any characters but /. dsatctl replay reads them.`

func (t *tool) streamsCommand() *cobra.Command {
	verbose := false
	cmd := t.watched(&cobra.Command{
		Use:     "streams [PATTERN]",
		Short:   "Print the retained streams",
		Long:    streamsHelp,
		Example: "  dsatctl streams\n  dsatctl streams 'probe/*'\n  dsatctl streams -w",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, args []string) error {
		client, err := t.client()
		if err != nil {
			return err
		}
		list, err := client.Streams(ctx, strings.Join(args, ""))
		if err != nil || t.json {
			return err
		}
		if len(list) == 0 {
			t.note("no stream is retained: retain = { age = \"24h\" } on a satellite keeps what it puts out")
			return nil
		}
		_, err = t.out.WriteString(streamsText(list, t.now(), verbose, t.paint()))
		return err
	})
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "what is kept at least, when the oldest and the newest were put out, and rates of a minute")
	return cmd
}

func streamsText(list []control.Stream, now time.Time, verbose, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"STREAM", "SATELLITE", "MESSAGES", "FIRST", "LAST", "BYTES", "OLDEST", "NEWEST", "IN/S", "READERS", "LOST"}}
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
		rows.add(text(s.Name), satellite, number(grouped(s.Messages)), first, last, number(size(s.Bytes)), number(since(s.Oldest, now)), number(since(s.Newest, now)), number(hertz(s.Rate10s)), number(grouped(s.Readers)), lost)
	}
	rows.write(&b, paint)
	if verbose {
		b.WriteString("\n" + keeping(list, paint))
	}
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

// keeping is what streams keep, and since when.
func keeping(list []control.Stream, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"STREAM", "KEPT AT LEAST", "FIRST AT", "LAST AT", "IN/S 1M"}}
	for _, s := range list {
		rows.add(text(s.Name), text(bound(&s)), text(at(s.Oldest)), text(at(s.Newest)), number(hertz(s.Rate1m)))
	}
	rows.write(&b, paint)
	return b.String()
}

// bound is what a stream keeps; of several bounds the narrowest holds.
func bound(s *control.Stream) string {
	var all []string
	if s.Age > 0 {
		all = append(all, age(time.Duration(s.Age*float64(time.Second))))
	}
	if s.Size > 0 {
		all = append(all, size(s.Size))
	}
	if s.Count > 0 {
		all = append(all, grouped(s.Count)+" messages")
	}
	switch {
	case s.Satellite == "":
		return "what is there"
	case len(all) == 0:
		return "all"
	}
	return strings.Join(all, " or ")
}

func at(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}
