package main

import (
	"testing"
	"time"
)

func TestTimesToCome(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"":                     "0001-01-01T00:00:00Z",
		"13:30":                "2026-03-01T13:30:00Z",
		"11:30":                "2026-03-02T11:30:00Z", // tomorrow's
		"2026-03-05 08:00":     "2026-03-05T08:00:00Z",
		"2026-03-01T11:00:00Z": "2026-03-01T11:00:00Z", // the daemon says what it thinks of that
		"10s":                  "",
		"soon":                 "",
	} {
		at, err := coming("at", text, now)
		if (err != nil) != (want == "") || err == nil && at.Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v, want %s", text, at, err, want)
		}
	}
}
