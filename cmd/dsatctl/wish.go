package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

// wishFlags are what may be asked of a message beyond being delivered.
type wishFlags struct {
	id, at, deadline string
	delay, ttl       time.Duration
	priority         int
}

func (w *wishFlags) declare(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.id, "id", "", "a name of the message, which is taken once where the queue has a window (queue.dedup)")
	f.DurationVar(&w.delay, "delay", 0, "give it to a worker only after so long")
	f.StringVar(&w.at, "at", "", "likewise, at a time: 15:04, \"2006-01-02 15:04\" or RFC 3339; a time of day that has passed is tomorrow's")
	f.DurationVar(&w.ttl, "ttl", 0, "its task must have ended after so long, else what is left of it expires")
	f.StringVar(&w.deadline, "deadline", "", "likewise, at a time")
	f.IntVar(&w.priority, "priority", 0, "0 to 9, the highest first, where the queue has levels (queue.priority)")
	cmd.MarkFlagsMutuallyExclusive("delay", "at")
	cmd.MarkFlagsMutuallyExclusive("ttl", "deadline")
}

func (w *wishFlags) options(now time.Time) (opt control.SendOptions, err error) {
	opt = control.SendOptions{ID: w.id, Delay: w.delay, TTL: w.ttl, Priority: w.priority}
	switch {
	case w.delay < 0 || w.ttl < 0:
		return opt, usageError("cannot send into the past: --delay and --ttl are durations from now on, like 10s")
	case w.priority < 0 || w.priority > 9:
		return opt, usageError(fmt.Sprintf("cannot send with priority %d: want 0 to 9", w.priority))
	}
	if opt.At, err = coming("at", w.at, now); err != nil {
		return opt, err
	}
	opt.Deadline, err = coming("deadline", w.deadline, now)
	return opt, err
}

// coming reads a time that is still to come.
func coming(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if _, err := time.ParseDuration(text); err == nil {
		return time.Time{}, usageError(fmt.Sprintf("cannot read --%s %q: want a time; for a duration there are --delay and --ttl", flag, text))
	}
	at, err := moment(text, now)
	if err != nil {
		return at, usageError(fmt.Sprintf("cannot read --%s %q: want a time like 15:04, \"2006-01-02 15:04\" or 2006-01-02T15:04:05Z", flag, text))
	}
	if len(text) <= len("15:04:05") && !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at, nil
}
