package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/dsat/dsat/web/control"
)

// The exit codes of dsatctl; exitHelp tells them to people.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitNotFound    = 4
	exitDenied      = 5
	exitConfig      = 78
	exitTimeout     = 124
	exitInterrupted = 130
)

const exitHelp = `Exit codes:
  0    ok; also status whenever the daemon answers, and Ctrl-C after -f
  1    failed
  2    wrong usage, or several daemons run and none was chosen
  3    no daemon runs, or it is stopping
  4    no such satellite, instance, step, task or message
  5    denied
  78   the topology is wrong
  124  not finished in time; what was begun goes on
  130  interrupted; what was begun goes on`

// usageError is a wrong command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// toldError is a failure whose reasons stand in the answer already.
type toldError struct{ code int }

func (e *toldError) Error() string { return "failed" }

func exitCode(err error) int {
	var usage usageError
	var told *toldError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return exitOK // who closed the pipe has read enough
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &told):
		return told.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	switch kindOf(err) {
	case control.KindInvalid:
		return exitUsage
	case control.KindUnavailable:
		return exitUnavailable
	case control.KindNotFound:
		return exitNotFound
	case control.KindTopology:
		return exitConfig
	case control.KindDenied:
		return exitDenied
	case control.KindTimeout:
		return exitTimeout
	case control.KindConflict, control.KindFailed:
		return exitFailed
	}
	return exitFailed
}

func kindOf(err error) control.Kind {
	var failure *control.Error
	var usage usageError
	switch {
	case errors.As(err, &failure):
		return failure.Kind
	case errors.As(err, &usage):
		return control.KindInvalid
	}
	return control.KindFailed
}
