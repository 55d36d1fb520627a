package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const doctorHelp = `Look at the machine and the installation: directories and space, limits against the topology's size, the kernel, control
groups, the clock, programs that do not exist, addresses that are taken or open to the network, processes without a daemon.
Every finding is ok, warn or bad, and says what to do. It changes nothing.

With a daemon it is asked; without one, or with a FILE, ` + "`dsatd doctor FILE`" + ` is executed, which looks the same way.

The exit code is 1 when something is bad.`

func (t *tool) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [FILE...]",
		Short: "Look for what is wrong with the machine or the installation, and say what to do",
		Long:  doctorHelp,
		RunE:  func(cmd *cobra.Command, args []string) error { return t.doctor(cmd.Context(), args) },
	}
}

func (t *tool) doctor(ctx context.Context, files []string) error {
	if len(files) > 0 {
		return t.becomeDoctor(files)
	}
	client, err := t.client()
	var found []control.Finding
	if err == nil {
		found, err = client.Doctor(ctx)
	}
	if failure := (*control.Error)(nil); errors.As(err, &failure) && failure.Kind == control.KindUnavailable {
		return t.becomeDoctor(nil)
	}
	if err != nil {
		return err
	}
	if !t.json {
		if _, err := t.out.WriteString(printable(control.FindingsText(found))); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(found, func(f control.Finding) bool { return f.State == control.FindingBad }) {
		return &toldError{exitFailed}
	}
	return nil
}

// becomeDoctor executes `dsatd doctor`: from beside this program, else from PATH.
func (t *tool) becomeDoctor(files []string) error {
	args := []string{"dsatd", "doctor"}
	if t.json {
		args = append(args, "--json")
	}
	if t.runDir != "" {
		args = append(args, "--run-dir", t.runDir)
	}
	self, err := os.Executable()
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if err == nil {
		dirs = append([]string{filepath.Dir(self)}, dirs...)
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, "dsatd")
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			err := syscall.Exec(path, append(args, files...), os.Environ())
			return &control.Error{Kind: control.KindFailed, Message: "cannot execute " + path + ": " + err.Error()}
		}
	}
	return &control.Error{Kind: control.KindUnavailable, Message: "cannot look: no daemon runs, and dsatd is neither beside dsatctl nor in PATH"}
}
