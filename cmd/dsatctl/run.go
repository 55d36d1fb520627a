package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/web/control"
)

// exitNotRun is the code of a program that could not be executed, as shells have it.
const exitNotRun = 126

const runHelp = `Run a program as a satellite (or one instance of it) would run: with its user and groups, environment, directory and
limits. Input, output and errors are those of dsatctl; on a terminal the program gets one of its own, so that shells and
editors work. Ctrl-C and other signals reach it. When dsatctl is killed it is ended.

It is no instance: nothing restarts it, it speaks to no bus, and its output is in no log. It ends with the daemon, and an
upgrade waits for it, and then gives up.

The exit code is the program's own, 128 and the number of a signal that ended it, or 126 when it could not be executed.`

func (t *tool) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "run NAME[:WID] -- COMMAND ARG...",
		Short:   "Run a program with a satellite's user, environment, directory and limits",
		Long:    runHelp,
		Example: "  dsatctl run web -- env\n  dsatctl run db:1 -- sh -c 'pg_dump > dump.sql'\n  dsatctl run web -- bash",
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) < 2 || dash != 1 && dash != -1 {
				return usageError("cannot run: want NAME -- COMMAND ARG...: see " + cmd.CommandPath() + " --help")
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return t.completeNames(cmd, args, begun)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return t.runProgram(cmd.Context(), args[0], args[1:]) },
	}
}

func (t *tool) runProgram(ctx context.Context, name string, argv []string) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	request, files := control.RunRequest{Argv: argv}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	begun := func() {}
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		screen, err := openScreen()
		if err != nil {
			return err
		}
		defer screen.close()
		request.TTY, request.Term = true, os.Getenv("TERM")
		files, begun = screen.files(), screen.begin
	}
	// An interrupt is the program's: it may end of it, or not.
	end, err := client.Run(context.WithoutCancel(ctx), name, request, files, signals, begun)
	switch {
	case err != nil:
		return err
	case end.Error != "":
		t.note("%s", end.Error)
		return &toldError{exitNotRun}
	case end.Signal != 0:
		return &toldError{128 + end.Signal}
	case end.Code != 0:
		return &toldError{end.Code}
	}
	return nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// shownPatience is how long the last words of a program are waited for.
const shownPatience = 500 * time.Millisecond

// screen is a terminal for a program, shown on ours: ours passes every key on, and the program's own does what keys mean.
type screen struct {
	master, slave *os.File
	before        *unix.Termios // of ours
	resized       chan os.Signal
	begun         bool
	shown         chan struct{} // closed when all the program has written is shown
}

func openScreen() (*screen, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	fail := func(err error) (*screen, error) {
		_ = master.Close()
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return fail(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return fail(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	s := &screen{master: master, slave: slave, resized: make(chan os.Signal, 1), shown: make(chan struct{})}
	if before, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err == nil {
		s.before = before
		_ = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, before) // its keys mean what ours do
	}
	s.resize()
	return s, nil
}

func (s *screen) files() [3]*os.File { return [3]*os.File{s.slave, s.slave, s.slave} }

// begin shows what the program writes and passes on what is typed. The program has its end of the terminal by now.
func (s *screen) begin() {
	s.begun = true
	_ = s.slave.Close()
	if s.before != nil {
		raw := *s.before
		raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		raw.Oflag &^= unix.OPOST
		raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, &raw)
	}
	signal.Notify(s.resized, syscall.SIGWINCH)
	go func() {
		defer close(s.shown)
		_, _ = io.Copy(os.Stdout, s.master) // ends with an error once nobody has the other end
	}()
	go func() { // ends with the process: a read of a terminal cannot be given up
		_, _ = io.Copy(s.master, os.Stdin)
	}()
	go func() { // likewise
		for range s.resized {
			s.resize()
		}
	}()
}

// resize makes the program's terminal as large as ours.
func (s *screen) resize() {
	if size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// close shows the rest and gives our terminal back.
func (s *screen) close() {
	_ = s.slave.Close() // when it never began
	if s.begun {
		select {
		case <-s.shown:
		case <-time.After(shownPatience): // something it left behind has the terminal still
		}
	}
	if s.before == nil {
		return
	}
	_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, s.before)
}
