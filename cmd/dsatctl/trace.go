package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

// traceWidth is the columns of the drawing.
const traceWidth = 50

// traceText draws a task over time, a line for each message and one below it for each attempt that failed.
func traceText(task *control.Task, paint bool) string {
	var b strings.Builder
	whole := 0.0
	for _, h := range task.Hops {
		whole = max(whole, h.Admitted+h.Age, h.Ended)
	}
	began := ""
	if !task.Began.IsZero() {
		began = "  began " + task.Began.Local().Format("2006-01-02 15:04:05.000")
	}
	fmt.Fprintf(&b, "task %s  %s  %s open%s  %s in all\n", printable(task.ID), colored(printable(task.State), stateColor(task.State), paint), grouped(task.Open), began, instant(whole))
	if len(task.Hops) == 0 {
		return b.String()
	}
	b.WriteByte('\n')
	rows := table{head: []string{"HOP", "STEP", "AT", "", "WAITED", "IN HAND", "STATE"}}
	for n := range task.Hops {
		h := &task.Hops[n]
		step := h.Step
		if h.From != "" {
			step = h.From + " -> " + h.Step
		}
		waited, worked := spent(h)
		state := cell{text: h.State, color: stateColor(h.State)}
		if h.Attempts > 1 {
			state.text += " at attempt " + strconv.Itoa(h.Attempts)
		}
		rows.add(text(h.ID), text(step), number("+"+instant(h.Admitted)), text(bar(h, whole)), number(instant(waited)), number(instant(worked)), state)
	}
	rows.write(&b, paint)
	writeFailures(&b, task.Hops)
	return b.String()
}

// writeFailures tells of each attempt that failed, when and why.
func writeFailures(b *strings.Builder, hops []control.Hop) {
	for _, h := range hops {
		told := false
		for n, t := range h.Tries {
			if t.Failed == "" {
				continue
			}
			if !told {
				gap(b)
				told = true
			}
			fmt.Fprintf(b, "%s  attempt %d at %s, +%s to +%s: %s\n", printable(h.ID), n+1, printable(t.Instance), instant(t.Sent), instant(t.Ended), printable(t.Failed))
		}
		if !told && h.Reason != "" {
			fmt.Fprintf(b, "\n%s  %s\n", printable(h.ID), printable(h.Reason))
		}
	}
}

// spent is how long a message waited and how long it was in hand, seconds.
func spent(h *control.Hop) (waited, worked float64) {
	end := h.Admitted + h.Age
	for _, t := range h.Tries {
		until := t.Ended
		if until == 0 {
			until = end
		}
		worked += max(until-t.Sent, 0)
	}
	return max(h.Age-worked, 0), worked
}

// bar is a message over time. What took any time takes a column.
func bar(h *control.Hop, whole float64) string {
	line := []byte(strings.Repeat(" ", traceWidth))
	column := func(at float64) int {
		if whole <= 0 {
			return 0
		}
		return min(max(int(at/whole*traceWidth), 0), traceWidth-1)
	}
	draw := func(from, to float64, with byte) {
		for c := column(from); c <= column(to); c++ {
			line[c] = with
		}
	}
	end := h.Admitted + h.Age
	draw(h.Admitted, end, '.')
	for _, t := range h.Tries {
		switch {
		case t.Ended == 0:
			draw(t.Sent, end, '=')
		case t.Failed != "":
			draw(t.Sent, t.Ended, 'x')
		default:
			draw(t.Sent, t.Ended, '=')
		}
	}
	if h.Ended == 0 && (h.State == "waiting" || h.State == "held" || h.State == "in_flight") {
		line[column(end)] = '>'
	}
	return strings.TrimRight(string(line), " ")
}

// instant is a short time with three digits.
func instant(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
