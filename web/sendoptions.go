package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/dsat/dsat/bus"
)

// sendOptions reads what is asked of a message: ?id= (or the header Dsat-Id, or Idempotency-Key), ?delay= or ?at=, ?ttl= or ?deadline=,
// ?priority=. Times are RFC 3339 with a zone.
func sendOptions(r *http.Request) (opt bus.SendOptions, err error) {
	q := r.URL.Query()
	for _, id := range []string{q.Get("id"), r.Header.Get("Dsat-Id"), r.Header.Get("Idempotency-Key")} {
		if opt.ID == "" {
			opt.ID = id
		}
	}
	if opt.Delay, err = spanOf(r, "delay", "at"); err != nil {
		return opt, err
	}
	if opt.TTL, err = spanOf(r, "ttl", "deadline"); err != nil {
		return opt, err
	}
	if q.Has("deadline") && opt.TTL <= 0 {
		return opt, invalid("cannot send: the deadline %s is over", q.Get("deadline"))
	}
	if text := q.Get("priority"); text != "" {
		if opt.Priority, err = strconv.Atoi(text); err != nil {
			return opt, invalid("cannot read priority %q: want a number from 0 to 9", text)
		}
	}
	opt.Delay = max(opt.Delay, 0) // a time that has passed is now
	return opt, nil
}

// spanOf reads a time from now on, given as a duration or as a time of day.
func spanOf(r *http.Request, span, moment string) (time.Duration, error) {
	text := r.URL.Query().Get(moment)
	if text == "" {
		return duration(r, span)
	}
	if r.URL.Query().Has(span) {
		return 0, invalid("cannot take %s and %s at once", span, moment)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, invalid("cannot read %s %q: want a time like 2026-01-02T15:04:05+01:00", moment, text)
	}
	return time.Until(at), nil
}
