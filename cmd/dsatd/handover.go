package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/bus"
)

// handoverFormat is what `dsatd version` tells of how an upgrade hands over. A dsatd that tells another one is not executed.
const handoverFormat = 1

// handoverEnv names the descriptor of the handover to the dsatd that is executed in place.
const handoverEnv = "DSAT_HANDOVER"

// handover is what travels through an exec in place: a file in memory, which holds this, and descriptors that stay open.
type handover struct {
	Format     int
	PID        int // whom it is for: this very process
	Epoch      uint32
	Supervisor json.RawMessage
	Bus        []byte
	Unread     map[string][]byte // of filters' output, by instance
	FDs        map[string]int    // by name: lock, web.unix, out.cpu:0, ...
}

// lockKey is the lock of the run directory among the descriptors.
const lockKey = "lock"

// pack writes it down. The descriptor it returns is closed by an exec unless told otherwise.
func (h *handover) pack() (int, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return -1, err
	}
	fd, err := unix.MemfdCreate("dsatd handover", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	f := os.NewFile(uintptr(fd), "handover")
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		_, err = f.Write(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return -1, err
	}
	return copied, nil
}

// receiveHandover takes what the dsatd that was executed before in this process has left. Nil: there was none, or it cannot be used;
// then every descriptor it left open is closed, so that all is found as after a kill.
func receiveHandover(log *slog.Logger) *handover {
	text, ok := os.LookupEnv(handoverEnv)
	if !ok {
		return nil
	}
	_ = os.Unsetenv(handoverEnv) // cannot fail for this name
	h, err := unpack(text)
	if err != nil {
		log.Error("cannot take over from the dsatd before; its processes are taken back as after a kill: " + err.Error())
		closeInherited()
		return nil
	}
	return h
}

// closeInherited closes what was left open for us: all that an exec would not close, which nothing of our own is.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

func unpack(text string) (*handover, error) {
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is %q, which is no descriptor", handoverEnv, text)
	}
	f := os.NewFile(uintptr(fd), "handover")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d is not open", fd)
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	var h handover
	if err := json.Unmarshal(content, &h); err != nil {
		return nil, err
	}
	switch {
	case h.Format != handoverFormat:
		return nil, fmt.Errorf("it is of format %d, and this dsatd reads %d", h.Format, handoverFormat)
	case h.PID != os.Getpid():
		return nil, fmt.Errorf("it is for process %d, and this is %d", h.PID, os.Getpid())
	}
	for key, fd := range h.FDs {
		// What is handed over must not reach the children.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil || fd < 3 {
			return nil, fmt.Errorf("descriptor %d (%s) is not open", fd, key)
		}
	}
	return &h, nil
}

// filter adds what the next bus needs of one.
func (h *handover) filter(who string, e bus.FilterEnds) {
	if e.In >= 0 {
		h.FDs["in."+who] = e.In
	}
	if e.Out >= 0 {
		h.FDs["out."+who] = e.Out
	}
	if len(e.Unread) > 0 {
		if h.Unread == nil {
			h.Unread = make(map[string][]byte)
		}
		h.Unread[who] = e.Unread
	}
}

// take gives a descriptor away, once; -1: there is none of that name.
func (h *handover) take(key string) int {
	if h == nil {
		return -1
	}
	fd, ok := h.FDs[key]
	if !ok {
		return -1
	}
	delete(h.FDs, key)
	return fd
}

// closeRest lets go of what nobody has taken.
func (h *handover) closeRest(log *slog.Logger) {
	if h == nil {
		return
	}
	for key, fd := range h.FDs {
		log.Debug("nobody takes over a descriptor", "key", key)
		_ = unix.Close(fd)
	}
	clear(h.FDs)
}

// openBus makes a bus with the messages that were handed over. It would rather go on without them than not at all.
func (h *handover) openBus(c bus.Config, log *slog.Logger) (*bus.Bus, error) {
	if h == nil {
		return bus.New(c)
	}
	c.Import, c.Unread = h.Bus, h.Unread
	b, err := bus.New(c)
	if err == nil {
		return b, nil
	}
	log.Error("cannot take over the messages of the dsatd before; they are lost: " + err.Error())
	c.Import = nil
	return bus.New(c)
}

// lockRunDir is the lock that was handed over, which was never given up, or else a new one.
func (h *handover) lockRunDir(dir string) (*runLock, error) {
	if fd := h.take(lockKey); fd >= 0 {
		return &runLock{file: os.NewFile(uintptr(fd), filepath.Join(dir, "lock"))}, nil
	}
	return lockRunDir(dir)
}

// epoch is the one that was raised before the exec, for a disk that is full now must not end all, or else a new one.
func (h *handover) epoch(stateDir string) (uint32, error) {
	if h != nil && h.Epoch > 0 {
		return h.Epoch, nil
	}
	return raiseEpoch(stateDir)
}

func (h *handover) processes() []byte {
	if h == nil {
		return nil
	}
	return h.Supervisor
}

func (h *handover) descriptors() map[string]int {
	if h == nil {
		return nil
	}
	return h.FDs
}
