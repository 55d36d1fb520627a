package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

func (t *tool) routeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "route",
		Aliases: []string{"routes"},
		Short:   "Show and change where messages go",
		Long: `Show and change where messages go. The links of all satellites are one table with a version: each change is checked as a
file is, applied in one moment or not at all, and told to the satellites it concerns. What was emitted before goes where
it was meant to go. A change holds until the daemon ends; to keep it, write it into a file: dsatctl config runtime prints
it as one.`,
		Args: t.noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.routeShow(cmd.Context(), nil) },
	}
	cmd.AddCommand(t.routeShowCommand(), t.routeSetCommand(), t.routeDropCommand(), t.routeMoveCommand(), t.routeMirrorCommand(), t.routeResetCommand())
	return cmd
}

func (t *tool) routeShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [STEP...]",
		Short: "Print the table of links, with what went over each",
		Long: `Print the table of links, with what went over each: TAKEN is what went to TO, SKIPPED what its conditions have kept from
it, ERRORS the messages whose condition or key could not be told. Below it: messages that took no link, the last
reason of errors, and the version of the table.`,
		ValidArgsFunction: t.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return t.routeShow(cmd.Context(), splitNames(args)) },
	}
}

func (t *tool) routeShow(ctx context.Context, steps []string) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	all, err := client.Routes(ctx)
	if err != nil || t.json {
		return err
	}
	shown := *all
	shown.Steps = slices.DeleteFunc(slices.Clone(all.Steps), func(s control.Route) bool {
		return len(steps) > 0 && !slices.ContainsFunc(steps, func(pattern string) bool { return matches(pattern, s.Step) })
	})
	if len(steps) > 0 && len(shown.Steps) == 0 {
		var names []string
		for _, s := range all.Steps {
			names = append(names, s.Step)
		}
		return &control.Error{Kind: control.KindNotFound, Message: fmt.Sprintf("cannot find links of %s", strings.Join(steps, ", ")), Suggest: closest(steps[0], names)}
	}
	_, err = t.out.WriteString(routesText(&shown, t.paint()))
	return err
}

func routesText(r *control.Routes, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"FROM", "TO", "WHAT", "TAKEN", "SKIPPED", "ERRORS", "ORIGIN"}}
	for _, s := range r.Steps {
		for _, l := range s.Links {
			failed := number(grouped(l.Failed))
			if l.Failed > 0 {
				failed.color = red
			}
			rows.add(text(s.Step), text(l.To), text(linkWords(s, l)), number(grouped(l.Taken)), number(grouped(l.Skipped)), failed, cell{text: s.Origin, color: faint})
			if l.MoveTo != "" {
				rows.add(text(s.Step), text(l.MoveTo), text(percentOf(l.Percent)+" of "+l.To), number(grouped(l.Others[l.MoveTo])), text(""), text(""), text(""))
			}
			for _, name := range l.Mirror {
				rows.add(text(s.Step), text(name), text("copy of "+l.To), number(grouped(l.Others[name])), text(""), text(""), text(""))
			}
		}
	}
	if len(rows.rows) > 0 {
		rows.write(&b, paint)
	}
	for _, s := range r.Steps {
		if s.Unrouted > 0 {
			fmt.Fprintf(&b, "%s: %s messages took no link\n", printable(s.Step), grouped(s.Unrouted))
		}
		if s.Failed > 0 {
			fmt.Fprintf(&b, "%s: %s messages could not be told by %s: %s\n", printable(s.Step), grouped(s.Failed), printable(s.By), printable(s.LastError))
		}
		for _, l := range s.Links {
			if l.Failed > 0 {
				fmt.Fprintf(&b, "%s -> %s: the last error: %s\n", printable(s.Step), printable(l.To), printable(l.LastError))
			}
		}
	}
	fmt.Fprintf(&b, "version %d\n", r.Version)
	return b.String()
}

// linkWords is the options of a link in a few words.
func linkWords(s control.Route, l control.Link) string {
	var words []string
	switch {
	case s.Mode == "hash":
		words = append(words, "hash of "+s.By)
	case s.Mode != "all":
		words = append(words, s.Mode)
	}
	if l.When != "" {
		words = append(words, "when "+l.When)
	}
	if l.Sample > 0 {
		words = append(words, "sample "+percentOf(l.Sample))
	}
	if l.OneIn > 1 {
		words = append(words, "one in "+strconv.Itoa(l.OneIn))
	}
	if l.Fallback {
		words = append(words, "fallback")
	}
	if l.Errors {
		words = append(words, "errors too")
	}
	if l.Key != "" {
		words = append(words, "key "+l.Key)
	}
	if len(words) == 0 {
		return "all"
	}
	return strings.Join(words, ", ")
}

func percentOf(p float64) string { return strconv.FormatFloat(p, 'g', -1, 64) + " %" }

const routeSetHelp = `Set links of a satellite, or options of them, all or none:

  LINK.OPTION=VALUE  an option of a link: when, one_in, sample, fallback, errors, key; nothing behind the = unsets it
  LINK={...}         a whole link; LINK={} is one without conditions
  to=VALUE           all links
  mode=MODE          which of the links that match take a message: all, first, hash
  by=EXPRESSION      of mode=hash

A link that is not there is added, at the end.`

