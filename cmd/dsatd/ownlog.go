package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// ownWords is how dsatd says what it does: for people, or an object a line for programs.
func ownWords(l topology.DaemonLog, level slog.Level) slog.Handler {
	if l.Format == topology.LogJSON {
		return slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})
	}
	return newConsole(os.Stderr, level)
}

// moveOwnLog puts a file in place of standard error, so that it gets the words of a crash too. "" leaves it.
func moveOwnLog(path string) error {
	if path == "" {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot open the daemon's log (daemon.log.file): %w", err)
	}
	return errors.Join(unix.Dup3(int(f.Fd()), 2, 0), f.Close())
}
