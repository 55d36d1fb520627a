package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const legacyHelp = `Print the door for satellites of DSAT 0.6, [bus.v1]: each endpoint with what came and went through it, what waits, and
the vectors that were malformed or refused with their reasons; below it the satellites that speak v1: what they were
sent and have not acknowledged, what they handle, their ERRORs, reports about what nobody has in hand (LATE) and second
HAPPY_ENDs (TWICE), reports about what other satellites sent them (SEEN), and for each process how long it is silent.`

func (t *tool) legacyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "legacy",
		Aliases: []string{"v1"},
		Short:   "Print the door for satellites of DSAT 0.6",
		Long:    legacyHelp,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return answered(cmd.Context(), t, (*control.Client).Legacy, func(all *control.Legacy) string {
				if len(all.Ports) == 0 {
					t.note("the topology has no [bus.v1]")
					return ""
				}
				return legacyText(all, t.paint())
			})
		},
	}
}

func legacyText(all *control.Legacy, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"LINK", "ENDPOINT", "DSATD", "IN", "OUT", "WAITING", "MALFORMED", "REFUSED"}}
	for i := range all.Ports {
		p := &all.Ports[i]
		how := "connects"
		if p.Bound {
			how = "binds"
		}
		waiting := number(strconv.Itoa(p.Waiting))
		if p.Paused {
			waiting.color = yellow
		}
		rows.add(text(strings.Join(p.Links, " ")), text(p.Endpoint), text(how+" "+p.Socket+" as "+p.End), number(grouped(p.In)), number(grouped(p.Out)),
			waiting, bad(p.Malformed), bad(p.Refused))
	}
	rows.write(&b, paint)
	for i := range all.Ports {
		if p := &all.Ports[i]; p.Last != "" {
			fmt.Fprintf(&b, "%s: the last one not taken: %s\n", p.Links[0], printable(p.Last))
		}
	}
	b.WriteString("\n")
	rows = table{head: []string{"STEP", "SENT", "HANDLED", "ERRORS", "LATE", "TWICE", "SEEN", "PID", "SILENT"}}
	for _, e := range all.Steps {
		sent := number(strconv.Itoa(e.Sent))
		if !e.Fed {
			sent.text = "-"
		} else if e.Doubted > 0 {
			sent.text += fmt.Sprintf(" (%d in doubt)", e.Doubted)
		}
		rows.add(text(e.Name), sent, number(strconv.Itoa(e.Handled)), number(grouped(e.Errors)), number(grouped(e.Late)), number(grouped(e.Twice)), number(grouped(e.Seen)), number(""), number(""))
		for _, l := range e.Lives {
			rows.add(text("  "+l.Instance), number(""), number(strconv.Itoa(l.Handled)), number(""), number(""), number(""), number(""), number(strconv.Itoa(l.PID)), number(ageSeconds(l.Silent)))
		}
	}
	rows.write(&b, paint)
	return b.String()
}

// bad is the number of all, with its parts.
func bad(by map[string]uint64) cell {
	sum, parts := uint64(0), []string(nil)
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		sum += by[reason]
		parts = append(parts, reason+" "+grouped(by[reason]))
	}
	c := number(grouped(sum))
	if sum > 0 {
		c.text += " (" + strings.Join(parts, ", ") + ")"
		c.color = yellow
	}
	return c
}
