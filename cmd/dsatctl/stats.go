package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const statsHelp = `Print what processes have used: the time since they were spawned, CPU and resident memory; and the figures that the
extended_stats hooks of their satellites tell. The hooks are run for it, once for each instance. One that has failed is told below, and
changes nothing else. Without a NAME it is all.`

func (t *tool) statsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "stats [NAME...]",
		Short:             "Print what processes have used, and figures of their own",
		Long:              statsHelp,
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := splitNames(args)
			if len(names) == 0 {
				names = []string{"*"}
			}
			ask := func(c *control.Client, ctx context.Context) ([]control.Stats, error) { return c.Stats(ctx, names) }
			return answered(cmd.Context(), t, ask, func(all []control.Stats) string { return statsText(all, t.paint()) })
		},
	}
}

func statsText(all []control.Stats, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"INSTANCE", "PID", "UPTIME", "CPU", "MEMORY", "FIGURES"}}
	for _, s := range all {
		up, memory := "-", "-"
		if s.PID != 0 {
			up, memory = ageSeconds(s.Uptime), size(s.RSS)
		}
		var figures []string
		for _, name := range slices.Sorted(maps.Keys(s.Figures)) {
			figures = append(figures, name+"="+strconv.FormatFloat(s.Figures[name], 'f', -1, 64))
		}
		rows.add(text(s.Name+":"+strconv.Itoa(s.WID)), number(pidOf(s.PID)), number(up), number(cpuTime(s.CPU)), number(memory), text(strings.Join(figures, " ")))
	}
	rows.write(&b, paint)
	for _, s := range all {
		if s.Problem != "" {
			b.WriteString(colored(printable(s.Name+":"+strconv.Itoa(s.WID)), yellow, paint) + ": its extended_stats hook told nothing: " + printable(strings.ReplaceAll(s.Problem, "\n", " ")) + "\n")
		}
	}
	return b.String()
}
