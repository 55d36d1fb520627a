package proc

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Stat is what we read of /proc/PID/stat.
type Stat struct {
	PID     int
	Comm    string
	State   byte
	Ticks   uint64 // user and system time
	Threads int
	Start   uint64 // ticks after boot
	RSS     uint64 // pages
}

// The places of the fields after the command's closing parenthesis.
const (
	atState   = 0
	atUtime   = 11
	atStime   = 12
	atThreads = 17
	atStart   = 19
	atRSS     = 21
)

// ParseStat reads one line. The command may hold blanks and parentheses: the last ")" ends it.
func ParseStat(text []byte) (Stat, error) {
	var s Stat
	open, closing := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || closing < open {
		return s, fmt.Errorf("cannot read a stat of /proc: no command in parentheses")
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:open])))
	if err != nil {
		return s, fmt.Errorf("cannot read a stat of /proc: %q is no pid", bytes.TrimSpace(text[:open]))
	}
	f := strings.Fields(string(text[closing+1:]))
	if len(f) <= atRSS {
		return s, fmt.Errorf("cannot read a stat of /proc: %d fields after the command, want more than %d", len(f), atRSS)
	}
	// A command is bytes; JSON is UTF-8.
	s.PID, s.Comm, s.State = pid, strings.ToValidUTF8(string(text[open+1:closing]), "?"), f[atState][0]
	var numbers [5]uint64
	for i, at := range []int{atUtime, atStime, atThreads, atStart, atRSS} {
		numbers[i], err = strconv.ParseUint(strings.TrimPrefix(f[at], "-"), 10, 64)
		if err != nil {
			return s, fmt.Errorf("cannot read a stat of /proc: %q is no number", f[at])
		}
	}
	s.Ticks, s.Threads, s.Start, s.RSS = numbers[0]+numbers[1], int(numbers[2]), numbers[3], numbers[4]
	return s, nil
}
