package supervisor

import (
	"fmt"
	"slices"

	"github.com/dsat/dsat/topology"
)

// Health is what its checks say of a running instance.
type Health uint8

// The closed set of Health.
const (
	Unchecked Health = iota // it has no checks, or is not running
	Checking                // not every check has passed yet, and none has failed for good
	Healthy
	Unhealthy
)

// String is the word of the API; "" for Unchecked.
func (h Health) String() string { return [...]string{"", "checking", "healthy", "unhealthy"}[h] }

// MarshalText is String.
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// tally is the looks of one check in a row. It is pure.
type tally struct {
	failures, successes int
	known, sick         bool
}

// finding is what a look changes.
type finding uint8

const (
	lookSame finding = iota
	lookWell         // well for the first time, or again
	lookSick         // sick, or so many failures more
)

// add counts a look.
func (t *tally) add(c *topology.Check, failed bool) finding {
	if failed {
		t.successes = 0
		if t.failures++; t.failures < c.Failures {
			return lookSame
		}
		t.failures, t.known, t.sick = 0, true, true
		return lookSick
	}
	t.failures = 0
	if t.known && !t.sick {
		return lookSame
	}
	if t.successes++; t.successes < c.Successes {
		return lookSame
	}
	t.successes, t.known, t.sick = 0, true, false
	return lookWell
}

// findings are what the checks of a life have found. They belong to the instance's owner.
type findings struct {
	well []*topology.Check
	sick []ailment
}

type ailment struct {
	check *topology.Check
	words string // the last failure's own
}

// note enters what was found, and reports whether it was known.
func (f *findings) note(c *topology.Check, sick bool, words string) (known bool) {
	n := slices.IndexFunc(f.sick, func(a ailment) bool { return a.check == c })
	was := n >= 0
	if was {
		f.sick = slices.Delete(f.sick, n, n+1)
	}
	f.well = slices.DeleteFunc(f.well, func(o *topology.Check) bool { return o == c })
	if sick {
		f.sick = append(f.sick, ailment{c, words})
	} else {
		f.well = append(f.well, c)
	}
	return was == sick
}

// health is the sum.
func (f *findings) health(checks int) Health {
	switch {
	case checks == 0:
		return Unchecked
	case len(f.sick) > 0:
		return Unhealthy
	case len(f.well) == checks:
		return Healthy
	}
	return Checking
}

// unready: a check that takes readiness away has failed.
func (f *findings) unready() bool {
	return slices.ContainsFunc(f.sick, func(a ailment) bool { return a.check.Then == topology.CheckUnready })
}

// why is the sentence about the newest ailment; "" when there is none.
func (f *findings) why() string {
	if len(f.sick) == 0 {
		return ""
	}
	a := f.sick[len(f.sick)-1]
	return failedCheck(a.check, a.words)
}

func failedCheck(c *topology.Check, words string) string {
	if c.Failures == 1 {
		return fmt.Sprintf("its check %s failed: %s", c.Name, words)
	}
	return fmt.Sprintf("its check %s failed %d times in a row: %s", c.Name, c.Failures, words)
}

// checked is an answer of the checks.
func (i *instance) checked(e event) {
	l := i.life
	if l.exited || l.cause != "" {
		return
	}
	sick := e.kind == evSick
	was := l.found.health(len(i.spec.Health))
	known := l.found.note(e.check, sick, e.cause)
	if i.why = l.found.why(); i.why != "" {
		i.why = "is unhealthy: " + i.why
	}
	if is := l.found.health(len(i.spec.Health)); !known || is != was {
		i.tellHealth(e, is)
	}
	if !sick {
		return
	}
	switch e.check.Then {
	case topology.CheckRestart:
		i.unready(event{cause: failedCheck(e.check, e.cause)})
	case topology.CheckSignal:
		i.world.signal(l, e.check.Signal, false)
	}
}

// tellHealth is an event, though the state is the same.
func (i *instance) tellHealth(e event, h Health) {
	cause := i.why
	if cause == "" {
		cause = fmt.Sprintf("is %s: its check %s passed", h, e.check.Name)
	}
	i.publish()
	s := *i.status.Load()
	s.Why = cause
	i.world.changed(i, i.state, &s)
}
