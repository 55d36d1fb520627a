package main

import (
	"strings"
	"testing"
	"time"
)

func TestMoments(t *testing.T) {
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 23, 20, 30, 15, 500, zone)
	for text, want := range map[string]string{
		"10m": "2026-11-23T20:20:15+01:00", "0s": "2026-11-23T20:30:15+01:00", "08:05": "2026-11-23T08:05:00+01:00", "08:05:06": "2026-11-23T08:05:06+01:00",
		"2026-01-02": "2026-01-02T00:00:00+01:00", "2026-01-02 03:04": "2026-01-02T03:04:00+01:00", "2026-01-02 03:04:05": "2026-01-02T03:04:05+01:00",
		"2026-01-02T03:04:05.5Z": "2026-01-02T03:04:05Z", "yesterday": "", "-5m": "", "": "", "24:00": "",
	} {
		got, err := moment(text, now)
		if want == "" && err == nil || want != "" && (err != nil || got.Format(time.RFC3339) != want) {
			t.Errorf("%q: %s %v", text, got.Format(time.RFC3339), err)
		}
	}
}

func TestLogFlags(t *testing.T) {
	now := time.Now()
	q, err := (&logOptions{instance: 2, since: "1h", grep: "a.b", stream: "stderr"}).query([]string{"cpu", "web:0"}, now)
	if err != nil || strings.Join(q.Names, " ") != "cpu:2 web:0" || q.N != -1 || !q.Since.Equal(now.Add(-time.Hour)) || q.Grep != "a.b" || q.Stream != "stderr" {
		t.Errorf("%+v %v", q, err)
	}
	if q, err := (&logOptions{instance: -1, until: "1h", n: "7"}).query([]string{"cpu"}, now); err != nil || q.N != 7 || q.Names[0] != "cpu" {
		t.Errorf("%+v %v", q, err)
	}
	for _, o := range []logOptions{{n: "-1"}, {n: "x"}, {since: "soon"}, {until: "later"}, {stream: "stdin"}} {
		if _, err := o.query([]string{"cpu"}, now); err == nil {
			t.Errorf("%+v", o)
		}
	}
}
