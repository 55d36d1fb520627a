package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

func (t *tool) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and change the values in force",
		Long: `Show and change the values in force. What is set here is checked as a file is, and applied as one: all or nothing.
It holds until the daemon ends; to keep it, write it into a file: dsatctl config runtime prints it as one.`,
		Args: t.noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(t.configShowCommand(), t.configSetCommand(), t.configUnsetCommand(), t.configRuntimeCommand())
	return cmd
}

func (t *tool) configShowCommand() *cobra.Command {
	origin := false
	cmd := &cobra.Command{
		Use:               "show [NAME...]",
		Short:             "Print every value in force, with --origin where it comes from",
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := "*"
			if len(args) > 0 {
				names = strings.Join(args, ",")
			}
			return t.configShow(cmd.Context(), names, origin)
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "also where each value comes from: FILE:LINE, default, run time")
	return cmd
}

func (t *tool) configShow(ctx context.Context, names string, origin bool) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	settings, err := client.Config(ctx, names)
	if err != nil || t.json {
		return err
	}
	rows := table{head: []string{"KEY", "VALUE"}}
	if origin {
		rows.head = append(rows.head, "ORIGIN")
	}
	for _, s := range settings {
		cells := []cell{text(s.Satellite + "." + s.Key), text(s.Value)}
		if origin {
			color := plain
			if strings.HasPrefix(s.Origin, "default") {
				color = faint
			}
			cells = append(cells, cell{text: s.Origin, color: color})
		}
		rows.add(cells...)
	}
	var b strings.Builder
	rows.write(&b, t.paint())
	_, err = t.out.WriteString(b.String())
	return err
}

func (t *tool) configSetCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "set NAME.KEY=VALUE...",
		Short: "Change values at run time, all or none",
		Long: `Change values of satellites at run time, all or none. A VALUE is TOML; what is none is taken as a string. Whether a
restart is needed, dsatctl plan and the answer tell.`,
		Example: "  dsatctl config set cpu.stop.deadline=5s\n  dsatctl config set cpu.instances=4 cpu.env.LEVEL=debug",
		Args:    atLeast(1, "NAME.KEY=VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var edits []control.Edit
			for _, arg := range args {
				path, value, ok := strings.Cut(arg, "=")
				name, key, both := strings.Cut(path, ".")
				if !ok || !both {
					return usageError(fmt.Sprintf("cannot set %q: want NAME.KEY=VALUE, as in cpu.stop.deadline=5s", arg))
				}
				edits = append(edits, control.Edit{Op: "set", Satellite: name, Key: key, Value: value})
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
	}
	f.add(cmd)
	return cmd
}

func (t *tool) configUnsetCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:     "unset NAME[.KEY]...",
		Short:   "Go back to the values of the files",
		Example: "  dsatctl config unset cpu.stop.deadline\n  dsatctl config unset cpu",
		Args:    atLeast(1, "NAME[.KEY]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var edits []control.Edit
			for _, arg := range args {
				name, key, _ := strings.Cut(arg, ".")
				edits = append(edits, control.Edit{Op: "unset", Satellite: name, Key: key})
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
	}
	f.add(cmd)
	return cmd
}

func (t *tool) configRuntimeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "runtime",
		Short:   "Print what was changed at run time, as a topology file would say it",
		Example: "  dsatctl config runtime > site.toml",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return answered(cmd.Context(), t, (*control.Client).Runtime, func(r *control.Runtime) string {
				var b strings.Builder
				for _, f := range r.Files {
					fmt.Fprintf(&b, "# and the file %s\n", f)
				}
				for _, name := range r.Removed {
					fmt.Fprintf(&b, "# without [satellite.%s]\n", name)
				}
				b.WriteString(r.TOML)
				if b.Len() == 0 {
					t.note("nothing was changed at run time")
				}
				return b.String()
			})
		},
	}
}
