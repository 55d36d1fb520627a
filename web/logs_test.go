package web

import (
	"net/url"
	"testing"
	"time"
)

func TestLogQuery(t *testing.T) {
	now := time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC)
	get := func(text string) url.Values {
		v, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for text, n := range map[string]int{"": 100, "n=7": 7, "n=all": -1, "since=10m": -1, "until=0s&n=0": 0} {
		if q, err := logQuery(get(text), now); err != nil || q.Newest != n {
			t.Errorf("%s: %+v %v", text, q, err)
		}
	}
	q, err := logQuery(get("since=10m&until=2026-11-23T20:29:00.5Z&grep=a%2B&stream=stderr"), now)
	if err != nil || now.Sub(q.Since) != 10*time.Minute || now.Sub(q.Until) != 59500*time.Millisecond || !q.Grep.MatchString("aa") || q.Stream != "stderr" {
		t.Errorf("%+v %v", q, err)
	}
	for _, text := range []string{"n=-1", "n=x", "since=soon", "since=-5m", "until=2026", "grep=(", "stream=stdin"} {
		if _, err := logQuery(get(text), now); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