func (t *tool) routeSetCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:     "set STEP LINK.OPTION=VALUE...",
		Short:   "Set links of a satellite at run time, or options of them",
		Long:    routeSetHelp,
		Example: "  dsatctl route set cpu alarm.when='payload.load1 > 6' alarm.one_in=10\n  dsatctl route set cpu archive={}\n  dsatctl route set cpu mode=hash by=payload.host",
		Args:    atLeast(2, "STEP and LINK.OPTION=VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			edits, err := linkEdits(args[0], args[1:])
			if err != nil {
				return err
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
		ValidArgsFunction: t.completeSteps,
	}
	f.add(cmd)
	return cmd
}

func linkEdits(step string, args []string) ([]control.Edit, error) {
	var edits []control.Edit
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usageError(fmt.Sprintf("cannot set %q: want LINK.OPTION=VALUE, as in alarm.one_in=10", arg))
		}
		switch key {
		case "to":
			edits = append(edits, control.Edit{Op: "set", Satellite: step, Key: "to", Value: value})
		case "mode", "by":
			edits = append(edits, control.Edit{Op: "set", Satellite: step, Key: "route." + key, Value: value})
		default:
			edits = append(edits, control.Edit{Op: "link", Satellite: step, Key: key, Value: value})
		}
	}
	return edits, nil
}

func (t *tool) routeDropCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:     "drop STEP LINK...",
		Short:   "Take links away at run time",
		Example: "  dsatctl route drop cpu archive",
		Args:    atLeast(2, "STEP and LINK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var edits []control.Edit
			for _, link := range args[1:] {
				edits = append(edits, control.Edit{Op: "unlink", Satellite: args[0], Key: link})
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
		ValidArgsFunction: t.completeSteps,
	}
	f.add(cmd)
	return cmd
}

func (t *tool) routeMoveCommand() *cobra.Command {
	var f changeFlags
	percent := 100.0
	cmd := &cobra.Command{
		Use:   "move STEP OLD NEW",
		Short: "Send a share of what a link takes to another satellite",
		Long: `Send a share of what the link of STEP to OLD takes to NEW instead: a canary. Which messages these are is decided by a hash
of their task, or of their key where they have one: the same ones always, and what moves at 10 percent moves at 20 too.
With --percent 0 all goes to OLD again.`,
		Example: "  dsatctl route move cpu csv csv2 --percent 10",
		Args:    exactly("STEP", "OLD", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: []control.Edit{{Op: "move", Satellite: args[0], Key: args[1], Value: args[2], Percent: &percent}}}, f)
		},
		ValidArgsFunction: t.completeSteps,
	}
	cmd.Flags().Float64Var(&percent, "percent", 100, "how much of it, 0 to 100")
	f.add(cmd)
	return cmd
}

func (t *tool) routeMirrorCommand() *cobra.Command {
	var f changeFlags
	stop := false
	cmd := &cobra.Command{
		Use:   "mirror STEP [LINK] NAME",
		Short: "Send a copy of what a link takes to another satellite too",
		Long: `Send a copy of what a link of STEP takes to the satellite NAME too. LINK may be left out where STEP has one link only. A copy
is a message like any other: while the queue of NAME is full and blocks, STEP waits; full = "drop-newest" there prevents it.`,
		Example: "  dsatctl route mirror cpu csv audit\n  dsatctl route mirror cpu csv audit --stop",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly("STEP", "LINK", "NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			edit := control.Edit{Op: "mirror", Satellite: args[0], Value: args[len(args)-1]}
			if stop {
				edit.Op = "unmirror"
			}
			if len(args) == 3 {
				edit.Key = args[1]
			} else {
				link, err := t.onlyLink(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				edit.Key = link
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: []control.Edit{edit}}, f)
		},
		ValidArgsFunction: t.completeSteps,
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "send no copies any more")
	f.add(cmd)
	return cmd
}

// onlyLink is the link of a step that has one.
func (t *tool) onlyLink(ctx context.Context, step string) (string, error) {
	client, err := t.client()
	if err != nil {
		return "", err
	}
	all, err := client.Tee(nil).Routes(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range all.Steps {
		if s.Step != step {
			continue
		}
		if len(s.Links) == 1 {
			return s.Links[0].To, nil
		}
		var names []string
		for _, l := range s.Links {
			names = append(names, l.To)
		}
		return "", usageError(fmt.Sprintf("cannot tell which link of %s is meant: it has %s; say dsatctl route mirror %s LINK NAME", step, strings.Join(names, ", "), step))
	}
	return "", &control.Error{Kind: control.KindNotFound, Message: fmt.Sprintf("cannot find links of %q", step)}
}

func (t *tool) routeResetCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "reset STEP...",
		Short: "Go back to the links of the files",
		Args:  atLeast(1, "STEP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var edits []control.Edit
			for _, step := range splitNames(args) {
				edits = append(edits, control.Edit{Op: "relink", Satellite: step})
			}
			return t.apply(cmd.Context(), control.ChangeRequest{Edits: edits}, f)
		},
		ValidArgsFunction: t.completeNames,
	}
	f.add(cmd)
	return cmd
}
