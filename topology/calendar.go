package topology

import (
	"time"

	"github.com/netresearch/go-cron"
)

const (
	allHours = 1<<24 - 1
	starred  = 1 << 63 // the library's mark of a field that was written as *
	// horizon is how far a day is looked for: weekdays of 29 February repeat after 40 years at the latest.
	horizon = 41 * 365 * 24 * time.Hour
)

// Next is the first time after t that it is due; zero when there is none. It is exact over changes of the zone's offset:
//
//   - An expression that names hours is about the clock on the wall. A time that does not exist, because the clock is put forward
//     over it, is due at the moment the clock is put forward, once for all such times. A time that comes twice is due the first time.
//   - One with * for the hour goes on every hour, whatever the clock on the wall is put to: no time is made up, and none is left out.
func (c *Calendar) Next(t time.Time) time.Time {
	end := t.Add(horizon)
	for from := t.Add(1).In(c.zone); from.Before(end); {
		began, until := from.ZoneBounds()
		_, offset := from.Zone()
		first := wall(from, offset)
		if before, ok := offsetBefore(began); ok && c.fixed {
			if shown := wall(began, before); shown.After(first) {
				first = shown // what the clock has shown already is over
			}
		}
		if until.IsZero() || until.After(end) {
			until = end
		}
		limit := wall(until, offset)
		if due, ok := c.match(first, limit); ok {
			return due.Add(-time.Duration(offset) * time.Second).In(c.zone)
		}
		if _, then := until.In(c.zone).Zone(); c.fixed && then > offset {
			if _, missing := c.match(limit, wall(until, then)); missing {
				return until.In(c.zone)
			}
		}
		from = until
	}
	return time.Time{}
}

// wall is what a clock shows at an instant, as if it were UTC.
func wall(t time.Time, offset int) time.Time { return t.UTC().Add(time.Duration(offset) * time.Second) }

// offsetBefore is the offset until a change of it.
func offsetBefore(change time.Time) (int, bool) {
	if change.IsZero() {
		return 0, false
	}
	_, offset := change.Add(-1).Zone()
	return offset, true
}

// match finds the first time from one and before another that the fields name. Both are readings of a clock, in UTC.
func (c *Calendar) match(from, limit time.Time) (time.Time, bool) {
	t := from.Truncate(time.Minute)
	if t.Before(from) {
		t = t.Add(time.Minute)
	}
	for t.Before(limit) {
		switch {
		case c.spec.Month&(1<<uint(t.Month())) == 0:
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case !c.day(t):
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		case c.spec.Hour&(1<<uint(t.Hour())) == 0:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case c.spec.Minute&(1<<uint(t.Minute())) == 0:
			t = t.Add(time.Minute)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}

// day is crontab(5)'s rule: of two day fields that both say something, one is enough.
func (c *Calendar) day(t time.Time) bool {
	s := c.spec
	ofMonth := s.Dom&(1<<uint(t.Day())) != 0
	for _, d := range s.DomConstraints {
		ofMonth = ofMonth || t.Day() == dayMeant(d, t)
	}
	ofWeek := cron.NormalizeDOW(s.Dow)&(1<<uint(t.Weekday())) != 0
	for _, d := range s.DowConstraints {
		nth := (t.Day() + 6) / 7
		ofWeek = ofWeek || d.Weekday == int(t.Weekday()) && (d.N == nth || d.N < 0 && t.Day()+7 > lastDay(t))
	}
	if (s.Dom|s.Dow)&starred != 0 {
		return ofMonth && ofWeek
	}
	return ofMonth || ofWeek
}

func lastDay(t time.Time) int { return time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day() }

// dayMeant is the day that L, L-3, LW or 15W is in the month of t; 0 when it has none.
func dayMeant(d cron.DomConstraint, t time.Time) int {
	last := lastDay(t)
	day := last
	switch d.Type {
	case cron.DomLast:
		return last
	case cron.DomLastOffset:
		return max(last-d.N, 0)
	case cron.DomNearestWeekday:
		if day = d.N; day > last {
			return 0
		}
	}
	switch time.Date(t.Year(), t.Month(), day, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if day == 1 {
			return 3
		}
		return day - 1
	case time.Sunday:
		if day == last {
			return day - 2
		}
		return day + 1
	}
	return day
}
