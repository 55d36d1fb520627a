package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const whyHelp = `Tell in plain sentences why instances are as they are: what they wait for, when the next thing happens, what they
died of last. For a satellite that takes messages also what waits for it, and why nobody takes it.`

func (t *tool) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "why NAME...",
		Short:             "Tell why satellites or instances are as they are",
		Long:              whyHelp,
		Example:           "  dsatctl why csv\n  dsatctl why cpu:1",
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := t.client()
			if err != nil {
				return err
			}
			ctx, cancel := t.limit(cmd.Context(), 0)
			defer cancel()
			all, err := client.Why(ctx, splitNames(args))
			if err != nil || t.json {
				return err
			}
			var b strings.Builder
			for n := range all {
				writeWhy(&b, &all[n], t.paint())
			}
			_, err = t.out.WriteString(b.String())
			return err
		},
	}
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
