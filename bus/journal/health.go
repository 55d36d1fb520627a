package journal

import (
	"errors"
	"fmt"
	"syscall"
)

// setFailure notes whether the log can be written, and tells when that has changed.
func (l *Log) setFailure(err error) {
	l.mu.Lock()
	before, scarce := l.failure, l.scarce
	l.failure = explain(err, l.dir)
	after := l.failure
	l.judge()
	l.landed.Broadcast()
	l.mu.Unlock()
	if (before == nil) == (after == nil) {
		return
	}
	if after == nil {
		after = scarce
	}
	l.tell(after)
}

// setScarce notes whether there is a reserve.
func (l *Log) setScarce(err error) {
	l.mu.Lock()
	before, failure := l.scarce, l.failure
	l.scarce = explain(err, l.dir)
	after := l.scarce
	l.judge()
	l.mu.Unlock()
	if (before == nil) != (after == nil) && failure == nil {
		l.tell(after)
	}
}

func (l *Log) tell(err error) {
	if err != nil {
		l.note("the journal takes nothing that can wait", "error", err)
	} else {
		l.note("the journal is well again")
	}
	if l.o.Failed != nil {
		l.o.Failed(err)
	}
}

// explain says what the user can do.
func explain(err error, dir string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("no room for the journal in %s: %w; make room, it goes on by itself", dir, err)
	default:
		return fmt.Errorf("cannot write the journal in %s: %w; tried again with growing delays, what is not acknowledged waits in memory", dir, err)
	}
}
