package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const whyHelp = `Tell in plain sentences why instances are as they are: what they wait for, when the next thing happens, what they
died of last. For a satellite that takes messages also what waits for it, and why nobody takes it.

A task is named by its number, such as 7.40: where its messages are, what they wait for, how many are before them, who has
them in hand, and what became of earlier attempts. The number of a single message asks for that one.`

func (t *tool) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "why NAME|TASK|MESSAGE...",
		Short:             "Tell why satellites, instances, queues or tasks are as they are",
		Long:              whyHelp,
		Example:           "  dsatctl why csv\n  dsatctl why cpu:1\n  dsatctl why 7.40",
		Args:              atLeast(1, "NAME or TASK"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := func(c *control.Client, ctx context.Context) ([]control.Why, error) {
				return whyAll(ctx, c, splitNames(args))
			}
			return answered(cmd.Context(), t, ask, func(all []control.Why) string {
				var b strings.Builder
				for n := range all {
					writeWhy(&b, &all[n], t.paint())
				}
				return b.String()
			})
		},
	}
}

// isTask tells the number of a task, EPOCH.NUMBER, from names, which have no dot.
var isTask = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)

// whyAll asks about satellites and instances at once, then about each task.
func whyAll(ctx context.Context, client *control.Client, names []string) (all []control.Why, err error) {
	var tasks []string
	names = slices.DeleteFunc(names, func(name string) bool {
		if isTask.MatchString(name) {
			tasks = append(tasks, name)
			return true
		}
		return false
	})
	if len(names) > 0 {
		if all, err = client.Why(ctx, names); err != nil {
			return nil, err
		}
	}
	for _, id := range tasks {
		w, err := client.WhyTask(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, *w)
	}
	return all, nil
}

func writeWhy(b *strings.Builder, w *control.Why, paint bool) {
	gap(b)
	name := w.Name
	if w.State == "" {
		name = "messages for " + name
	}
	b.WriteString(colored(printable(name), stateColorOr(w.State), paint) + "\n")
	for _, text := range w.Text {
		b.WriteString("  " + printable(text) + "\n")
	}
}

func stateColorOr(state string) string {
	if color := stateColor(state); color != plain {
		return color
	}
	return bold
}
