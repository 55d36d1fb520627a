package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const planHelp = `Tell what would change if these files were applied. Without a FILE they are those the daemon has.
Nothing is changed. The daemon reads the files itself: all problems are told with their places.

Exit code: 0 nothing would change, 2 something would, 78 the files are wrong, 1 anything else.`

func (t *tool) planCommand() *cobra.Command {
	forget := false
	cmd := &cobra.Command{
		Use:     "plan [FILE...]",
		Short:   "Tell what would change if the files were applied",
		Long:    planHelp,
		Example: "  dsatctl plan\n  dsatctl plan new.toml && echo nothing to do",
		RunE: func(cmd *cobra.Command, files []string) error {
			err := t.plan(cmd.Context(), files, forget)
			var told *toldError
			if err != nil && !errors.As(err, &told) && exitCode(err) == exitUsage {
				t.complain(err)
				return &toldError{exitFailed} // 2 says that something would change
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		t.complain(flagError(cmd, err))
		return &toldError{exitFailed}
	})
	cmd.Flags().BoolVar(&forget, "forget", false, "as if nothing had been changed at run time")
	return cmd
}

func (t *tool) plan(ctx context.Context, files []string, forget bool) error {
	abs, err := absolute(files)
	if err != nil {
		return err
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	plan, err := client.Plan(ctx, control.ChangeRequest{Files: abs, Forget: forget})
	if err != nil {
		return err
	}
	if err := t.printPlan(plan, true); err != nil {
		return err
	}
	if plan.Changes > 0 {
		return &toldError{exitChanges}
	}
	return nil
}

// exitChanges is what plan exits with when something would change.
const exitChanges = 2

func absolute(files []string) ([]string, error) {
	var out []string
	for _, f := range files {
		abs, err := filepath.Abs(f)
		if err != nil {
			return nil, err
		}
		out = append(out, abs)
	}
	return out, nil
}

// printPlan is a line for each satellite, unchanged ones only if all are asked for, below it one for each of its keys.
func (t *tool) printPlan(p *control.Plan, all bool) error {
	if t.json {
		return nil
	}
	var b strings.Builder
	rows := table{head: []string{"", "NAME", "WHAT", "PIDS THAT STAY"}}
	for _, s := range p.Satellites {
		if s.Verdict == "unchanged" && !all {
			continue
		}
		mark, color := verdictMark(s)
		rows.add(cell{text: mark, color: color}, cell{text: s.Name, color: color}, text(verdictText(s)), text(joinPIDs(s.PIDs)))
		for _, k := range s.Keys {
			rows.add(text(""), text(""), cell{text: "  " + keyText(k), loose: true})
		}
	}
	for _, k := range p.Daemon {
		rows.add(cell{text: "~", color: yellow}, text("(daemon)"), cell{text: keyText(k), loose: true})
	}
	if len(rows.rows) > 0 {
		rows.write(&b, t.paint())
	}
	if p.Changes == 0 {
		b.WriteString("nothing to do\n")
	}
	if _, err := t.out.WriteString(b.String()); err != nil {
		return err
	}
	if err := t.out.Flush(); err != nil {
		return err
	}
	for _, n := range p.Notes {
		t.note("%s", n)
	}
	for _, n := range p.Blocked {
		t.note("cannot be applied: %s", n)
	}
	return nil
}

func verdictMark(s control.Planned) (mark, color string) {
	switch s.Verdict {
	case "added":
		return "+", green
	case "removed":
		return "-", red
	case "changed", "renamed":
		return "~", yellow
	}
	return "", plain
}

func verdictText(s control.Planned) string {
	what := s.Verdict
	switch {
	case s.From != "":
		what = "was " + s.From + ", is started anew"
	case s.Verdict == "changed" && s.Stopped:
		what = "changed, stays stopped"
	case s.Verdict == "changed" && s.Restart:
		what = "changed, is started anew"
	case s.Verdict == "changed":
		what = "changed, without a restart"
	}
	if s.Waiting > 0 {
		what += fmt.Sprintf("; %d messages wait", s.Waiting)
	}
	return what
}

func keyText(k control.PlannedValue) string {
	old, now := k.Old, k.New
	if old == "" {
		old = "(none)"
	}
	if now == "" {
		now = "(none)"
	}
	return k.Key + ": " + old + " -> " + now
}

func joinPIDs(pids []int) string {
	const most = 5
	var out []string
	for _, pid := range pids[:min(len(pids), most)] {
		out = append(out, strconv.Itoa(pid))
	}
	if len(pids) > most {
		out = append(out, fmt.Sprintf("and %d more", len(pids)-most))
	}
	return strings.Join(out, " ")
}

const applyHelp = `Make the daemon run these files, all or nothing, and wait until that is done. Without a FILE they are those it has.

Satellites that have not changed keep their processes. What is new or changed is started by needs, each instance ready
(and healthy, where it has checks) before the next; then what is removed works off what waits for it, and is stopped.
When something does not become ready, everything goes back to what it was, and the reason is told.

--timeout is how long each instance may take to become ready (default: as long as its own deadlines allow).`

// changeFlags are those of every command that changes the topology.
type changeFlags struct {
	discard    []string
	noRollback bool
}

func (f *changeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.discard, "discard", nil, "satellites that may be removed with what waits for them ('*': all)")
	cmd.Flags().BoolVar(&f.noRollback, "no-rollback", false, "leave what has failed as it is")
}

func (t *tool) applyCommand() *cobra.Command {
	var f changeFlags
	forget := false
	cmd := &cobra.Command{
		Use:     "apply [FILE...]",
		Short:   "Make the daemon run these files, all or nothing",
		Long:    applyHelp,
		Example: "  dsatctl apply\n  dsatctl apply new.toml --timeout 20s",
		RunE: func(cmd *cobra.Command, files []string) error {
			abs, err := absolute(files)
			if err != nil {
				return err
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Files: abs, Forget: forget}, f)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&forget, "forget", false, "forget what was changed at run time")
	return cmd
}

func (t *tool) reloadCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Apply the daemon's own files again, as SIGHUP does",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return t.apply(cmd.Context(), control.ChangeRequest{}, f) },
	}
	f.add(cmd)
	return cmd
}

