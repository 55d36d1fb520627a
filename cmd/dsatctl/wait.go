package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const waitHelp = `Wait until all named instances are in a state, and print them. Without --timeout it waits as long as the daemon
lives; with it, it exits with 124 when they are not there in time. It changes nothing.

Beside the states there are stages: ready is running while no check has taken readiness away, healthy is running with
all checks passed, done is exited with success.`

// waitStates are the states and stages an instance stays in until something happens.
var waitStates = [...]string{"running", "ready", "healthy", "done", "stopped", "exited", "fatal"}

func (t *tool) waitCommand() *cobra.Command {
	state := "running"
	cmd := &cobra.Command{
		Use:               "wait NAME...",
		Short:             "Wait until satellites or instances are in a state",
		Long:              waitHelp,
		Example:           "  dsatctl wait csv --timeout 10s && dsatctl send csv hello\n  dsatctl wait import --for exited",
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(waitStates[:], state) {
				return usageError(fmt.Sprintf("cannot wait for %q: want --for %s", state, strings.Join(waitStates[:], ", ")))
			}
			client, err := t.client()
			if err != nil {
				return err
			}
			ctx, cancel := t.limit(cmd.Context(), changeGrace)
			defer cancel()
			change, err := client.Wait(ctx, splitNames(args), state, t.timeout)
			if err != nil {
				return err
			}
			return t.changed(change)
		},
	}
	cmd.Flags().StringVar(&state, "for", state, "the state: "+strings.Join(waitStates[:], ", "))
	// It fails for a flag that does not exist or has one already.
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(waitStates[:], cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
