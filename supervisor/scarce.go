package supervisor

import (
	"errors"

	"golang.org/x/sys/unix"
)

// scarce is what to do about an error that means that something has run out; "" for others. It is put behind the error.
func scarce(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return ": dsatd itself may have no more: raise its limit (LimitNOFILE= in its unit, or ulimit -n)"
	case errors.Is(err, unix.ENFILE):
		return ": the machine has no more: raise fs.file-max"
	case errors.Is(err, unix.EAGAIN):
		return ": the user of dsatd has as many processes and threads as it may (ulimit -u), or dsatd's unit (TasksMax=), or the machine (kernel.threads-max)"
	case errors.Is(err, unix.ENOMEM):
		return ": the machine has no memory left for it, or promises no more (vm.overcommit_memory)"
	}
	return ""
}
