package web

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWhatIsAskedOfAMessage(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	for _, c := range []struct{ query, header, bad string }{
		{"id=a&delay=10s&ttl=1m&priority=9", "", ""},
		{"", "order-7", ""},
		{"at=" + in(time.Hour) + "&deadline=" + in(2*time.Hour), "", ""},
		{"at=" + in(-time.Hour), "", ""},
		{"deadline=" + in(-time.Hour), "", "is over"},
		{"at=tomorrow", "", "cannot read at"},
		{"delay=-1s", "", "cannot read delay"},
		{"ttl=10", "", "cannot read ttl"},
		{"delay=1s&at=" + in(0), "", "at once"},
		{"priority=high", "", "cannot read priority"},
	} {
		r := httptest.NewRequest("POST", "/v1/send/x?"+c.query, nil)
		r.Header.Set("Idempotency-Key", c.header)
		opt, err := sendOptions(r)
		if (err != nil) != (c.bad != "") || err != nil && !strings.Contains(err.Error(), c.bad) {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		switch {
		case err != nil:
		case c.header != "" && opt.ID != c.header, strings.HasPrefix(c.query, "id=") && (opt.ID != "a" || opt.Delay != 10*time.Second || opt.TTL != time.Minute || opt.Priority != 9),
			strings.Contains(c.query, "deadline") && (opt.Delay < 59*time.Minute || opt.Delay > time.Hour || opt.TTL <= opt.Delay), opt.Delay < 0:
			t.Errorf("%s: %+v", c.query, opt)
		}
	}
}
