package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const socketsHelp = `Print the listening sockets that dsatd keeps open for satellites: the address, the descriptor it has in dsatd, the
connections that nobody has accepted yet and the most that may wait, whether it is open (on-demand: the next
connection starts a satellite; closed: nobody needs it now), and the instances that have it; in brackets those that
a connection would start. Below them the descriptors that instances have left for their next process.`

func (t *tool) socketsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sockets",
		Short: "Print the sockets kept for satellites",
		Long:  socketsHelp,
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return answered(cmd.Context(), t, (*control.Client).Sockets, func(all *control.Sockets) string {
				if len(all.Sockets)+len(all.Stored) == 0 {
					t.note("the topology has no sockets")
					return ""
				}
				return socketsText(all, t.paint())
			})
		},
	}
}

func socketsText(all *control.Sockets, paint bool) string {
	var b strings.Builder
	rows := table{head: []string{"SOCKET", "ADDRESS", "STATE", "FD", "WAITING", "BACKLOG", "HELD BY"}}
	for _, k := range all.Sockets {
		name, state := k.Name, text(k.State)
		if k.Instance != "" {
			name += " of " + k.Instance
		}
		switch k.State {
		case "open":
			state.color = green
		case "closed":
			state.color = faint
		}
		held := append([]string{}, k.Holders...)
		for _, l := range k.Listening {
			held = append(held, "("+l+")")
		}
		fd, waiting, backlog := number("-"), number(strconv.Itoa(k.Waiting)), number("-")
		if k.FD >= 0 {
			fd.text = strconv.Itoa(k.FD)
		}
		if k.Backlog > 0 {
			backlog.text = strconv.Itoa(k.Backlog)
		}
		if k.Waiting > 0 && len(k.Holders) == 0 {
			waiting.color = yellow
		}
		rows.add(text(name), text(k.Network+"://"+k.Address), state, fd, waiting, backlog, text(heldBy(held)))
	}
	if len(all.Sockets) > 0 {
		rows.write(&b, paint)
	}
	for _, d := range all.Stored {
		fmt.Fprintf(&b, "stored for %s: %s\n", printable(d.Instance), printable(strings.Join(d.Names, ", ")))
	}
	return b.String()
}

func heldBy(who []string) string {
	const most = 8
	switch {
	case len(who) == 0:
		return "nobody"
	case len(who) > most:
		return strings.Join(who[:most], " ") + fmt.Sprintf(" and %d more", len(who)-most)
	}
	return strings.Join(who, " ")
}
