package topology

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A job has defaults of its own, and keeps them through the effective file.
func TestScheduled(t *testing.T) {
	topo, err := loadText(t, `
[satellite.a]
command  = "a"
schedule = { nightly = { cron = "@daily", zone = "UTC" }, often = { every = "10m", jitter = "1m", overlap = "kill" } }
[satellite.b]
command   = "b"
schedule  = "*/5 * * * *"
restart   = "on-failure"
autostart = true
[satellite.c]
command  = "c"
schedule = { every = "1h", action = "restart" }
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name              string
		job, auto         bool
		policy            RestartPolicy
		schedules         int
		first             string
		calendar, overlap bool
	}{
		{"a", true, false, RestartNever, 2, "nightly", true, false},
		{"b", true, true, RestartOnFailure, 1, "", true, false},
		{"c", false, true, RestartAlways, 1, "", false, false},
	} {
		s := topo.Satellite(want.name)
		if s.Scheduled() != want.job || s.Autostart != want.auto || s.Restart.Policy != want.policy || len(s.Schedules) != want.schedules || s.Schedules[0].Name != want.first || (s.Schedules[0].Calendar() != nil) != want.calendar {
			t.Errorf("%s: %+v", want.name, s)
		}
	}
	again, err := loadText(t, string(topo.Effective()))
	if err != nil {
		t.Fatalf("%v\n%s", err, topo.Effective())
	}
	for i, s := range topo.Satellites {
		if d := cmp.Diff(s.Schedules, again.Satellites[i].Schedules); d != "" {
			t.Errorf("%s: %s", s.Name, d)
		}
	}
}
