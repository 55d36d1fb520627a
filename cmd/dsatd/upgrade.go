package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	trialPatience  = 30 * time.Second // for the new binary to tell its version and to check the topology
	freezePatience = 20 * time.Second // for what is in hand to be answered, unless the caller says otherwise
	holdPatience   = 5 * time.Second  // for doors and processes to be held still, after that
	exportPatience = 10 * time.Second // for the messages in memory to be written down
	versionWords   = "dsatd "         // how `dsatd version` begins
	handoverWords  = ", handover "    // and how it tells the format
)

// upgrade executes another dsatd in place of this one: the same process, the same children, which notice nothing. It returns only when
// that was not possible, with the reason; then everything is as before. binary is a path; empty means the one this dsatd was started
// from, which may have been replaced since.
func (d *daemon) upgrade(ctx context.Context, binary string) error {
	select {
	case d.upgrading <- struct{}{}:
		defer func() { <-d.upgrading }()
	default:
		return errors.New("another upgrade is under way")
	}
	release, err := d.change.hold()
	if err != nil {
		return err
	}
	defer release()
	if state := d.web.State(); state != "running" {
		return fmt.Errorf("dsatd is %s", state)
	}
	if binary == "" {
		binary = d.binary
	}
	before, err := d.examine(ctx, binary)
	if err != nil {
		return err
	}
	epoch, err := raiseEpoch(d.sup.Topology().Daemon.StateDir)
	if err != nil {
		return err
	}
	d.log.Info("upgrade: holding everything still", "binary", binary)
	d.manager.reloading()
	thaw, err := d.freeze(ctx)
	if err == nil {
		if after, serr := os.Stat(binary); serr != nil || !os.SameFile(before, after) || before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()) {
			err = fmt.Errorf("%s has changed since it was checked", binary)
		} else {
			err = d.execute(binary, epoch)
		}
	}
	thaw()
	d.manager.ready(d.sentence())
	return err
}

// examine proves that the binary is a dsatd that understands this topology.
func (d *daemon) examine(ctx context.Context, binary string) (fs.FileInfo, error) {
	if !filepath.IsAbs(binary) {
		return nil, fmt.Errorf("%s is not an absolute path", binary)
	}
	info, err := os.Stat(binary)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return nil, fmt.Errorf("%s is not a program", binary)
	}
	words, err := d.sup.Trial(ctx, []string{binary, "version"}, nil, trialPatience)
	if err != nil {
		return nil, fmt.Errorf("%s does not tell its version: %w", binary, err)
	}
	said := strings.Join(words, " ")
	_, format, _ := strings.Cut(strings.TrimSuffix(said, ")"), handoverWords)
	switch {
	case len(words) != 1 || !strings.HasPrefix(said, versionWords):
		return nil, fmt.Errorf("%s is no dsatd: asked for its version it said %.100q", binary, said)
	case format != strconv.Itoa(handoverFormat):
		return nil, fmt.Errorf("%s is a dsatd that takes over in another way than this one hands over; end this one with `dsatctl down` and start that", binary)
	}
	if err := d.sameFiles(); err != nil {
		return nil, err
	}
	from, _ := d.change.present()
	if _, err := d.sup.Trial(ctx, append([]string{binary, "check"}, from.files...), os.Environ(), trialPatience); err != nil {
		return nil, fmt.Errorf("%s does not take the topology: %w", binary, err)
	}
	return info, nil
}

// sameFiles tells whether the files still say what runs: an upgrade is not the moment to change the topology too.
func (d *daemon) sameFiles() error {
	from, _ := d.change.present()
	from.name = "" // the next dsatd knows only what the files say
	now, err := from.read()
	if err != nil {
		return fmt.Errorf("the topology's files are not what runs: %w", err)
	}
	if name := d.sup.Topology().Name; now.Name != name {
		return fmt.Errorf("the files that were applied would name the topology %s: say name = %q in the first of them, %s", now.Name, name, from.files[0])
	}
	if !bytes.Equal(now.Effective(), d.sup.Topology().Effective()) {
		return errors.New("the topology's files have been changed since they were loaded: apply the change or take it back first")
	}
	return nil
}

// freeze holds everything still: first the flow of messages, which takes as long as what is in hand; then, for moments, the doors and the
// processes. The function it returns, also beside an error, lets all go on.
func (d *daemon) freeze(ctx context.Context) (thaw func(), err error) {
	var undo []func()
	thaw = func() {
		for n := len(undo) - 1; n >= 0; n-- {
			undo[n]()
		}
	}
	flow := ctx
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		flow, cancel = context.WithTimeout(ctx, freezePatience)
		defer cancel()
	}
	for _, part := range []struct {
		within context.Context
		freeze func(context.Context) error
		thaw   func()
	}{{flow, d.bus.Freeze, d.bus.Thaw}, {ctx, d.web.Freeze, d.web.Thaw}, {ctx, d.sup.Freeze, d.sup.Thaw}} {
		if err := func() error {
			within := part.within
			if within == ctx {
				var cancel context.CancelFunc
				within, cancel = context.WithTimeout(ctx, holdPatience)
				defer cancel()
			}
			return part.freeze(within)
		}(); err != nil {
			return thaw, err
		}
		undo = append(undo, part.thaw)
	}
	return thaw, nil
}

// execute packs what the next dsatd needs and becomes it. It returns only when that failed.
func (d *daemon) execute(binary string, epoch uint32) error {
	h := &handover{Format: handoverFormat, PID: os.Getpid(), Epoch: epoch, FDs: map[string]int{lockKey: int(d.lock.file.Fd())}}
	ctx, cancel := context.WithTimeout(context.Background(), exportPatience)
	defer cancel()
	ends, err := d.bus.Hold(ctx)
	if err != nil {
		return err
	}
	defer d.bus.Release()
	for who, e := range ends {
		h.filter(who, e)
	}
	if h.Bus, err = d.bus.Export(ctx); err != nil {
		return err
	}
	for _, give := range []func() (map[string]int, error){
		d.web.Handover,
		func() (fds map[string]int, err error) { h.Supervisor, fds, err = d.sup.Handover(); return fds, err },
	} {
		fds, err := give()
		if err != nil {
			return fmt.Errorf("cannot hand over: %w", err)
		}
		maps.Copy(h.FDs, fds)
	}
	memory, err := h.pack()
	if err != nil {
		return fmt.Errorf("cannot hand over: %w", err)
	}
	defer unix.Close(memory)
	keep := append([]int{memory}, fdsOf(h.FDs)...)
	env := append(os.Environ(), d.manager.env...)
	env = append(env, handoverEnv+"="+strconv.Itoa(memory))
	// Nobody forks now: forks are frozen. So nobody else gets what is left open for a moment.
	if err = closeOnExec(keep, false); err == nil {
		from, _ := d.change.present()
		err = syscall.Exec(binary, append(append([]string{os.Args[0], "start"}, from.flags.args()...), from.files...), env)
	}
	return errors.Join(fmt.Errorf("cannot execute %s: %w", binary, err), closeOnExec(keep, true))
}

func fdsOf(named map[string]int) []int {
	fds := make([]int, 0, len(named))
	for _, fd := range named {
		fds = append(fds, fd)
	}
	return fds
}

func closeOnExec(fds []int, on bool) error {
	flag := 0
	if on {
		flag = unix.FD_CLOEXEC
	}
	var errs []error
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
