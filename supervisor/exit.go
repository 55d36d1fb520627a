package supervisor

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// Exit is how a life ended. A spawn that failed is an exit with Err.
type Exit struct {
	Code   int
	Signal syscall.Signal // 0 unless a signal ended it
	Core   bool           // a core was dumped
	Err    error          // it never ran, and this is why
	Cause  string         // why it was ended and counts as a failure, whatever its code: "not ready within 30s: ..."
	Asked  bool           // somebody wanted its end
	Motive string         // who, when it was neither the operator nor its own fault: "replaced, it has run for 1h0m0s"
	Uptime time.Duration  // from the spawn
	Usage  Usage

	Starved string // how the kernel's want of memory comes into a SIGKILL; "": not at all

	Unknown bool // nobody could be asked how it ended: it was not our child
}

func exitOf(ws syscall.WaitStatus, used Usage) Exit {
	if ws.Signaled() {
		return Exit{Signal: ws.Signal(), Core: ws.CoreDump(), Usage: used}
	}
	return Exit{Code: ws.ExitStatus(), Usage: used}
}

// String is "exit code 3", "killed by signal 9 (SIGKILL)" or the reason it never ran.
func (e Exit) String() string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Signal != 0:
		text := fmt.Sprintf("killed by signal %d (%s)", int(e.Signal), unix.SignalName(e.Signal))
		if e.Core {
			text += ", core dumped"
		}
		if e.Starved != "" {
			text += " " + e.Starved
		}
		return text
	case e.Unknown:
		return unknownExit
	default:
		return fmt.Sprintf("exit code %d", e.Code)
	}
}

// because is String, or the cause it was ended for.
func (e Exit) because() string {
	if e.Cause != "" {
		return e.Cause
	}
	return e.String()
}

func (e Exit) success(p topology.Restart) bool {
	switch {
	case e.Err != nil || e.Cause != "" || e.Unknown:
		return false
	case e.Signal != 0:
		return slices.Contains(p.SuccessSignals, e.Signal)
	}
	return slices.Contains(p.SuccessCodes, e.Code)
}

// forbids: its code says that another start makes no sense.
func (e Exit) forbids(p topology.Restart) bool {
	return e.Err == nil && e.Cause == "" && e.Signal == 0 && slices.Contains(p.ForbidCodes, e.Code)
}
