package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `dsatctl steers a running dsatd. Without a command it prints the status.

The daemon is the one named by --socket or --run-dir, else by $DSAT_RUN_DIR, else the only one that runs.
Names are satellites (cpu), instances (cpu:0) or globs of either ('c*', 'cpu:*'); several are joined by
spaces or commas.

` + exitHelp

// root builds the tree of commands.
func (t *tool) root() *cobra.Command {
	verbose, version := false, false
	root := &cobra.Command{
		Use:               "dsatctl",
		Short:             "Steer a running dsatd",
		Long:              rootHelp,
		Args:              t.noSuchCommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return t.version(cmd.Context())
			}
			return t.status(cmd.Context(), nil, verbose)
		},
	}
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.errs)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return flagError(cmd, err)
	})
	root.Flags().BoolVarP(&verbose, "verbose", "v", false, "every instance on a line of its own")
	root.Flags().BoolVar(&version, "version", false, "print the versions")
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&t.runDir, "run-dir", "", "run directory of the daemon (default: $DSAT_RUN_DIR, else found)")
	flags.StringVar(&t.socket, "socket", "", "control socket of the daemon")
	flags.BoolVar(&t.json, "json", false, "print the API's JSON unchanged; streams as one value per line")
	flags.BoolVar(&t.noColor, "no-color", false, "no colours (also: NO_COLOR; CLICOLOR_FORCE=1 for colours in a pipe)")
	flags.DurationVar(&t.timeout, "timeout", 0, "longest wait for the answer (default: 10s for questions; changes: what the\nsatellites' deadlines allow)")
	root.AddCommand(
		t.statusCommand(),
		t.startCommand(), t.stopCommand(), t.restartCommand(), t.scaleCommand(), t.signalCommand(),
		t.logsCommand(), t.eventsCommand(), t.whyCommand(), t.historyCommand(), t.statsCommand(), t.waitCommand(),
		t.sendCommand(), t.tapCommand(), t.callCommand(), t.replyCommand(), t.taskCommand(), t.queuesCommand(), t.routeCommand(), t.socketsCommand(), t.legacyCommand(), t.quarantineCommand(), t.journalCommand(), t.streamsCommand(), t.replayCommand(), t.decodeCommand(),
		t.planCommand(), t.applyCommand(), t.reloadCommand(), t.addCommand(), t.removeCommand(), t.configCommand(),
		t.runCommand(), t.doctorCommand(), t.upgradeCommand(), t.downCommand(), t.versionCommand(), t.completionCommand(),
	)
	return root
}

// noSuchCommand refuses words that are no command and suggests one.
func (t *tool) noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	names := []string{}
	for _, c := range cmd.Commands() {
		names = append(append(names, c.Name()), c.Aliases...)
	}
	hint := didYouMean(closest(args[0], names))
	if hint == "" {
		hint = "; see " + cmd.CommandPath() + " --help"
	}
	return usageError(fmt.Sprintf("cannot %s: %s has no such command%s",
		strings.Join(args, " "), cmd.CommandPath(), hint))
}
