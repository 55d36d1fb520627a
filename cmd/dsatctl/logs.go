package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const logsHelp = `Print what satellites wrote to stdout and stderr, of dead processes too. Every line begins with its
instance unless exactly one is named (cpu:0). The text is passed through as it was written.

With -f it goes on until Ctrl-C, which exits with 0, or until the daemon ends, which exits with 3.`

func (t *tool) logsCommand() *cobra.Command {
	follow, stamped, n := false, false, 0
	cmd := &cobra.Command{
		Use:               "logs NAME...",
		Short:             "Print what satellites wrote",
		Long:              logsHelp,
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 {
				return usageError("cannot print fewer than 0 lines: see dsatctl logs --help")
			}
			return t.logs(cmd.Context(), splitNames(args), n, follow, stamped)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the lines to come")
	cmd.Flags().IntVarP(&n, "lines", "n", 100, "newest lines to begin with")
	cmd.Flags().BoolVarP(&stamped, "time", "t", false, "begin every line with its time")
	return cmd
}

func (t *tool) logs(ctx context.Context, names []string, n int, follow, stamped bool) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	single := len(names) == 1 && strings.Contains(names[0], ":") && !strings.ContainsAny(names[0], "*?[")
	for line, err := range client.Logs(ctx, names, n, follow) {
		if err != nil {
			return followed(err, follow)
		}
		if line.Lost > 0 {
			t.note("%d lines of %s:%d were lost here: this reader was too slow", line.Lost, line.Name, line.WID)
		}
		if !t.json {
			t.logLine(&line, single, stamped)
		}
		if follow {
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
