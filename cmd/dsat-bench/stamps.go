package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// stamp is one child's first act.
type stamp struct {
	at  int64 // CLOCK_MONOTONIC, ns
	pid int
}

const stampBytes = 16

// parseStamps reads whole stamps; what is torn at the end is not there yet.
func parseStamps(raw []byte) []stamp {
	all := make([]stamp, len(raw)/stampBytes)
	for i := range all {
		b := raw[i*stampBytes:]
		all[i] = stamp{at: int64(binary.LittleEndian.Uint64(b)), pid: int(binary.LittleEndian.Uint64(b[8:]))}
	}
	return all
}

// stamps is the file the children append to.
type stamps struct{ path, child string }

func newStamps(l *lab) (*stamps, error) {
	s := &stamps{path: filepath.Join(l.dir, "stamps"), child: filepath.Join(l.dir, "child")}
	return s, os.WriteFile(s.path, nil, 0o600)
}

// wait polls until there are n stamps; the stamps carry the times, so the polling costs no precision.
func (s *stamps) wait(ctx context.Context, n int) ([]stamp, error) {
	for {
		info, err := os.Stat(s.path)
		if err != nil {
			return nil, err
		}
		if info.Size() >= int64(n)*stampBytes {
			break
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return nil, fmt.Errorf("%d of %d children stamped: %w", info.Size()/stampBytes, n, err)
		}
	}
	raw, err := os.ReadFile(s.path)
	return parseStamps(raw), err
}

// sweep kills children that a manager left behind. A pid counts only while it still runs our child.
func (s *stamps) sweep() error {
	raw, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	left := 0
	for _, c := range parseStamps(raw) {
		exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(c.pid), "exe"))
		if errors.Is(err, fs.ErrNotExist) || exe != s.child {
			continue
		}
		if syscall.Kill(c.pid, syscall.SIGKILL) == nil {
			left++
		}
	}
	if left > 0 {
		return fmt.Errorf("%d children outlived their manager", left)
	}
	return nil
}
