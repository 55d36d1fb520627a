package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kin is a process by number and start time: two processes never share both.
type kin struct {
	pid   int
	start uint64
}

// procStat is the part of /proc/PID/stat that is needed here.
type procStat struct {
	kin
	name      string
	state     byte
	ppid      int
	pgid, sid int
	threads   int
	memory    bool // false: it has given up its memory, and with it its environment; it is dying
}

// dead: a zombie, or on its last way, with all of its threads. While the first thread is a zombie and others still end, their
// children have not come to us yet.
func (p procStat) dead() bool {
	return (p.state == 'Z' || p.state == 'X' || p.state == 'x') && p.threads <= 1
}

func readStat(pid int) (procStat, error) {
	var buf [1024]byte
	n, err := readInto(buf[:], "/proc/"+strconv.Itoa(pid)+"/stat")
	if err != nil {
		return procStat{}, err
	}
	return parseStat(pid, buf[:n])
}

// parseStat: the name is in parentheses and may hold anything, even those.
func parseStat(pid int, text []byte) (procStat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return procStat{}, fmt.Errorf("cannot read the state of process %d", pid)
	}
	p := procStat{kin: kin{pid: pid}, name: string(text[open+1 : end])}
	n := 0
	for f := range bytes.FieldsSeq(text[end+1:]) { // it is read at every spawn and of all processes at a sweep: nothing is allocated
		switch n {
		case 0:
			p.state = f[0]
		case 1:
			p.ppid, _ = strconv.Atoi(string(f))
		case 2:
			p.pgid, _ = strconv.Atoi(string(f))
		case 3:
			p.sid, _ = strconv.Atoi(string(f))
		case 17:
			p.threads, _ = strconv.Atoi(string(f))
		case 19:
			p.start, _ = strconv.ParseUint(string(f), 10, 64)
		case 20:
			p.memory = string(f) != "0"
			return p, nil
		}
		n++
	}
	return procStat{}, fmt.Errorf("cannot read the state of process %d", pid)
}

// readSmall is os.ReadFile without its poller and growing: three system calls.
func readSmall(path string) ([]byte, error) {
	buf := make([]byte, 1024)
	n, err := readInto(buf, path)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// readProcFile is the same for a file of any size. The kernel counts anew for each read of such a file: they are few and large.
func readProcFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	text := make([]byte, 0, 8<<10)
	for {
		text = slices.Grow(text, 4<<10)
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return text, err
		}
		text = text[:len(text)+n]
	}
}

func readInto(buf []byte, path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.Read(fd, buf)
}

func startTime(pid int) uint64 {
	p, err := readStat(pid)
	if err != nil {
		return 0
	}
	return p.start
}

// children lists the direct children of a process, by any of its threads. It is on the way of every respawn.
func children(pid int) ([]int, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	tasks, err := names(dir)
	if err != nil {
		return nil, err
	}
	var all []int
	buf := make([]byte, 16<<10)
	for _, t := range tasks {
		fd, err := unix.Open(dir+t+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			if unix.Access(dir+t, unix.F_OK) != nil {
				continue // the thread ended
			}
			return childrenByScan(pid)
		}
		number := 0
		for {
			n, err := unix.Read(fd, buf)
			if n <= 0 || err != nil {
				break
			}
			for _, c := range buf[:n] {
				if c >= '0' && c <= '9' {
					number = number*10 + int(c-'0')
				} else if number > 0 {
					all = append(all, number)
					number = 0
				}
			}
		}
		unix.Close(fd)
	}
	return all, nil
}

// names lists a directory, in no order.
func names(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// childrenByScan is for kernels built without the file of children.
func childrenByScan(pid int) ([]int, error) {
	everyone, err := processes()
	if err != nil {
		return nil, err
	}
	var all []int
	for _, p := range everyone {
		if s, err := readStat(p); err == nil && s.ppid == pid {
			all = append(all, p)
		}
	}
	return all, nil
}

// processes lists all there are.
func processes() ([]int, error) {
	entries, err := names("/proc")
	if err != nil {
		return nil, err
	}
	var all []int
	for _, n := range entries {
		if pid, err := strconv.Atoi(n); err == nil {
			all = append(all, pid)
		}
	}
	return all, nil
}

// descendants lists what a process has forked and what that has forked, as far as parents are still there.
func descendants(pid int) []kin {
	var all []kin
	seen := map[int]bool{pid: true}
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		below, err := children(queue[0])
		if err != nil {
			continue // it ended; what it left is found as an orphan
		}
		for _, c := range below {
			if !seen[c] {
				seen[c] = true
				all = append(all, kin{c, startTime(c)})
				queue = append(queue, c)
			}
		}
	}
	return all
}

// envOf reads some variables from the environment a process was executed with.
func envOf(pid int, keys ...string) []string {
	values := make([]string, len(keys))
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return values
	}
	for kv := range bytes.SplitSeq(text, []byte{0}) {
		for i, k := range keys {
			if v, ok := bytes.CutPrefix(kv, []byte(k+"=")); ok {
				values[i] = string(v)
			}
		}
	}
	return values
}

// shoot signals a process only if it is still the one that was meant.
func shoot(k kin, sig unix.Signal) {
	fd, err := unix.PidfdOpen(k.pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	// The descriptor holds the process that has the number now; is it the one we saw?
	if startTime(k.pid) == k.start {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // it may be gone by now, which is all we want
	}
}

func bootID() string {
	text, err := readSmall("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
