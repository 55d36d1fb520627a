package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

// schedules are what runs by itself: when next, and how the last run ended.
func (v *statusView) schedules(b *strings.Builder) {
	t := table{head: []string{"SCHEDULE", "WHEN", "ACTION", "NEXT", "LAST RUN", "RESULT"}}
	for _, s := range v.status.Satellites {
		for _, e := range s.Schedules {
			t.add(v.scheduleRow(&s, &e)...)
		}
	}
	if len(t.rows) == 0 {
		return
	}
	gap(b)
	t.write(b, v.paint)
	first := true
	for _, s := range v.status.Satellites {
		for _, e := range s.Schedules {
			if e.Note == "" && e.Owed == 0 {
				continue
			}
			if first {
				gap(b)
			}
			first = false
			fmt.Fprintf(b, "%s: %s\n", colored(printable(scheduleName(&s, &e)), yellow, v.paint), printable(scheduleNote(&e)))
		}
	}
}

func scheduleName(s *control.Satellite, e *control.Schedule) string {
	if e.Name == "" {
		return s.Name
	}
	return s.Name + "." + e.Name
}

func scheduleNote(e *control.Schedule) string {
	if e.Owed == 0 {
		return e.Note
	}
	text := fmt.Sprintf("%d missed runs are made up", e.Owed)
	if e.Note != "" {
		text = e.Note + "; " + text
	}
	return text
}

func (v *statusView) scheduleRow(s *control.Satellite, e *control.Schedule) []cell {
	when := e.Cron
	if when == "" {
		when = "every " + (time.Duration(e.Every * float64(time.Second))).String()
	}
	next := "never"
	if !e.Next.IsZero() {
		next = e.Next.Local().Format("2006-01-02 15:04:05") + ", in " + age(max(0, e.Next.Sub(v.now)))
	}
	last, result := cell{text: "-"}, cell{text: "-"}
	if r := s.LastRun; r != nil && e.Action == "start" {
		last = text(age(v.now.Sub(r.Began)) + " ago")
		switch {
		case r.Ended.Before(r.Began):
			result = cell{text: "runs", color: green}
		case r.Well:
			result = cell{text: r.Result, color: green}
		default:
			result = cell{text: r.Result, color: red}
		}
	} else if e.Action != "start" && !e.Last.IsZero() {
		last = text(age(v.now.Sub(e.Last)) + " ago")
	}
	return []cell{text(scheduleName(s, e)), text(when), text(e.Action), text(next), last, result}
}
