package bus

import (
	"context"
	"time"

	"github.com/dsat/dsat/bus/journal"
)

// JournalStats are the quantities of the journal, and what was found when it was opened.
type JournalStats struct {
	Dir string
	journal.Stats
	Found journal.Report
}

// JournalVerdict is what reading all of a journal has found; see journal.Verdict.
type JournalVerdict = journal.Verdict

// JournalCopy is what a backup holds; see journal.Copy.
type JournalCopy = journal.Copy

// errNoJournal is the answer where nothing is kept on disk.
var errNoJournal = &Error{KindNotFound, "cannot find a journal: no queue is durable"}

// Journal tells the quantities of the journal; nil without one. It asks no loop and waits for no disk.
func (b *Bus) Journal() *JournalStats {
	log := b.journal.Load()
	if log == nil {
		return nil
	}
	return &JournalStats{Dir: log.Dir(), Stats: log.Stats(), Found: log.Report()}
}

// JournalVerify reads all of the journal, on the caller's time. Errors are *Error: there is none, it cannot be read.
func (b *Bus) JournalVerify(ctx context.Context) (JournalVerdict, error) {
	log := b.journal.Load()
	if log == nil {
		return JournalVerdict{}, errNoJournal
	}
	v, err := log.Verify(ctx)
	return v, journalError(err)
}

// JournalBackup copies all that is committed to a directory, on the caller's time. Errors are *Error: there is no journal, the
// directory is not empty, it cannot be written.
func (b *Bus) JournalBackup(ctx context.Context, to string) (JournalCopy, error) {
	log := b.journal.Load()
	if log == nil {
		return JournalCopy{}, errNoJournal
	}
	c, err := log.Backup(ctx, to)
	return c, journalError(err)
}

func journalError(err error) error {
	if err == nil {
		return nil
	}
	return &Error{KindConflict, err.Error()}
}

// SyncBounds returns the upper bounds of Stats.Latency's buckets, in seconds.
func (s *JournalStats) SyncBounds() []float64 {
	b := make([]float64, len(s.Latency)-1)
	for i := range b {
		b[i] = (time.Microsecond << i).Seconds()
	}
	return b
}
