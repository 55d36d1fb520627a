package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/streams"
)

// JournalStats are the quantities of the journal, or of the log of a stream, and what was found when it was opened.
type JournalStats struct {
	Stream string // "": it is the journal of durable queues
	Dir    string
	journal.Stats
	Found journal.Report
}

// JournalVerdict is what reading all of one log has found; see journal.Verdict.
type JournalVerdict struct {
	Stream string // "": it is the journal of durable queues
	journal.Verdict
}

// JournalCopy is what a backup holds of one log; see journal.Copy.
type JournalCopy struct {
	Stream string // "": it is the journal of durable queues
	journal.Copy
}

// errNoJournal is the answer where nothing is kept on disk.
var errNoJournal = &Error{KindNotFound, `cannot find a journal: no queue is durable (queue = { delivery = "durable" }), and no stream is retained`}

// Journal tells the quantities of the journal; nil without one. It asks no loop and waits for no disk.
func (b *Bus) Journal() *JournalStats {
	log := b.journal.Load()
	if log == nil {
		return nil
	}
	return &JournalStats{Dir: log.Dir(), Stats: log.Stats(), Found: log.Report()}
}

// Journals tells those of the journal, if there is one, and of the streams, by name.
func (b *Bus) Journals() ([]JournalStats, error) {
	var list []JournalStats
	if j := b.Journal(); j != nil {
		list = append(list, *j)
	}
	err := b.eachStream(func(s *streams.Stream) error {
		dir, stats, found := s.Log()
		list = append(list, JournalStats{s.Name, dir, stats, found})
		return nil
	})
	return list, orNoJournal(len(list), err)
}

// JournalVerify reads all of the journal and of the streams, on the caller's time. Errors are *Error: there is none, one cannot be read.
func (b *Bus) JournalVerify(ctx context.Context) ([]JournalVerdict, error) {
	var list []JournalVerdict
	if log := b.journal.Load(); log != nil {
		v, err := log.Verify(ctx)
		if err != nil {
			return nil, journalError(err)
		}
		list = append(list, JournalVerdict{"", v})
	}
	err := b.eachStream(func(s *streams.Stream) error {
		v, err := s.Verify(ctx)
		list = append(list, JournalVerdict{s.Name, v})
		return journalError(err)
	})
	return list, orNoJournal(len(list), err)
}

// JournalBackup copies all that is committed to a new directory, which has the names of a state directory then: JournalName and
// StreamsName. Each of the logs is one moment of it, one after the other, on the caller's time. Errors are *Error: there is nothing to
// copy, the directory is not empty, it cannot be written.
func (b *Bus) JournalBackup(ctx context.Context, to string) ([]JournalCopy, error) {
	if names, err := os.ReadDir(to); err == nil && len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, journalError(cmp.Or(err, fmt.Errorf("cannot back up to %s: it is not empty", to)))
	}
	var list []JournalCopy
	err := b.eachStream(func(s *streams.Stream) error {
		c, err := s.Backup(ctx, filepath.Join(to, StreamsName))
		list = append(list, JournalCopy{s.Name, c})
		return journalError(err)
	})
	if log := b.journal.Load(); log != nil && err == nil { // the last, so that a copy without it is seen to be part of one
		var c journal.Copy
		c, err = log.Backup(ctx, filepath.Join(to, JournalName))
		list, err = slices.Insert(list, 0, JournalCopy{"", c}), journalError(err)
	}
	if err := orNoJournal(len(list), err); err != nil {
		return nil, err
	}
	return list, journalError(errors.Join(syncDirectory(to), syncDirectory(filepath.Join(to, StreamsName)), syncDirectory(filepath.Dir(to))))
}

// syncDirectory brings the names in a directory to disk, if there is one.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// eachStream calls f with every stream that is on disk, by name.
func (b *Bus) eachStream(f func(*streams.Stream) error) error {
	if b.cfg.StateDir == "" {
		return nil
	}
	names, err := b.streamNames("")
	for _, name := range names {
		if err = b.withStream(name, f); err != nil {
			break
		}
	}
	return err
}

func orNoJournal(found int, err error) error {
	if err == nil && found == 0 {
		return errNoJournal
	}
	return err
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
