package bus

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// clock is the time the loop goes by: monotonic, and without the times in which this process did not run. A machine that is
// paused, a daemon that is stopped, a loop that got no processor: its peers have worked on, and their answers lie before the door. No
// timer may fire before they are read, and not all at once. So a turn that begins long after the time the loop had asked to be woken
// at is taken to begin a moment before that time.
type clock struct {
	last int64 // when the last turn began
	lost int64 // ns in which this process did not run
	due  int64 // when the loop wanted to be woken; 0: it did not
	boot int64 // how far CLOCK_BOOTTIME, which goes on while the machine is suspended, was ahead of CLOCK_MONOTONIC
}

const (
	// lateEnough is how late a turn has to be to be suspect. A busy machine is late by less.
	lateEnough = int64(time.Second)
	// sleepLook is how often the loop looks whether the machine was suspended, while messages wait for a time of day.
	sleepLook = int64(time.Minute)
)

// tell is the time of a turn that begins now, raw ns after the start of the bus, and the time that was left out before it.
func (c *clock) tell(raw int64) (now, gap int64) {
	now = raw - c.lost
	if c.due > 0 && now-c.due > lateEnough {
		is := max(c.last, c.due-lateEnough)
		gap, now = now-is, is
		c.lost += gap
	}
	c.last = now
	return now, gap
}

// turn begins a turn of the loop.
func (o *orchester) turn() {
	now, gap := o.clock.tell(o.bus.now())
	before := o.now
	o.now = now
	o.measure(before)
	if gap > 0 {
		o.t.started = o.t.started.Add(time.Duration(gap))
		o.tellEvent("", topology.Ref{}, 0, fmt.Sprintf("dsatd did not run for %v: deadlines and delays are later by that", time.Duration(gap).Round(time.Millisecond)))
	}
}

// awake makes up for a suspended machine: what was to come at a time of day comes as if it had not been. It returns when to look again; 0:
// nothing waits for such a time.
func (o *orchester) awake() int64 {
	if !o.t.delayed() {
		o.clock.boot = 0
		return 0
	}
	ahead := suspended()
	if slept := ahead - o.clock.boot; o.clock.boot > 0 && slept > lateEnough {
		o.t.slept(slept)
	}
	o.clock.boot = ahead
	return o.now + sleepLook
}

// suspended is how long the machine was suspended since its boot, in ns and at least 1; 1 where it cannot be told.
func suspended() int64 {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return 1
	}
	return max(boot.Nano()-mono.Nano(), 1)
}

// delayed reports whether any hop waits for its first time.
func (t *tracker) delayed() bool {
	for _, s := range t.steps {
		if len(s.later) > 0 {
			return true
		}
	}
	return false
}
