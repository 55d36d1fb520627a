package probe

import (
	"testing"
	"time"
)

func TestParseTick(t *testing.T) {
	now := time.Unix(50, 0)
	told := Tick{Seq: 4, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for payload, want := range map[string]Tick{
		`{"seq":4,"time":"2026-01-02T03:04:05Z","missed":0}`: told,
		`hello`:            {Time: now},
		``:                 {Time: now},
		`{"seq":4}`:        {Time: now},
		`{"time":"today"}`: {Time: now},
	} {
		if got := ParseTick([]byte(payload), now); got != want {
			t.Errorf("%q: %+v, want %+v", payload, got, want)
		}
	}
}
