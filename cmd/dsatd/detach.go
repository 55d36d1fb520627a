package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dsat/dsat/topology"
)

// A detached daemon is a second dsatd in a session of its own, which tells the first through a pipe how its start ended:
// "ready", or why not. The descriptor of the pipe's writing end travels in this variable.
const detachEnv = "DSAT_DETACHED_FD"

const detachFD = 3

// detachPatience is how long `dsatd start -d` waits for everything to be up. The daemon runs on after it.
const detachPatience = time.Minute

func detached() bool { return os.Getenv(detachEnv) != "" }

// detach starts the daemon in the background and waits until it says how its start ended. Its own words go to
// daemon.log.file, or to dsatd.log in the state directory. No reaper runs in this process, so it may fork by itself.
func detach(topo *topology.Topology, args []string) int {
	if err := os.MkdirAll(topo.Daemon.StateDir, 0o700); err != nil {
		complain(fmt.Errorf("cannot make the state directory: %w (choose another with --state-dir)", err))
		return exitFailed
	}
	logPath := first(topo.Daemon.Log.File, filepath.Join(topo.Daemon.StateDir, ownLogName))
	if err := os.MkdirAll(filepath.Dir(logPath), 0o750); err != nil {
		complain(fmt.Errorf("cannot make the directory of the daemon's log: %w", err))
		return exitFailed
	}
	logFile, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		complain(fmt.Errorf("cannot open the daemon's log: %w", err))
		return exitFailed
	}
	before, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		complain(fmt.Errorf("cannot read the daemon's log: %w", err))
		return exitFailed
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		complain(err)
		return exitFailed
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		complain(err)
		return exitFailed
	}
	self, err := os.Executable()
	if err != nil {
		complain(err)
		return exitFailed
	}
	pid, err := syscall.ForkExec(self, append([]string{os.Args[0], "start"}, args...), &syscall.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d", detachEnv, detachFD)),
		Files: []uintptr{null.Fd(), logFile.Fd(), logFile.Fd(), writer.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		complain(fmt.Errorf("cannot start the daemon: %w", err))
		return exitFailed
	}
	_ = writer.Close()
	word, _ := bufio.NewReader(reader).ReadString('\n')
	return detachedEnd(strings.TrimSuffix(word, "\n"), pid, topo, logPath, before)
}

// detachedEnd tells how the start ended: by word, or by what the daemon wrote to its log before it ended without one.
func detachedEnd(word string, pid int, topo *topology.Topology, logPath string, before int64) int {
	shaky, isShaky := strings.CutPrefix(word, shakyWord)
	switch {
	case word == "":
		var status syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(pid, &status, 0, nil); !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		repeatLog(logPath, before)
		if status.Exited() && status.ExitStatus() == exitOK {
			fmt.Printf("%s has ended already, as its topology says\n", topo.Name)
			return exitOK
		}
		return max(status.ExitStatus(), exitFailed)
	case word == upWord, isShaky:
		fmt.Printf("%s is up (pid %d, run directory %s)\n", topo.Name, pid, topo.Daemon.RunDir)
		if isShaky {
			complain(fmt.Errorf("but not all of it stays up: %s (it is tried again; dsatctl why NAME tells)", shaky))
		}
		return exitOK
	default:
		complain(fmt.Errorf("%s runs (pid %d), but not all is up: %s", topo.Name, pid, word))
		return exitFailed
	}
}

// repeatLog prints what the daemon said since an offset of its log.
func repeatLog(path string, offset int64) {
	f, err := os.Open(path)
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err == nil {
		_, err = io.Copy(os.Stderr, io.LimitReader(f, 64<<10))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		complain(fmt.Errorf("the daemon ended during its start, and its log cannot be read: %w", err))
	}
}

// tellDetacher says how the start ended to the dsatd that detached this one, if one did.
func (d *daemon) tellDetacher(startErr error) {
	if !detached() {
		return
	}
	var word string
	if startErr != nil {
		word = strings.ReplaceAll(startErr.Error(), "\n", "; ")
	} else {
		word = steadyWord(d.unsteady())
	}
	pipe := os.NewFile(detachFD, "detach pipe")
	// The first dsatd may have been interrupted; the daemon runs on all the same.
	_, _ = pipe.WriteString(word + "\n")
	_ = pipe.Close()
	_ = os.Unsetenv(detachEnv)
}
