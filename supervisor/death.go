package supervisor

import (
	"bytes"
	"encoding/json"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// Usage is what a process took from the machine, as the kernel told when it was waited for; zero where it told nothing.
type Usage struct {
	User   time.Duration // time on a processor, in its own code
	System time.Duration // the same, in the kernel
	MaxRSS int64         // bytes: most memory it ever had
	Known  UsageKnown
}

// UsageKnown is how exact a Usage is.
type UsageKnown string

// The closed set of UsageKnown.
const (
	UsageExact   UsageKnown = ""
	UsageAtMost  UsageKnown = "at_most"  // the memory: between fork and exec it was dsatd's own, and the kernel counts from there
	UsageAtLeast UsageKnown = "at_least" // all: an earlier dsatd had started it, and it was last looked at before its end
)

func usageOf(r syscall.Rusage) Usage {
	u := Usage{
		User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano()),
		MaxRSS: r.Maxrss << 10, // told in KiB
	}
	var own unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &own) == nil && r.Maxrss <= own.Maxrss {
		u.Known = UsageAtMost
	}
	return u
}

// usageSeen is what a process of somebody else's has used until now; zero when it is not there any more. Of one that has ended and was not
// waited for the memory is not known any more.
func usageSeen(k kin) Usage {
	text, err := readSmall("/proc/" + strconv.Itoa(k.pid) + "/stat")
	if err != nil {
		return Usage{}
	}
	p, err := parseStat(k.pid, text)
	f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if err != nil || p.kin != k || len(f) < 13 {
		return Usage{}
	}
	ticks := func(field []byte) time.Duration {
		n, _ := strconv.ParseInt(string(field), 10, 64)
		return time.Duration(n) * (time.Second / clockTicks)
	}
	u := Usage{User: ticks(f[11]), System: ticks(f[12]), Known: UsageAtLeast}
	status, _ := readProcFile("/proc/" + strconv.Itoa(k.pid) + "/status")
	if _, rest, ok := bytes.Cut(status, []byte("\nVmHWM:")); ok {
		if f := bytes.Fields(rest); len(f) > 0 {
			n, _ := strconv.ParseInt(string(f[0]), 10, 64)
			u.MaxRSS = n << 10
		}
	}
	return u
}

// Death is the end of one life of an instance.
type Death struct {
	Time   time.Time
	Ref    topology.Ref
	Inc    topology.Incarnation
	PID    int    // 0: it could not be spawned
	Asked  bool   // somebody wanted its end: a stop, a restart
	Motive string // who, where it was dsat itself: recycling, or the group
	Cause  string // a sentence, as InstanceStatus.LastExit
	Code   int
	Signal syscall.Signal // 0 unless a signal ended it
	Core   bool           // a core was dumped
	Uptime time.Duration
	Usage  Usage
	Last   []string // its last lines of output, cut to lastWidth bytes each
}

const (
	deathsKept = 20 // of each instance
	lastLines  = 5
	lastWidth  = 240 // bytes
)

// deathLine is a Death as a line of the history. Name and wid come first, so that a reader finds its lines by their beginning.
type deathLine struct {
	Name   string    `json:"name"`
	WID    int       `json:"wid"`
	Time   time.Time `json:"time"`
	Inc    uint64    `json:"incarnation"`
	PID    int       `json:"pid,omitempty"`
	Asked  bool      `json:"asked,omitempty"`
	Motive string    `json:"motive,omitempty"`
	Cause  string    `json:"cause"`
	Code   int       `json:"code,omitempty"`
	Signal int       `json:"signal,omitempty"`
	Core   bool      `json:"core,omitempty"`
	Uptime int64     `json:"uptime_ns,omitempty"`
	User   int64     `json:"user_ns,omitempty"`
	System int64     `json:"system_ns,omitempty"`
	MaxRSS int64     `json:"max_rss,omitempty"`
	Known  string    `json:"usage,omitempty"`
	Last   []string  `json:"last,omitempty"`
}

// line is the death as JSON, ended by a newline.
func (d *Death) line() []byte {
	text, err := json.Marshal(deathLine{
		Name: d.Ref.Name, WID: d.Ref.WID, Time: d.Time.UTC(), Inc: uint64(d.Inc), PID: d.PID, Asked: d.Asked, Motive: d.Motive, Cause: d.Cause, Code: d.Code,
		Signal: int(d.Signal), Core: d.Core, Uptime: int64(d.Uptime), User: int64(d.Usage.User), System: int64(d.Usage.System),
		MaxRSS: d.Usage.MaxRSS, Known: string(d.Usage.Known), Last: d.Last,
	})
	if err != nil {
		return nil // a year beyond 9999: the clock is wrong, and such a death is not remembered
	}
	return append(text, '\n')
}

func parseDeath(line []byte) (d Death, ok bool) {
	var l deathLine
	if json.Unmarshal(line, &l) != nil || l.Name == "" || l.WID < 0 || l.Time.IsZero() {
		return d, false
	}
	return Death{
		Time: l.Time, Ref: topology.Ref{Name: l.Name, WID: l.WID}, Inc: topology.Incarnation(l.Inc), PID: l.PID, Asked: l.Asked, Motive: l.Motive, Cause: l.Cause,
		Code: l.Code, Signal: syscall.Signal(l.Signal), Core: l.Core, Uptime: time.Duration(l.Uptime),
		Usage: Usage{User: time.Duration(l.User), System: time.Duration(l.System), MaxRSS: l.MaxRSS, Known: UsageKnown(l.Known)}, Last: l.Last,
	}, true
}

// parseDeaths reads a history, oldest first. Lines that are none are left out, and so is the last one when it was torn: good is how
// many bytes there are up to it.
func parseDeaths(text []byte, wanted func(line []byte) bool) (all []Death, good int) {
	good = bytes.LastIndexByte(text, '\n') + 1
	for line := range bytes.Lines(text[:good]) {
		if wanted != nil && !wanted(line) {
			continue
		}
		if d, ok := parseDeath(line); ok {
			all = append(all, d)
		}
	}
	return all, good
}

// newestDeaths keeps the newest of each instance.
func newestDeaths(all []Death) []Death {
	seen := make(map[topology.Ref]int)
	first := len(all)
	for n := len(all) - 1; n >= 0; n-- {
		if seen[all[n].Ref]++; seen[all[n].Ref] <= deathsKept {
			first--
			all[first] = all[n]
		}
	}
	return all[first:]
}

// shorten cuts lines that are evidence for people.
func shorten(lines []string) []string {
	for n, l := range lines {
		if len(l) > lastWidth {
			lines[n] = l[:lastWidth-3] + "..."
		}
	}
	return lines
}
