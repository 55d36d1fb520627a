package supervisor

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// watch is a machine whose clocks a test turns.
type watch struct{ clocks }

func newWatch(t *testing.T, at string) *watch {
	t.Helper()
	wall, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	return &watch{clocks{wall: wall, boot: 1000 * time.Hour}}
}

func (w *watch) pass(d time.Duration) { w.wall, w.boot = w.wall.Add(d), w.boot+d }

// live turns a schedule once a minute for so long, and says when it ran.
func (w *watch) live(e *scheduled, d time.Duration) (runs []string) {
	for range int(d / time.Minute) {
		w.pass(time.Minute)
		if e.turn(w.clocks, 0, 0) {
			runs = append(runs, w.wall.In(e.calendar.Next(w.wall).Location()).Format("15:04Z07"))
		}
	}
	return runs
}

// A clock that is set: an expression that names hours has each of them once, as over a change of summer time; one that goes on every
// hour follows the time that passes.
func TestScheduleClockIsSet(t *testing.T) {
	for _, c := range []struct {
		name, cron string
		put        time.Duration
		want       string // runs from 11:30, when the clock is put at 12:10, to three hours later
	}{
		{"not set", "0 12,13,14 * * *", 0, "12:00Z 13:00Z 14:00Z"},
		{"back an hour: not again", "0 12,13,14 * * *", -time.Hour, "12:00Z 13:00Z"},
		{"forward an hour: made up at once", "0 12,13,14 * * *", time.Hour, "12:00Z 13:11Z 14:00Z"},
		{"back a day: begins anew", "0 12,13,14 * * *", -24 * time.Hour, "12:00Z 13:00Z 14:00Z"},
		{"forward a day: what was missed is left out", "0 12,13,14 * * *", 24 * time.Hour, "12:00Z 13:00Z 14:00Z"},
		{"every hour, back", "0 * * * *", -time.Hour, "12:00Z 12:00Z 13:00Z"},
		{"every hour, forward", "0 * * * *", time.Hour, "12:00Z 14:00Z 15:00Z"},
	} {
		w := newWatch(t, "2026-05-05T11:30:00Z")
		e := &scheduled{plan: topology.Schedule{Cron: c.cron, Zone: "UTC", Missed: topology.MissedSkip}}
		e.begin(w.clocks, time.Time{}, 0)
		runs := w.live(e, 40*time.Minute)
		w.wall = w.wall.Add(c.put)
		w.pass(time.Minute)
		if e.turn(w.clocks, c.put, 0) {
			runs = append(runs, w.wall.Format("15:04Z07"))
		}
		runs = append(runs, w.live(e, 139*time.Minute)...)
		if got := strings.Join(runs, " "); got != c.want {
			t.Errorf("%s: %q ran at %s, want %s", c.name, c.cron, got, c.want)
		}
	}
}

func TestScheduleMissed(t *testing.T) {
	for _, c := range []struct {
		plan     topology.Schedule
		away     time.Duration
		run      bool
		owed     int
		nextFrom time.Duration // from the return to the next run
	}{
		{topology.Schedule{Cron: "0 * * * *", Missed: topology.MissedSkip}, 5*time.Hour + 30*time.Minute, false, 0, 30 * time.Minute},
		{topology.Schedule{Cron: "0 * * * *", Missed: topology.MissedOnce}, 5*time.Hour + 30*time.Minute, false, 1, 30 * time.Minute},
		{topology.Schedule{Cron: "0 * * * *", Missed: topology.MissedAll}, 5*time.Hour + 30*time.Minute, false, 5, 30 * time.Minute},
		{topology.Schedule{Cron: "0 * * * *", Missed: topology.MissedOnce}, 5 * time.Hour, true, 0, time.Hour},
		{topology.Schedule{Cron: "0 * * * *", Missed: topology.MissedAll}, 5 * time.Hour, true, 4, time.Hour},
		{topology.Schedule{Cron: "* * * * *", Missed: topology.MissedAll}, 1000 * time.Hour, true, topology.MissedMost, time.Minute},
		{topology.Schedule{Cron: "0 * * * *", Missed: topology.MissedSkip}, 59 * time.Second, false, 0, time.Hour - 59*time.Second},
		{topology.Schedule{Every: time.Hour, Missed: topology.MissedSkip}, 5*time.Hour + 30*time.Minute, false, 0, 30 * time.Minute},
		{topology.Schedule{Every: time.Hour, Missed: topology.MissedOnce}, 5*time.Hour + 30*time.Minute, false, 1, 30 * time.Minute},
		{topology.Schedule{Every: time.Hour, Missed: topology.MissedAll}, 5*time.Hour + 30*time.Minute, false, 5, 30 * time.Minute},
		{topology.Schedule{Every: time.Second, Missed: topology.MissedAll}, 30 * time.Second, true, 0, time.Second},
		{topology.Schedule{Every: time.Second, Missed: topology.MissedAll}, 1000 * time.Hour, true, 40, time.Second},
	} {
		c.plan.Zone = "UTC"
		for _, how := range []string{"asleep", "down"} {
			w := newWatch(t, "2026-05-05T12:00:00Z")
			e := &scheduled{plan: c.plan}
			e.begin(w.clocks, w.wall, 0)
			w.pass(c.away)
			if how == "down" {
				w.boot = time.Minute // of another boot
				e = &scheduled{plan: c.plan}
				e.begin(w.clocks, w.wall.Add(-c.away), 0)
			}
			run := e.turn(w.clocks, 0, 0)
			if next := e.next(w.clocks).Sub(w.wall); run != c.run || e.owed != c.owed || next != c.nextFrom {
				t.Errorf("%+v, %s for %s: run %v, owed %d, next in %s; want %v, %d, %s", c.plan, how, c.away, run, e.owed, next, c.run, c.owed, c.nextFrom)
			}
		}
	}
}

