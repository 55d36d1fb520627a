package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Files of the state directory that signals write.
const (
	dumpName   = "dump.txt"
	stacksName = "stacks.txt"
	ownLogName = "dsatd.log"
)

// dumpPatience is how long the bus may take to tell of its queues.
const dumpPatience = 2 * time.Second

// write puts a text into a file of the state directory, beside everything else: the disk may hang. While one is being written,
// another is refused. Nobody waits for it at the end, for the same reason.
func (d *daemon) write(name string, text func() string) {
	select {
	case d.dumping <- struct{}{}:
	default:
		d.log.Warn("cannot write " + name + ": another dump is being written")
		return
	}
	go func() {
		defer func() { <-d.dumping }()
		path := filepath.Join(d.sup.Topology().Daemon.StateDir, name)
		if err := replaceFile(path, text()); err != nil {
			d.log.Error("cannot write " + name + ": " + err.Error())
			return
		}
		d.log.Info("wrote " + path)
	}()
}

// dump is how all is, for people.
func (d *daemon) dump() string {
	var b strings.Builder
	v := versions()
	fmt.Fprintf(&b, "dsatd %s, pid %d, epoch %d, %s\n%s\n", v.Version, os.Getpid(), d.epoch, time.Now().Format(time.RFC3339), d.sentence())
	fmt.Fprintf(&b, "files %s\nrun directory %s\nstate directory %s\n", strings.Join(d.sup.Topology().Files, " "), d.sup.Topology().Daemon.RunDir, d.sup.Topology().Daemon.StateDir)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(&b, "memory %d KiB of heap, %d KiB from the system, %d goroutines\n\n", m.HeapAlloc>>10, m.Sys>>10, runtime.NumGoroutine())

	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "INSTANCE\tWANT\tSTATE\tPID\tRESTARTS\tSINCE\tWHY")
	for _, s := range d.sup.Snapshot() {
		for _, i := range s.Instances {
			why := i.Why
			if i.LastExit != "" {
				why = strings.TrimPrefix(why+"; last exit: "+i.LastExit, "; ")
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", i.Ref, i.Want, i.State, i.PID, i.Restarts, i.Since.Format(time.RFC3339), why)
		}
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "QUEUE\tWAITING\tHELD\tIN FLIGHT\tWORKERS\tQUARANTINE\tOLDEST\tDONE")
	ctx, cancel := context.WithTimeout(context.Background(), dumpPatience)
	defer cancel()
	stats, err := d.bus.Stats(ctx)
	for _, q := range stats.Queues {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\n", q.Step, q.Waiting, q.Held, q.InFlight, q.Workers, q.Quarantine, q.OldestAge.Round(time.Millisecond), q.Ledger.Done)
	}
	_ = t.Flush() // to memory
	if err != nil {
		fmt.Fprintf(&b, "the queues are not known: %v\n", err)
	}
	return b.String()
}

// stacks is what every goroutine does.
func stacks() string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= 64<<20 {
			return string(buf[:n])
		}
		buf = make([]byte, 2*len(buf))
	}
}

// ownLog is the file dsatd's own words go to, when standard error is one: a rotation from outside renames it, and SIGUSR1 asks to
// open it anew.
type ownLog struct{ path string }

func ownLogOf(stderr *os.File) ownLog {
	info, err := stderr.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ownLog{}
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", stderr.Fd()))
	if err != nil || !filepath.IsAbs(path) {
		return ownLog{}
	}
	return ownLog{path}
}

// reopen puts a new file in place of standard error, and of standard output where that was the same one.
func (l ownLog) reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	both := sameFile(1, 2)
	err = unix.Dup3(int(f.Fd()), 2, 0)
	if both {
		err = errors.Join(err, unix.Dup3(int(f.Fd()), 1, 0))
	}
	return errors.Join(err, f.Close())
}

func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}
