package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const historyHelp = `Print how instances died, oldest first: the last 20 deaths of each, also those under earlier daemons. A death that was
asked for, by a stop or a restart, has the mark "asked". CPU is the time it took on processors, MEMORY the most it ever had:
"<" less than that, which was dsatd's own before the program was executed; "+" when it was last seen, for an earlier dsatd had started it.

With -v the last lines it wrote stand below each.`

func (t *tool) historyCommand() *cobra.Command {
	verbose := false
	cmd := &cobra.Command{
		Use:               "history NAME...",
		Short:             "Print how satellites or instances died",
		Long:              historyHelp,
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := func(c *control.Client, ctx context.Context) ([]control.Death, error) {
				return c.History(ctx, splitNames(args))
			}
			return answered(cmd.Context(), t, ask, func(deaths []control.Death) string { return historyText(deaths, verbose, t.paint()) })
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "with the last lines of output")
	return cmd
}

// historyText prints one table; with the last words, a table for each death, so that they stand below it.
func historyText(deaths []control.Death, verbose, paint bool) string {
	if len(deaths) == 0 {
		return "no deaths are known\n"
	}
	var b strings.Builder
	rows := table{head: []string{"TIME", "INSTANCE", "PID", "UPTIME", "CPU", "MEMORY", "CAUSE"}}
	for i := range deaths {
		rows.add(deathRow(&deaths[i])...)
	}
	rows.write(&b, paint)
	if !verbose {
		return b.String()
	}
	lines := strings.SplitAfter(b.String(), "\n")
	b.Reset()
	b.WriteString(lines[0])
	for i, d := range deaths {
		b.WriteString(lines[i+1])
		for _, l := range d.Last {
			b.WriteString(colored("    | "+strings.ReplaceAll(printable(l), "\n", " "), faint, paint) + "\n")
		}
	}
	return b.String()
}

func deathRow(d *control.Death) []cell {
	cause, color := strings.ReplaceAll(d.Cause, "\n", " "), red
	if d.Asked {
		if cause, color = "asked; "+cause, plain; d.Motive != "" {
			cause = strings.ReplaceAll(d.Motive, "\n", " ") + "; " + strings.TrimPrefix(cause, "asked; ")
		}
	} else if d.Code == 0 && d.Signal == 0 && d.PID != 0 {
		color = plain
	}
	memory := "-"
	if d.MaxRSS > 0 {
		memory = size(d.MaxRSS)
	}
	cpu := cpuTime(d.User + d.System)
	switch d.Usage {
	case "at_most":
		memory = "<" + memory
	case "at_least":
		memory, cpu = seenOnly(memory), seenOnly(cpu)
	}
	return []cell{text(d.Time.Local().Format("2006-01-02 15:04:05")), text(d.Name + ":" + strconv.Itoa(d.WID)), number(pidOf(d.PID)),
		number(ageSeconds(d.Uptime)), number(cpu), number(memory), {text: cause, color: color}}
}

func seenOnly(figure string) string {
	if figure == "-" {
		return figure
	}
	return figure + "+"
}

// cpuTime is short for most: "12ms", "3.4s", "2m5s".
func cpuTime(s float64) string {
	switch {
	case s <= 0:
		return "-"
	case s < 1:
		return fmt.Sprintf("%.0fms", s*1000)
	case s < 60:
		return fmt.Sprintf("%.1fs", s)
	}
	return age(time.Duration(s * float64(time.Second)))
}
