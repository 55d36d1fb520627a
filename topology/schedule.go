package topology

import (
	"strings"
	"syscall"
	"time"
)

// Schedule is when something is done to a satellite. Either Cron or Every is set.
type Schedule struct {
	Name    string        // "" where a satellite has one that was given none
	Cron    string        // five fields, or @daily and the like; see NewCalendar
	Zone    string        // of Cron: a name of the IANA data base; "" is the zone of the machine
	Every   time.Duration // after the run before
	Jitter  time.Duration // each run is late by up to so much, at random
	Overlap Overlap
	Missed  Missed
	Action  Action
}

// Overlap says what a run does that finds the one before not over.
type Overlap string

// The closed set of Overlap.
const (
	OverlapSkip  Overlap = "skip"  // it is left out (default)
	OverlapQueue Overlap = "queue" // it follows at once when the one before is over; one waits at most
	OverlapKill  Overlap = "kill"  // the one before is stopped, and this one takes its place
)

// Missed says what becomes of runs whose time passed while dsatd did not run, or the machine slept.
type Missed string

// The closed set of Missed.
const (
	MissedSkip Missed = "skip" // nothing (default)
	MissedOnce Missed = "once" // one run for all of them, at once
	MissedAll  Missed = "all"  // a run for each, one after the other, up to MissedMost
)

// MissedMost is how many missed runs are made up.
const MissedMost = 100

// Action is what a schedule does: one of these, or "signal:NAME".
type Action string

// The actions without a value.
const (
	ActionStart   Action = "start"   // runs the satellite (default)
	ActionRestart Action = "restart" // restarts it where it is up, one instance after the other
)

// Signal is the signal that is sent to the satellite where it is up; false when the action is another.
func (a Action) Signal() (syscall.Signal, bool) {
	name, is := strings.CutPrefix(string(a), "signal:")
	sig, known := signals()[name]
	return sig, is && known
}

// Calendar is when a schedule with Cron is due; nil for one with Every.
func (s Schedule) Calendar() *Calendar {
	if s.Cron == "" {
		return nil
	}
	c, err := NewCalendar(s.Cron, s.Zone)
	if err != nil {
		return nil // a topology that was loaded holds none of these
	}
	return c
}

// Scheduled reports whether a schedule runs the satellite: it is a job, which is over after each run.
func (s *Satellite) Scheduled() bool {
	for _, t := range s.Schedules {
		if t.Action == ActionStart {
			return true
		}
	}
	return false
}