// apply asks for a change and prints what it did.
func (t *tool) apply(ctx context.Context, what control.ChangeRequest, f changeFlags) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	what.Discard, what.NoRollback = f.discard, f.noRollback
	if t.timeout > 0 {
		what.Timeout = t.timeout.String()
	}
	applied, err := client.Apply(ctx, what)
	if err != nil {
		return err
	}
	if err := t.printPlan(&applied.Plan, false); err != nil || len(applied.Instances) == 0 {
		return err
	}
	return t.changed(&control.Change{Instances: applied.Instances})
}

func (t *tool) addCommand() *cobra.Command {
	var f changeFlags
	var set []string
	command, plugin := "", ""
	cmd := &cobra.Command{
		Use:   "add NAME --command COMMAND | add FILE",
		Short: "Add a satellite, or those of a file, at run time",
		Long: `Add a satellite at run time, or all those of a topology file. It lives until the daemon ends, also over a dsatd that
was killed and started again; to keep it, write it into a file: dsatctl config runtime prints it as one.`,
		Example: "  dsatctl add tail --command 'tail -F /var/log/syslog' --set restart.limit=0\n  dsatctl add more.toml",
		Args:    exactly("NAME or FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			edits, err := additions(args[0], command, plugin, set)
			if err != nil {
				return err
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&command, "command", "", "its program, split into words without a shell")
	cmd.Flags().StringVar(&plugin, "plugin", "", "in place of a command: a built-in satellite, or the absolute path of one of yours")
	cmd.Flags().StringArrayVar(&set, "set", nil, "KEY=VALUE of the satellite; may be repeated")
	return cmd
}

func additions(name, command, plugin string, set []string) ([]control.Edit, error) {
	if command == "" && plugin == "" {
		if _, err := os.Stat(name); err != nil {
			return nil, usageError(fmt.Sprintf("cannot add %s: it is no file; a satellite wants --command or --plugin", name))
		}
		abs, err := filepath.Abs(name)
		return []control.Edit{{Op: "file", Value: abs}}, err
	}
	var edits []control.Edit
	for _, e := range [][2]string{{"command", command}, {"plugin", plugin}} {
		if e[1] != "" {
			edits = append(edits, control.Edit{Op: "add", Satellite: name, Key: e[0], Value: e[1]})
		}
	}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError(fmt.Sprintf("cannot set %q: want KEY=VALUE", s))
		}
		edits = append(edits, control.Edit{Op: "add", Satellite: name, Key: key, Value: value})
	}
	return edits, nil
}

func (t *tool) removeCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "remove NAME...",
		Short: "Remove satellites at run time",
		Long: `Remove satellites at run time: what waits for them is worked off, then they are stopped. Nobody may need them or be
linked to them any more. They come back when the daemon is started again, or with dsatctl apply --forget.`,
		Args:              atLeast(1, "NAME"),
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var edits []control.Edit
			for _, name := range args {
				edits = append(edits, control.Edit{Op: "remove", Satellite: name})
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
	}
	f.add(cmd)
	return cmd
}
