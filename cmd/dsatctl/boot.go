package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

// boot prints how the start of the daemon went, of all or of some.
func (t *tool) boot(ctx context.Context, names []string) error {
	socket, err := t.socketPath()
	if err != nil {
		return err
	}
	client := control.Dial(socket)
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	b, err := client.Boot(ctx)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		kept, err := chosen(status.Satellites, names)
		if err != nil {
			return err
		}
		wanted := make(map[string]bool)
		for _, s := range kept {
			for _, i := range s.Instances {
				wanted[s.Name+":"+strconv.Itoa(i.WID)] = true
			}
		}
		b.Instances = slices.DeleteFunc(b.Instances, func(in control.BootInstance) bool { return !wanted[in.Name] })
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(b)
	}
	if len(b.Instances) == 0 {
		t.note("nothing of that was started with the daemon")
		return nil
	}
	_, err = t.out.WriteString(bootText(b, len(names) > 0, t.paint()))
	return err
}

func bootText(b *control.Boot, partial, paint bool) string {
	var out strings.Builder
	if !partial {
		bootChain(&out, b, paint)
	}
	slices.SortStableFunc(b.Instances, func(x, y control.BootInstance) int { return cmp.Compare(y.Took, x.Took) })
	rows := table{head: []string{"INSTANCE", "TOOK", "ASKED", "OPENED", "SPAWNED", "READY", "STATE", "WAITED FOR"}}
	for _, in := range b.Instances {
		took := "-"
		if in.Ready != nil {
			took = seconds(in.Took)
		}
		state := in.State
		if in.Spawns > 1 {
			state += fmt.Sprintf(", start %d", in.Spawns)
		}
		rows.add(text(in.Name), number(took), number(seconds(in.Asked)), number(sinceBoot(in.Opened)), number(sinceBoot(in.Spawned)), number(sinceBoot(in.Ready)),
			cell{text: state, color: bootColor(in.State)}, text(bootWaits(&in)))
	}
	rows.write(&out, paint)
	return out.String()
}

// bootChain is the critical path, the last to be ready first.
func bootChain(out *strings.Builder, b *control.Boot, paint bool) {
	word := "took"
	if !b.Over {
		word = "goes on, and took so far"
	}
	fmt.Fprintf(out, "the start of %d instances %s %s\n", len(b.Instances), word, colored(seconds(b.Total), bold, paint))
	if b.StartConcurrency > 0 {
		fmt.Fprintf(out, "start_concurrency let %d of them start at once\n", b.StartConcurrency)
	}
	byName := make(map[string]*control.BootInstance, len(b.Instances))
	for n := range b.Instances {
		byName[b.Instances[n].Name] = &b.Instances[n]
	}
	for depth, name := range b.Chain {
		in := byName[name]
		if in == nil || in.Ready == nil {
			continue
		}
		fmt.Fprintf(out, "%s%s  ready at %s, took %s", strings.Repeat("  ", depth+1), colored(printable(name), bold, paint), seconds(*in.Ready), seconds(in.Took))
		if n := len(in.Waits); n > 0 && depth+1 < len(b.Chain) {
			fmt.Fprintf(out, ", waited for %s", printable(waitWords(&in.Waits[n-1])))
		}
		out.WriteString("\n")
	}
	out.WriteString("\n")
}

// bootWaits are what held it up, and how long.
func bootWaits(in *control.BootInstance) string {
	var all []string
	for _, w := range in.Waits {
		text := waitWords(&w)
		if w.Until != nil {
			text += " " + seconds(*w.Until-w.From)
		} else {
			text += ", still"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func waitWords(w *control.BootWait) string {
	switch {
	case w.For == "place" && len(w.By) > 0:
		return "a place (" + heldBy(w.By) + ")"
	case w.For == "place":
		return "a place"
	case w.For == "group":
		return "its group"
	}
	return w.For
}

func bootColor(state string) string {
	switch state {
	case "ready", "done", "taken back":
		return green
	case "failed":
		return red
	}
	return yellow
}

func sinceBoot(at *float64) string {
	if at == nil {
		return "-"
	}
	return seconds(*at)
}

// seconds keeps milliseconds below a minute.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second)).Round(time.Millisecond)
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	return d.String()
}
