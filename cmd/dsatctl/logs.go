package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const logsHelp = `Print what satellites wrote to stdout and stderr, of dead processes too, and of satellites that are no more in
the topology as long as their files are kept. Every line begins with its instance unless exactly one is named
(cpu:0). The text is passed through as it was written. Lines of all instances come in the order of their time,
from memory and from files, rotated and compressed ones too.

A time is 10m (so long ago), 15:04, 15:04:05, 2006-01-02, "2006-01-02 15:04", "2006-01-02 15:04:05" (all local),
or RFC 3339. With --since or --until all lines between are printed, without them the newest 100; -n says how many
of the newest, or all.

With -f it goes on until Ctrl-C, which exits with 0, or until the daemon ends, which exits with 3.`

// logOptions are the flags of logs.
type logOptions struct {
	follow, stamped bool
	n               string
	since, until    string
	grep, stream    string
	instance        int
}

func (t *tool) logsCommand() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:               "logs NAME...",
		Short:             "Print what satellites wrote",
		Long:              logsHelp,
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := o.query(splitNames(args), t.now())
			if err != nil {
				return err
			}
			return t.logs(cmd.Context(), q, o.stamped)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with the lines to come")
	flags.StringVarP(&o.n, "lines", "n", "", "newest lines to begin with, or all")
	flags.BoolVarP(&o.stamped, "time", "t", false, "begin every line with its time")
	flags.StringVarP(&o.since, "since", "S", "", "lines from this time on")
	flags.StringVarP(&o.until, "until", "U", "", "lines up to this time")
	flags.StringVarP(&o.grep, "grep", "g", "", "lines whose text matches this regular expression (RE2)")
	flags.StringVar(&o.stream, "stream", "", "lines of stdout or of stderr only")
	flags.IntVarP(&o.instance, "instance", "i", -1, "this instance only of every satellite that is named")
	return cmd
}

// query is what the flags ask for.
func (o *logOptions) query(names []string, now time.Time) (q control.LogQuery, err error) {
	q = control.LogQuery{Names: names, N: 100, Grep: o.grep, Stream: o.stream, Follow: o.follow}
	if o.instance >= 0 {
		for i, name := range names {
			if !strings.Contains(name, ":") {
				names[i] = fmt.Sprintf("%s:%d", name, o.instance)
			}
		}
	}
	for _, limit := range []struct {
		flag, text string
		at         *time.Time
	}{{"since", o.since, &q.Since}, {"until", o.until, &q.Until}} {
		if limit.text == "" {
			continue
		}
		if *limit.at, err = moment(limit.text, now); err != nil {
			return q, usageError(fmt.Sprintf("cannot read --%s %q: see dsatctl logs --help", limit.flag, limit.text))
		}
		q.N = -1
	}
	if o.n == "all" {
		q.N = -1
	} else if o.n != "" {
		if q.N, err = strconv.Atoi(o.n); err != nil || q.N < 0 {
			return q, usageError(fmt.Sprintf("cannot print %q lines: want a number from 0, or all: see dsatctl logs --help", o.n))
		}
	}
	if o.stream != "" && o.stream != "stdout" && o.stream != "stderr" {
		return q, usageError(fmt.Sprintf("cannot print stream %q: want stdout or stderr", o.stream))
	}
	return q, nil
}

// moment reads a time as people write it.
func moment(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, at.Hour(), at.Minute(), at.Second(), 0, now.Location()), nil
		}
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Parse(time.RFC3339Nano, text)
}

func (t *tool) logs(ctx context.Context, q control.LogQuery, stamped bool) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	single := len(q.Names) == 1 && strings.Contains(q.Names[0], ":") && !strings.ContainsAny(q.Names[0], "*?[")
	for line, err := range client.Logs(ctx, q) {
		if err != nil {
			return followed(err, q.Follow)
		}
		if line.Lost > 0 {
			t.note("%d lines of %s:%d were lost here: this reader was too slow", line.Lost, line.Name, line.WID)
		}
		if !t.json {
			t.logLine(&line, single, stamped)
		}
		if q.Follow {
			if err := t.out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// logLine prints one line; the buffer keeps an error of writing until it is flushed.
func (t *tool) logLine(line *control.LogLine, single, stamped bool) {
	prefix := ""
	if stamped {
		prefix = line.Time.Local().Format(time.RFC3339Nano[:19]+".000") + " "
	}
	if !single {
		prefix += fmt.Sprintf("%s:%d | ", line.Name, line.WID)
	}
	_, _ = t.out.WriteString(colored(prefix, faintUnlessEmpty(prefix), t.paint()) + line.Text + "\n")
}

func faintUnlessEmpty(s string) string {
	if s == "" {
		return plain
	}
	return faint
}

// followed is the error that ends a stream; to be interrupted is how a followed one ends.
func followed(err error, follow bool) error {
	if follow && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
