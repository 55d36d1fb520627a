package topology

import (
	"errors"
	"fmt"
	"strings"
	"time"

	_ "time/tzdata" // a machine without zone files would know UTC only; costs 0.4 MB of the binary

	"github.com/netresearch/go-cron"
)

// cronSyntax is what a cron expression may hold: five fields, @hourly and the like, and the last, nearest and n-th days.
const cronSyntax = cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.Extended

// parseCron reads an expression. The library is asked for the fields only: which instants they mean is ours to say.
func parseCron(text string) (*cron.SpecSchedule, error) {
	for _, c := range text {
		if c < ' ' && c != '\t' || c > '~' {
			return nil, fmt.Errorf("it holds the character %q", c)
		}
	}
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0:
		return nil, errors.New("it is empty")
	case strings.Contains(fields[0], "="):
		return nil, errors.New("a zone is said by zone = \"...\", not inside of it")
	case strings.HasPrefix(fields[0], "@every"):
		return nil, errors.New("an interval is said by every = \"...\"")
	case fields[0] == "@reboot":
		return nil, errors.New("what starts with dsatd needs no schedule, but autostart")
	case fields[0][0] == '@' && len(fields) > 1:
		return nil, fmt.Errorf("nothing follows %s", fields[0])
	case fields[0][0] != '@' && len(fields) != 5:
		return nil, fmt.Errorf("it has %d fields, not 5: minute, hour, day of the month, month, day of the week", len(fields))
	}
	parsed, err := cron.MustNewParser(cronSyntax).Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it names no times")
	}
	return spec, nil
}

// Calendar is when a cron expression is due.
type Calendar struct {
	spec *cron.SpecSchedule
	zone *time.Location
	// fixed: it names hours. Else it goes on every hour, as an interval does, and follows the time that passes.
	fixed bool
}

// NewCalendar reads a cron expression as it is meant in a zone: a name of the IANA data base, "" for the zone of this machine.
func NewCalendar(expression, zone string) (*Calendar, error) {
	spec, err := parseCron(expression)
	if err != nil {
		return nil, err
	}
	c := &Calendar{spec: spec, zone: time.Local, fixed: spec.Hour&allHours != allHours}
	if zone != "" {
		if c.zone, err = time.LoadLocation(zone); err != nil {
			return nil, fmt.Errorf("there is no zone %q", zone)
		}
	}
	if c.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("there is no such day")
	}
	return c, nil
}

// Fixed reports whether it names hours, so that it is about the clock on the wall. Else it goes on every hour.
func (c *Calendar) Fixed() bool { return c.fixed }
