package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/web/control"
)

// errBusy means that another dsatd holds the run directory.
var errBusy = errors.New("busy")

// runLock is the lock on the run directory. The kernel drops it with the process, however that ends.
type runLock struct{ file *os.File }

// lockRunDir makes the directory (0700) and takes its lock, or tells who holds it.
func lockRunDir(dir string) (*runLock, error) {
	if err := errors.Join(control.MakeDir(dir), control.CheckSocket(filepath.Join(dir, control.SocketName))); err != nil {
		return nil, fmt.Errorf("cannot make the run directory: %w (choose another with --run-dir)", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot use the run directory %s: %w (choose another with --run-dir)", dir, err)
	}
	if holder, err := takeLock(file); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: another dsatd (pid %s) runs on %s: steer it with dsatctl, or choose another with --run-dir", errBusy, holder, dir)
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := errors.Join(file.Truncate(0), writeAt(file, pid)); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("cannot write to the run directory: %w", err)
	}
	return &runLock{file: file}, nil
}

// A dsatd that was killed between fork and exec of a satellite leaves its lock to that child for as long as the exec takes.
const (
	deadLock = 2 * time.Second // how long a lock whose holder is dead is waited for
	lockLook = 5 * time.Millisecond
)

// takeLock takes the lock, or returns who holds it.
func takeLock(file *os.File) (holder string, err error) {
	for end := time.Now().Add(deadLock); ; time.Sleep(lockLook) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return "", nil
		}
		text, _ := io.ReadAll(io.NewSectionReader(file, 0, 32))
		holder := strings.TrimSpace(string(text))
		if pid, perr := strconv.Atoi(holder); perr == nil && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) || time.Now().After(end) {
			return holder, err
		}
	}
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// release gives the directory up. The file stays: removing it would let two daemons lock two files of one name.
func (l *runLock) release() { _ = l.file.Close() }

// raiseEpoch adds one to the counter in the state directory and returns it once it is on the disk: no two runs of the
// daemon ever stamp the same epoch, over power losses too.
func raiseEpoch(stateDir string) (uint32, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return 0, fmt.Errorf("cannot make the state directory: %w (choose another with --state-dir)", err)
	}
	path := filepath.Join(stateDir, "epoch")
	epoch, err := readEpoch(path)
	if err != nil {
		return 0, err
	}
	epoch++
	if err := replaceFile(path, strconv.FormatUint(uint64(epoch), 10)+"\n"); err != nil {
		return 0, fmt.Errorf("cannot raise the epoch: %w", err)
	}
	return epoch, nil
}

func readEpoch(path string) (uint32, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the epoch: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("cannot read the epoch in %s: %q is not a number; write one there that is higher than all before", path, text)
	}
	return uint32(n), nil
}

// replaceFile writes a file whole or not at all, and to the disk.
func replaceFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
