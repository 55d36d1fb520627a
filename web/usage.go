package web

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// usage is what one process has used, read from /proc/PID/stat.
type usage struct {
	cpu float64 // seconds, user and system
	rss int64   // bytes resident
}

// clockTicks is the unit of times in /proc: USER_HZ, which Linux fixes at 100 towards programs.
const clockTicks = 100

// readUsage asks the kernel about a process; a process that is gone is an error.
func readUsage(pid int) (usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	return parseUsage(text)
}

// parseUsage reads /proc/PID/stat (proc_pid_stat(5)): fields 14 and 15 are user and system time, 24 is resident pages.
// The second field, the name in parentheses, may hold anything, so counting begins after the last parenthesis.
func parseUsage(text []byte) (usage, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return usage{}, fmt.Errorf("cannot read %q as a process's stat", text)
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("cannot read a process's stat of %d fields", len(fields)+2)
	}
	var values [3]int64
	for i, at := range []int{14, 15, 24} {
		n, err := strconv.ParseInt(string(fields[at-3]), 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("cannot read field %d of a process's stat: %w", at, err)
		}
		values[i] = n
	}
	return usage{
		cpu: float64(values[0]+values[1]) / clockTicks,
		rss: values[2] * int64(os.Getpagesize()),
	}, nil
}
