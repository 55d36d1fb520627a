package supervisor

import (
	"time"

	"github.com/dsat/dsat/topology"
)

// A schedule goes by two clocks: that on the wall, which may be set at any moment, and one that counts since the machine was booted,
// in its sleep too, and cannot be set.
type clocks struct {
	wall time.Time
	boot time.Duration
}

const (
	punctual = time.Minute   // a run that is less late than this is in time
	farPut   = 3 * time.Hour // a clock that is put further than this was wrong before; by less it is as a change of summer time
)

// scheduled is a schedule and where it stands. It is pure: it is told the time.
type scheduled struct {
	satellite string
	plan      topology.Schedule
	calendar  *topology.Calendar // nil: it has an interval

	due  time.Time     // of a calendar: the next run, without jitter; zero: never
	at   time.Duration // of an interval: the same, by the clock that counts
	late time.Duration // the jitter of the next run
	last time.Time     // the newest run that was due, by the clock on the wall; zero: none
	seen time.Time     // when it began; an interval before its first run counts from then

	owed    int    // missed runs that are made up
	waiting bool   // a run waits for the end of the one before
	note    string // what became of the last run that did not take place; "": it did
}

// begin finds the first run. last is when the newest was due that an earlier daemon has seen; zero: none.
func (e *scheduled) begin(c clocks, last time.Time, roll float64) {
	e.calendar = e.plan.Calendar()
	known := !last.IsZero() && !last.After(c.wall.Add(farPut)) // else the clock was wrong then
	if known {
		e.last = last
	}
	e.late = e.jitter(roll)
	if e.seen.IsZero() || e.seen.After(c.wall) {
		e.seen = c.wall
	}
	if e.calendar == nil {
		from := e.seen // or it never ran under a dsatd that is replaced more often
		if known {
			from = last
		}
		e.at = c.boot + e.plan.Every - max(c.wall.Sub(from), 0)
		return
	}
	from := c.wall
	if known && (e.calendar.Fixed() || last.Before(from)) {
		from = last
	}
	e.due = e.calendar.Next(from)
}

func (e *scheduled) jitter(roll float64) time.Duration {
	return time.Duration(roll * float64(e.plan.Jitter))
}

// turn says whether a run is due now, and finds the next. put is by how much the clock on the wall was set since the turn before.
func (e *scheduled) turn(c clocks, put time.Duration, roll float64) (run bool) {
	var missed int
	if e.calendar == nil {
		run, missed = e.interval(c, roll)
	} else {
		run, missed = e.wall(c, put, roll)
	}
	switch {
	case missed == 0:
	case e.plan.Missed == topology.MissedOnce && !run:
		e.owed = 1
	case e.plan.Missed == topology.MissedAll:
		e.owed = min(e.owed+missed, topology.MissedMost)
	}
	return run
}

func (e *scheduled) wall(c clocks, put time.Duration, roll float64) (run bool, missed int) {
	fixed := e.calendar.Fixed()
	if put < -farPut || put < 0 && !fixed {
		e.due, e.late = e.calendar.Next(c.wall), e.jitter(roll)
	}
	over := time.Duration(0) // what the clock was put over, as at the beginning of summer time
	if put > 0 && put <= farPut {
		over = put
	}
	for n := 1; !e.due.IsZero() && !e.due.Add(e.late).After(c.wall); n++ {
		switch late := c.wall.Sub(e.due.Add(e.late)); {
		case late <= punctual:
			run = true
		case late <= punctual+over:
			run = run || fixed // one that goes on every hour has lost nothing
		default:
			missed++
		}
		from := e.due
		e.last = from
		if near := c.wall.Add(-punctual); n >= topology.MissedMost && from.Before(near) {
			from = near
		}
		e.due, e.late = e.calendar.Next(from), e.jitter(roll)
	}
	return run, missed
}

func (e *scheduled) interval(c clocks, roll float64) (run bool, missed int) {
	behind := c.boot - e.at - e.late
	if behind < 0 {
		return false, 0
	}
	passed := behind / e.plan.Every // before the newest
	run = behind-passed*e.plan.Every <= punctual
	if missed = int(min(passed, topology.MissedMost)); !run {
		missed++
	}
	if e.plan.Every < punctual {
		missed = max(0, missed-int(punctual/e.plan.Every))
	}
	e.at += (passed + 1) * e.plan.Every
	e.last, e.late = c.wall, e.jitter(roll)
	return run, missed
}

// next is when it is due, by the clock on the wall; zero: never.
func (e *scheduled) next(c clocks) time.Time {
	switch {
	case e.calendar == nil:
		return c.wall.Add(e.at + e.late - c.boot)
	case e.due.IsZero():
		return e.due
	}
	return e.due.Add(e.late)
}
