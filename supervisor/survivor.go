package supervisor

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// survivor is the hold on a process that is not our child, because an earlier daemon has started it: a pidfd, which means this
// process for ever, whoever has its number later.
type survivor struct {
	kin

	mu   sync.Mutex
	fd   int   // -1: let go
	used Usage // when it was looked at last: the kernel tells it to the parent only, which we are not
}

// hold takes hold of a process; errGone when it is not there any more.
func hold(k kin) (*survivor, error) {
	fd, err := unix.PidfdOpen(k.pid, 0)
	if err == unix.ESRCH {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	// The descriptor holds the process that has the number now; is it the one that is meant?
	if p, err := readStat(k.pid); err != nil || p.kin != k || p.dead() {
		unix.Close(fd)
		return nil, errGone
	}
	return &survivor{kin: k, fd: fd, used: usageSeen(k)}, nil
}

// signal reaches the process, or with group all of its process group; errGone when it has ended.
func (v *survivor) signal(sig syscall.Signal, group bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fd < 0 {
		return errGone
	}
	if sig != 0 {
		v.look() // it may be its last
	}
	flags := 0
	if group {
		if p, err := readStat(v.pid); err == nil && p.kin == v.kin && p.pgid != v.pid && p.pgid > 1 && p.pgid != unix.Getpgrp() {
			return unix.Kill(-p.pgid, sig) // it leads none: its group has the number of another
		}
		flags = unix.PIDFD_SIGNAL_PROCESS_GROUP
	}
	err := unix.PidfdSendSignal(v.fd, sig, nil, flags)
	if group && errors.Is(err, unix.EINVAL) && v.alive() {
		err = unix.Kill(-v.pid, sig) // an older kernel: its group is still its own while it lives
	}
	if errors.Is(err, unix.ESRCH) {
		return errGone
	}
	return err
}

func (v *survivor) alive() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}, 0)
	return n == 0 && err == nil
}

// unknownExit stands for an exit status that nobody could be asked for.
const unknownExit = "ended, and its exit status went to the process that had adopted it"

// exit is how it ended, once its pidfd says that it has. The kernel remembers it for the holder of a pidfd (since 6.15) after somebody
// has waited for the process; until then it stands in /proc.
func (v *survivor) exit() Exit {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.look()
	for range 2 { // it may be waited for between the two looks
		if ws, ok := remembered(v.fd); ok {
			return exitOf(ws, v.used)
		}
		if ws, ok := zombieStatus(v.kin); ok {
			return exitOf(ws, v.used)
		}
	}
	return Exit{Code: -1, Unknown: true, Usage: v.used}
}

// look notes what it has used until now. The caller holds the lock.
func (v *survivor) look() {
	if now := usageSeen(v.kin); now != (Usage{}) {
		now.MaxRSS = max(now.MaxRSS, v.used.MaxRSS)
		v.used = now
	}
}

func (v *survivor) letGo() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fd >= 0 {
		unix.Close(v.fd)
		v.fd = -1
	}
}

func remembered(pidfd int) (syscall.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return syscall.WaitStatus(info.Exit_code), true
}

// zombieStatus reads the status of a process nobody has waited for yet.
func zombieStatus(k kin) (syscall.WaitStatus, bool) {
	text, err := readSmall("/proc/" + strconv.Itoa(k.pid) + "/stat")
	if err != nil {
		return 0, false
	}
	p, err := parseStat(k.pid, text)
	if err != nil || p.kin != k || p.state != 'Z' {
		return 0, false
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 50 {
		return 0, false
	}
	status, err := strconv.Atoi(f[49])
	return syscall.WaitStatus(status), err == nil
}
