package bus

import (
	"fmt"
	"math"
	"time"

	"github.com/dsat/dsat/topology"
)

// breakerState is whether a step is given work.
type breakerState uint8

const (
	closed   breakerState = iota // all it has credit for
	open                         // nothing
	halfOpen                     // a few, as a trial
)

var breakerNames = [...]string{"closed", "open", "half-open"}

func (s breakerState) String() string { return breakerNames[s] }

// breaker judges a step by how its attempts end. It is pure: times come in, in nanoseconds. What was dispatched before it opened
// says nothing about how the step is now, so that in the half-open state only dispatches count that came after.
type breaker struct {
	rule   topology.Breaker
	state  breakerState
	until  int64  // open: when it becomes half open
	first  uint64 // half open: the first dispatch that is a trial
	passed int    // half open: trials that were done
	row    int    // failures since the last success
	times  int    // how often it has opened since it was closed
	opened uint64 // ever
	why    string // it opened last

	slots  [breakerSlots]tally // answers within the window
	newest int64               // number of the newest slot
}

const breakerSlots = 10

type tally struct{ good, bad uint32 }

// success is a dispatch that was done.
func (b *breaker) success(now int64, n uint64) {
	b.row = 0
	switch b.state {
	case closed:
		b.slot(now).good++
	case halfOpen:
		if n < b.first {
			return
		}
		if b.passed++; b.passed >= b.rule.Close {
			b.state, b.times, b.passed = closed, 0, 0
			b.slots = [breakerSlots]tally{}
		}
	case open:
	}
}

// failure is a dispatch that failed, missed its deadline, or died with its process; n math.MaxUint64 is a process that died. It
// reports whether the breaker has opened.
func (b *breaker) failure(now int64, n uint64) bool {
	b.row++
	switch b.state {
	case closed:
		b.slot(now).bad++
		if b.row >= b.rule.Consecutive {
			return b.trip(now, fmt.Sprintf("%d failures in a row", b.row))
		}
		good, bad := b.window()
		if all := good + bad; all >= b.rule.Samples && float64(bad) >= b.rule.Ratio*float64(all) {
			return b.trip(now, fmt.Sprintf("%d of %d answers within %v were failures", bad, all, b.rule.Window))
		}
	case halfOpen:
		if n >= b.first {
			return b.trip(now, "a trial failed")
		}
	case open:
	}
	return false
}

func (b *breaker) trip(now int64, why string) bool {
	wait := int64(b.rule.Open)
	for range min(b.times, 62) {
		if wait >= int64(b.rule.Max)/2 {
			wait = int64(b.rule.Max)
			break
		}
		wait *= 2
	}
	b.state, b.until, b.why = open, now+min(wait, int64(b.rule.Max)), why
	b.times++
	b.opened++
	b.passed = 0
	return true
}

// look ends the time it is open. next is the number of the next dispatch.
func (b *breaker) look(now int64, next uint64) {
	if b.state == open && b.until <= now {
		b.state, b.first, b.passed = halfOpen, next, 0
	}
}

// admits is how many may be in hand of those dispatched from b.first on.
func (b *breaker) admits() int {
	switch b.state {
	case open:
		return 0
	case halfOpen:
		return b.passed + 1 // one, then both of two, then all of four ...
	}
	return math.MaxInt
}

// slot is the part of the window that is now.
func (b *breaker) slot(now int64) *tally {
	at := now / max(int64(b.rule.Window)/breakerSlots, 1)
	if at-b.newest >= breakerSlots {
		b.slots = [breakerSlots]tally{}
		b.newest = at
	}
	for b.newest < at {
		b.newest++
		b.slots[b.newest%breakerSlots] = tally{}
	}
	return &b.slots[at%breakerSlots]
}

// window is what was answered within it, well and badly.
func (b *breaker) window() (good, bad int) {
	for _, s := range b.slots {
		good += int(s.good)
		bad += int(s.bad)
	}
	return good, bad
}

// left is how long it is still open.
func (b *breaker) left(now int64) time.Duration {
	if b == nil || b.state != open {
		return 0
	}
	return duration(max(b.until-now, 0))
}
