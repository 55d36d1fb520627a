package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is no pid: the kernel's are smaller.
const nobody = 1 << 29

// hold takes the lock of a run directory as a process with that pid would have it.
func hold(t *testing.T, dir string, pid int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeAt(f, strconv.Itoa(pid)+"\n"), unix.Flock(int(f.Fd()), unix.LOCK_EX)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestALockOfTheLivingIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	held := hold(t, dir, os.Getpid())
	defer func() { _ = held.Close() }()
	_, err := lockRunDir(dir)
	if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "(pid "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("got %v", err)
	}
}

// kill -9 of dsatd while it forked: the child holds the lock until its exec, and the next dsatd was told that another one runs.
func TestALockOfTheDeadIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	left := hold(t, dir, nobody)
	time.AfterFunc(20*time.Millisecond, func() { _ = left.Close() })
	lock, err := lockRunDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	lock.release()
}