// An interval longer than any dsatd lives has its run all the same.
func TestScheduleShortLives(t *testing.T) {
	w := newWatch(t, "2026-05-05T12:00:00Z")
	e := &scheduled{plan: topology.Schedule{Every: 24 * time.Hour}}
	for day := range 2 {
		for range 3 {
			e = &scheduled{plan: e.plan, seen: e.seen}
			e.begin(w.clocks, time.Time{}, 0)
			if e.turn(w.clocks, 0, 0) != (day == 1) {
				t.Fatalf("on day %d at %s it is due in %s", day, w.wall, e.next(w.clocks).Sub(w.wall))
			} else if day == 1 {
				return
			}
			w.pass(8 * time.Hour)
		}
	}
	t.Fatal("never ran")
}

// Whatever the clocks do, a schedule neither stops for ever nor runs more often than it is asked; an interval does not care for the wall.
func TestScheduleAnyClock(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := topology.Schedule{Zone: "Europe/Vienna", Missed: topology.MissedSkip, Jitter: time.Duration(rapid.IntRange(0, 120).Draw(rt, "jitter")) * time.Second}
		if rapid.Bool().Draw(rt, "interval") {
			plan.Every = time.Duration(rapid.IntRange(1, 7200).Draw(rt, "every")) * time.Second
		} else {
			plan.Cron = rapid.SampledFrom([]string{"*/7 * * * *", "30 2 * * *", "0 1-5 * * *", "@hourly"}).Draw(rt, "cron")
		}
		w := &watch{clocks{wall: time.Unix(int64(rapid.IntRange(1_700_000_000, 1_800_000_000).Draw(rt, "from")), 0), boot: time.Hour}}
		e := &scheduled{plan: plan}
		e.begin(w.clocks, time.Time{}, 0.5)
		for range rapid.IntRange(1, 60).Draw(rt, "turns") {
			put := time.Duration(0)
			if rapid.IntRange(0, 4).Draw(rt, "set") == 0 {
				put = time.Duration(rapid.IntRange(-100_000, 100_000).Draw(rt, "put")) * time.Second
			}
			w.wall = w.wall.Add(put)
			w.pass(time.Duration(rapid.IntRange(0, 60).Draw(rt, "pass")) * time.Second)
			if put.Abs() < punctual {
				put = 0
			}
			run := e.turn(w.clocks, put, 0.5)
			next := e.next(w.clocks)
			longest := 28*time.Hour + plan.Jitter
			if plan.Every > 0 {
				longest = plan.Every + plan.Jitter
			}
			if next.IsZero() || next.Sub(w.wall) > longest || !next.After(w.wall) {
				rt.Fatalf("%+v at %s: the next run is at %s", plan, w.wall, next)
			}
			if again := e.turn(w.clocks, 0, 0.5); run && again {
				rt.Fatalf("%+v at %s: ran twice", plan, w.wall)
			}
		}
	})
}
