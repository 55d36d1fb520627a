package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const statusHelp = `Print what runs and what should: per satellite what is wanted, its state, instances ready and wanted,
pid, restarts that nobody asked for, how long it has been so, messages waiting for it (for a retry too) and in
its hands.
Below: why it is not as wanted, and the ledger of all messages.

It exits with 0 whenever the daemon answers. With names and --json the answer holds these satellites only.

With --boot it tells instead how the start of this daemon went: first the chain of waits that determined the total, the
last to be ready first, then each instance, the slowest first: how long it took from when nothing held it up, when it was
asked to start, let go, spawned and ready, and what it had to wait for.`

func (t *tool) statusCommand() *cobra.Command {
	verbose, boot := false, false
	cmd := &cobra.Command{
		Use:               "status [NAME...]",
		Aliases:           []string{"ps", "ls"},
		Short:             "Print what runs and what should",
		Long:              statusHelp,
		ValidArgsFunction: t.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if boot {
				return t.boot(cmd.Context(), splitNames(args))
			}
			return t.status(cmd.Context(), splitNames(args), verbose)
		},
	}
	cmd.Flags().BoolVar(&boot, "boot", false, "how long the start took, and which waits determined that")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "every instance on a line of its own")
	return cmd
}

func (t *tool) status(ctx context.Context, names []string, verbose bool) error {
	socket, err := t.socketPath()
	if err != nil {
		return err
	}
	client := control.Dial(socket)
	if t.json && len(names) == 0 {
		client = client.Tee(t.out)
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if status.Satellites, err = chosen(status.Satellites, names); err != nil {
			return err
		}
		verbose = verbose || slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, ":") })
	}
	if t.json {
		if len(names) == 0 {
			return nil
		}
		return json.NewEncoder(t.out).Encode(status)
	}
	var b strings.Builder
	view := statusView{status: status, now: t.now(), paint: t.paint(), verbose: verbose, partial: len(names) > 0}
	view.write(&b)
	_, err = t.out.WriteString(b.String())
	return err
}

// statusView prints a status.
type statusView struct {
	status  *control.Status
	now     time.Time
	paint   bool
	verbose bool
	partial bool // of some satellites: without what concerns all
}

func (v *statusView) write(b *strings.Builder) {
	if !v.partial {
		v.daemon(b)
	}
	if len(v.status.Satellites) > 0 {
		gap(b)
		v.satellites(b)
	}
	v.schedules(b)
	v.reasons(b)
	if l := v.status.Ledger; l != nil && !v.partial {
		gap(b)
		b.WriteString(ledgerLine(l, v.paint) + "\n")
	}
	if j := v.status.Journal; j != nil && !v.partial {
		b.WriteString(journalLine(j, v.paint) + "\n")
	}
}

// journalLine is how the disk of durable queues is.
func journalLine(j *control.JournalBrief, paint bool) string {
	line := fmt.Sprintf("journal: %s on disk, %s on the way", size(j.Bytes), size(j.Pending))
	if j.Full {
		line += "; " + colored("durable queues take nothing new: "+printable(j.Fault), red, paint)
	}
	return line
}

// gap parts what follows from what stands above.
func gap(b *strings.Builder) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
}

func (v *statusView) daemon(b *strings.Builder) {
	s := v.status
	state := s.State
	switch {
	case s.State == "running" && s.Ready:
		state = colored("ready", green, v.paint)
	case s.State == "running":
		state = colored("not ready", yellow, v.paint)
	}
	fmt.Fprintf(b, "%s  %s  pid %d  up %s", colored(printable(s.Name), bold, v.paint), state, s.PID, age(v.now.Sub(s.Since)))
	if s.HTTP != "" {
		fmt.Fprintf(b, "  http://%s", printable(s.HTTP))
	}
	b.WriteByte('\n')
}

func (v *statusView) satellites(b *strings.Builder) {
	t := table{rows: make([][]cell, 0, len(v.status.Satellites)), head: []string{"NAME", "WANT", "STATE", "INSTANCES", "PID", "RESTARTS", "SINCE", "WAITING", "INFLIGHT"}}
	for i := range v.status.Satellites {
		s := &v.status.Satellites[i]
		t.add(v.satelliteRow(s)...)
		if len(s.Instances) < 2 && !v.verbose {
			continue
		}
		for _, i := range s.Instances {
			t.add(text("  "+s.Name+":"+strconv.Itoa(i.WID)), text(""), cell{text: i.State, color: stateColor(i.State)}, number(""),
				number(pidOf(i.PID)), number(grouped(i.Restarts)), number(v.since(i.Since)), number(""), number(""))
		}
	}
	t.write(b, v.paint)
}

func (v *statusView) satelliteRow(s *control.Satellite) []cell {
	ready, restarts, pid := 0, 0, 0
	var latest time.Time
	for _, i := range s.Instances {
		if i.State == "running" {
			ready++
		}
		restarts += i.Restarts
		if i.Since.After(latest) {
			latest = i.Since
		}
		pid = i.PID
	}
	if len(s.Instances) > 1 {
		pid = 0
	}
	wanted := len(s.Instances)
	if s.Want != "up" {
		wanted = 0
	}
	held, flying := "-", "-"
	if q := s.Queue; q != nil {
		held, flying = grouped(q.Waiting+q.Held), grouped(q.InFlight)
	}
	return []cell{text(s.Name), text(s.Want), {text: s.State, color: stateColor(s.State)},
		number(strconv.Itoa(ready) + "/" + strconv.Itoa(wanted)), number(pidOf(pid)), number(grouped(restarts)), number(v.since(latest)),
		number(held), number(flying)}
}

func (v *statusView) since(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return age(v.now.Sub(at))
}

func pidOf(pid int) string {
	if pid == 0 {
		return "-"
	}
	return strconv.Itoa(pid)
}

// reasons are the sentences why something is not as wanted: of its instances where they have some, else of the satellite.
func (v *statusView) reasons(b *strings.Builder) {
	first := true
	say := func(who, why, color string) {
		if first {
			gap(b)
		}
		first = false
		fmt.Fprintf(b, "%s: %s\n", colored(printable(who), color, v.paint), printable(why))
	}
	for _, s := range v.status.Satellites {
		for _, i := range s.Instances {
			if i.LogLost > 0 {
				say(s.Name+":"+strconv.Itoa(i.WID), grouped(int(i.LogLost))+" lines of its output are not in its log file: the disk was full or too slow", yellow)
			}
			if i.LogDropped > 0 {
				say(s.Name+":"+strconv.Itoa(i.WID), grouped(int(i.LogDropped))+" lines of its output were dropped above log.rate", yellow)
			}
		}
		told := false
		for _, i := range s.Instances {
			if i.Said != "" && (v.verbose || i.State != "running") {
				say(s.Name+":"+strconv.Itoa(i.WID), "says "+strconv.Quote(i.Said), stateColor(i.State))
			}
			if i.Why == "" || i.State == wantedState(s.Want) {
				continue
			}
			told = true
			say(s.Name+":"+strconv.Itoa(i.WID), i.Why, stateColor(i.State))
		}
		if s.Why != "" && !told {
			say(s.Name, s.Why, stateColor(s.State))
		}
	}
}

func wantedState(want string) string {
	if want == "up" {
		return "running"
	}
	return "stopped"
}
