package topology

import (
	"strings"
	"testing"
	"time"
)

func calendar(t *testing.T, expression, zone string) *Calendar {
	t.Helper()
	c, err := NewCalendar(expression, zone)
	if err != nil {
		t.Fatalf("%q in %q: %v", expression, zone, err)
	}
	return c
}

// TestCalendarChanges is the promise of Next over changes of the clock: from a time, what follows, each with its offset.
func TestCalendarChanges(t *testing.T) {
	const vienna, york, howe, apia = "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
	for _, c := range []struct {
		name, zone, cron, from string
		want                   []string
	}{
		{"forward: once, right after the gap", vienna, "30 2 * * *", "2026-03-28T12:00+01:00",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"}},
		{"forward: all missing times together", vienna, "*/10 2 * * *", "2026-03-29T01:00+01:00",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"}},
		{"forward: a missing time and the one after the gap are one", vienna, "0 2,3 * * *", "2026-03-29T01:00+01:00",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"}},
		{"forward: every hour leaves nothing out and makes nothing up", vienna, "*/30 * * * *", "2026-03-29T01:00+01:00",
			[]string{"2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"}},
		{"forward: a minute of every hour", vienna, "15 * * * *", "2026-03-29T01:00+01:00",
			[]string{"2026-03-29T01:15+01:00", "2026-03-29T03:15+02:00"}},
		{"back: once, the first time", vienna, "30 2 * * *", "2026-10-24T12:00+02:00",
			[]string{"2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"}},
		{"back: the second pass is not the first", vienna, "30 2 * * *", "2026-10-25T02:00+01:00",
			[]string{"2026-10-26T02:30+01:00"}},
		{"back: the end of the double hour comes once", vienna, "0 3 * * *", "2026-10-25T00:00+02:00",
			[]string{"2026-10-25T03:00+01:00", "2026-10-26T03:00+01:00"}},
		{"back: every hour goes on", vienna, "*/30 * * * *", "2026-10-25T02:00+02:00",
			[]string{"2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-25T03:00+01:00"}},
		{"forward in New York", york, "30 2 * * *", "2026-03-07T12:00-05:00",
			[]string{"2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"}},
		{"back in New York", york, "0,59 1 * * *", "2026-11-01T00:00-04:00",
			[]string{"2026-11-01T01:00-04:00", "2026-11-01T01:59-04:00", "2026-11-02T01:00-05:00"}},
		{"half an hour forward", howe, "15 2 * * *", "2026-10-03T12:00+10:30",
			[]string{"2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"}},
		{"half an hour forward: what exists is due at its time", howe, "45 2 * * *", "2026-10-03T12:00+10:30",
			[]string{"2026-10-04T02:45+11:00"}},
		{"half an hour back", howe, "45 1 * * *", "2026-04-04T12:00+11:00",
			[]string{"2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"}},
		{"half an hour back: what comes once", howe, "15 1 * * *", "2026-04-04T12:00+11:00",
			[]string{"2026-04-05T01:15+11:00", "2026-04-06T01:15+10:30"}},
		{"half an hour back: every hour goes on", howe, "*/20 * * * *", "2026-04-05T01:30+11:00",
			[]string{"2026-04-05T01:40+11:00", "2026-04-05T01:40+10:30", "2026-04-05T02:00+10:30"}},
		{"a day that does not exist at all", apia, "0 12 30 12 *", "2011-12-29T12:00-10:00",
			[]string{"2011-12-31T00:00+14:00", "2012-12-30T12:00+14:00"}},
	} {
		now := moment(t, c.from)
		cal := calendar(t, c.cron, c.zone)
		for _, want := range c.want {
			next := cal.Next(now)
			if got := next.Format(momentFormat); got != want {
				t.Errorf("%s: %q in %s after %s: %s, want %s", c.name, c.cron, c.zone, now.Format(momentFormat), got, want)
			}
			now = next
		}
	}
}

const momentFormat = "2006-01-02T15:04-07:00"

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(momentFormat, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCalendarDays(t *testing.T) {
	for _, c := range []struct{ cron, from, want string }{
		{"*/5 * * * *", "2026-01-01T00:00+00:00", "2026-01-01T00:05+00:00"},
		{"@hourly", "2026-01-01T00:00+00:00", "2026-01-01T01:00+00:00"},
		{"@daily", "2026-01-01T00:00+00:00", "2026-01-02T00:00+00:00"},
		{"@weekly", "2026-01-01T00:00+00:00", "2026-01-04T00:00+00:00"},
		{"@monthly", "2026-01-01T00:00+00:00", "2026-02-01T00:00+00:00"},
		{"@yearly", "2026-01-01T00:00+00:00", "2027-01-01T00:00+00:00"},
		{"0 0 13 * FRI", "2026-01-01T00:00+00:00", "2026-01-02T00:00+00:00"}, // either day
		{"0 0 13 * *", "2026-01-01T00:00+00:00", "2026-01-13T00:00+00:00"},
		{"0 0 * * 7", "2026-01-01T00:00+00:00", "2026-01-04T00:00+00:00"},
		{"0 0 29 2 *", "2026-01-01T00:00+00:00", "2028-02-29T00:00+00:00"},
		{"0 0 29 2 *", "2096-03-01T00:00+00:00", "2104-02-29T00:00+00:00"},
		{"0 0 L * *", "2026-02-01T00:00+00:00", "2026-02-28T00:00+00:00"},
		{"0 0 L-2 * *", "2026-02-01T00:00+00:00", "2026-02-26T00:00+00:00"},
		{"0 0 LW * *", "2026-01-01T00:00+00:00", "2026-01-30T00:00+00:00"},
		{"0 0 15W * *", "2026-02-01T00:00+00:00", "2026-02-16T00:00+00:00"},
		{"0 0 1W * *", "2026-07-31T00:00+00:00", "2026-08-03T00:00+00:00"},
		{"0 0 * * FRI#3", "2026-01-01T00:00+00:00", "2026-01-16T00:00+00:00"},
		{"0 0 * * FRI#L", "2026-01-01T00:00+00:00", "2026-01-30T00:00+00:00"},
		{"0 22-2 * * *", "2026-01-01T00:30+00:00", "2026-01-01T01:00+00:00"},
		{"59 23 31 DEC *", "2026-12-31T23:59+00:00", "2027-12-31T23:59+00:00"},
	} {
		if got := calendar(t, c.cron, "UTC").Next(moment(t, c.from)).Format(momentFormat); got != c.want {
			t.Errorf("%q after %s: %s, want %s", c.cron, c.from, got, c.want)
		}
	}
}

func TestCalendarRefuses(t *testing.T) {
	for _, c := range []struct{ cron, zone, want string }{
		{"", "", "empty"},
		{" ", "", "empty"},
		{"* * * *", "", "4 fields"},
		{"* * * * * *", "", "6 fields"},
		{"60 * * * *", "", "60"},
		{"a * * * *", "", "a"},
		{", * * * *", "", "no such day"},
		{"* * * * ,", "", "no such day"},
		{"0 0 30 2 *", "", "no such day"},
		{"0 0 31 4,6,9,11 *", "", "no such day"},
		{"*/0 * * * *", "", "step"},
		{"@reboot", "", "autostart"},
		{"@every 1h", "", "every ="},
		{"@daily x", "", "nothing follows"},
		{"@dayly", "", "@dayly"},
		{"TZ=Europe/Vienna 0 0 * * *", "", "zone ="},
		{"TZ=", "", "zone ="},
		{"CRON_TZ=UTC", "", "zone ="},
		{"H * * * *", "", "h "},
		{"0 0 * * \x00", "", "character"},
		{"0 0 * * *", "Europe/Wien", "Europe/Wien"},
		{"0 0 * * *", "../../etc/passwd", "no zone"},
	} {
		if _, err := NewCalendar(c.cron, c.zone); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %q: %v, want %q in it", c.cron, c.zone, err, c.want)
		}
	}
}

// FuzzCron: no expression panics or hangs, and what is accepted is due at minutes that its fields name, in ascending order.
func FuzzCron(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "0 2 * * 1-5", "@hourly", "TZ=UTC * * * * *", "L * * * *", "0 0 L-3 * FRI#L", "1-59/7 22-2 15W,LW JAN-MAR 7", "- * * * *", "*/99999999999999999999 * * * *"} {
		f.Add(s, int64(1_774_740_000))
	}
	f.Fuzz(func(t *testing.T, expression string, at int64) {
		c, err := NewCalendar(expression, "Europe/Vienna")
		if err != nil {
			return
		}
		now := time.Unix(at%(1<<33), 0)
		for range 3 {
			next := c.Next(now)
			if next.IsZero() {
				return
			}
			if !next.After(now) || next.Second() != 0 && now.Year() > 1900 {
				t.Fatalf("%q after %s: %s", expression, now, next)
			}
			now = next
		}
	})
}
