package supervisor

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// mostDatagram is how many bytes one may have; a longer one counts for nothing.
const mostDatagram = 4096

// longestExtension bounds what one EXTEND_TIMEOUT_USEC may ask for.
const longestExtension = time.Hour

// mostStatus is how many bytes of a STATUS are kept.
const mostStatus = 240

// tidings is what one datagram, or several one after the other, tell of a process, by the protocol of sd_notify(3).
type tidings struct {
	ready, reloading, stopping bool
	fed, starved               bool // WATCHDOG=1, WATCHDOG=trigger
	barrier                    bool
	status                     *string
	watchdog                   *time.Duration // WATCHDOG_USEC; 0: off
	extend                     time.Duration
	mainPID                    int   // MAINPID; 0: not told
	heir                       *heir // that process, once it is known to be one of its own

	store, storeRemove bool
	pollOff            bool // FDPOLL=0
	fdName             string
}

// parseDatagram reads lines of NAME=VALUE. What is not known, or makes no sense, is left out: a later sd_notify may have more words. It
// is false when the whole is none: too long, or with a NUL inside.
func parseDatagram(text []byte) (t tidings, ok bool) {
	text = bytes.TrimRight(text, "\x00")
	if len(text) == 0 || len(text) > mostDatagram || bytes.IndexByte(text, 0) >= 0 {
		return t, false
	}
	for line := range bytes.Lines(text) {
		name, value, has := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
		if has {
			t.field(name, value)
		}
	}
	return t, true
}

func (t *tidings) field(name, value string) {
	on := value == "1"
	switch name {
	case "READY":
		t.ready, t.reloading = t.ready || on, t.reloading && !on
	case "RELOADING":
		t.reloading = t.reloading || on
	case "STOPPING":
		t.stopping = t.stopping || on
	case "STATUS":
		s := tidy(value)
		t.status = &s
	case "WATCHDOG":
		t.fed = t.fed || on
		t.starved = t.starved || value == "trigger"
	case "WATCHDOG_USEC":
		if d, ok := microseconds(value); ok {
			t.watchdog = &d
		}
	case "EXTEND_TIMEOUT_USEC":
		if d, ok := microseconds(value); ok {
			t.extend = max(t.extend, min(d, longestExtension))
		}
	case "MAINPID":
		if n, err := strconv.ParseInt(value, 10, 32); err == nil && n > 0 {
			t.mainPID = int(n)
		}
	case "FDSTORE":
		t.store = t.store || on
	case "FDSTOREREMOVE":
		t.storeRemove = t.storeRemove || on
	case "FDPOLL":
		t.pollOff = value == "0"
	case "FDNAME":
		t.fdName = value
	case "BARRIER":
		t.barrier = t.barrier || on
	}
}

// add lays later tidings over earlier ones that nobody has read yet, so that a flood of them is never more than one.
func (t *tidings) add(later tidings) {
	switch {
	case later.reloading:
		t.reloading = true
	case later.ready:
		t.reloading = false
	}
	t.ready, t.stopping = t.ready || later.ready, t.stopping || later.stopping
	t.fed, t.starved = t.fed || later.fed, t.starved || later.starved
	if later.status != nil {
		t.status = later.status
	}
	if later.watchdog != nil {
		t.watchdog = later.watchdog
	}
	t.extend = max(t.extend, later.extend)
	if later.heir != nil {
		if t.heir != nil {
			t.heir.letGo()
		}
		t.heir = later.heir
	}
}

// microseconds reads a number of them.
func microseconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > math.MaxInt64/uint64(time.Microsecond) {
		return 0, false
	}
	return time.Duration(n) * time.Microsecond, true
}

// tidy makes a line for people of what anybody may have sent.
func tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > mostStatus {
		text = strings.ToValidUTF8(text[:mostStatus], "") + " ..."
	}
	return text
}
