package streams

import (
	"context"

	"github.com/dsat/dsat/bus/journal"
)

// Log tells where the log of the stream is, its quantities, and what was found when it was opened. It waits for no disk.
func (s *Stream) Log() (dir string, stats journal.Stats, found journal.Report) {
	return s.log.Dir(), s.log.Stats(), s.log.Report()
}

// Verify reads all that is on disk and checks it; see journal.Log.Verify.
func (s *Stream) Verify(ctx context.Context) (journal.Verdict, error) { return s.log.Verify(ctx) }

// Backup copies all that is on disk to the directory that Dir gives below root; see journal.Log.Backup.
func (s *Stream) Backup(ctx context.Context, root string) (journal.Copy, error) {
	return s.log.Backup(ctx, Dir(root, s.Name))
}
