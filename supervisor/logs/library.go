package logs

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/dsat/dsat/topology"
)

// Library is the books of all instances, the one writer of their files, and the way to the sinks outside. Its methods may be called from
// anywhere; none but Run and Settle waits for a disk.
type Library struct {
	log    *slog.Logger
	dir    string // of the files; "" none
	lines  atomic.Uint64
	writer *writer
	posts  *postOffice
}

// New makes a library whose files are in dir ("": memory only; it is made with the first line) and take total bytes together at most (0:
// without limit). What cannot be written, read or forwarded is said to log. Nothing is written before Run.
func New(log *slog.Logger, dir string, total int64) *Library {
	return &Library{log: log, dir: dir, writer: newWriter(log, dir, total), posts: newPostOffice(log)}
}

// Book makes the book of one instance, under the rules of its satellite. There must be one for each instance only.
func (l *Library) Book(ref topology.Ref, rules *topology.Log) *Book {
	b := &Book{ref: ref, lib: l}
	b.Rule(rules)
	return b
}

// Run writes the files until the context ends, then what is left, and lets the forwarders send what can be sent at once.
func (l *Library) Run(ctx context.Context) {
	l.writer.run(ctx)
	l.posts.close()
}

// Settle waits until all lines that were appended before are in the files, or the context ends.
func (l *Library) Settle(ctx context.Context) { l.writer.settle(ctx) }

// Reopen opens the files anew with their next line, for a rotation from outside. It returns at once.
func (l *Library) Reopen() { l.writer.again() }

// Seq is the number of the newest line of all books.
func (l *Library) Seq() uint64 { return l.lines.Load() }

// Resume goes on counting lines after a number, as another library had it. It is for a library that has none yet.
func (l *Library) Resume(seq uint64) { l.lines.Store(seq) }

// Kept are the instances that there are files of, sorted, also those that are no more. A directory that cannot be read has none; it is said
// in the log.
func (l *Library) Kept() []topology.Ref {
	if l.dir == "" {
		return nil
	}
	files, err := l.writer.archive.list()
	if err != nil {
		l.log.Warn("cannot list the log files", "dir", l.dir, "error", err)
	}
	var kept []topology.Ref
	for _, seg := range files {
		kept = append(kept, seg.ref)
	}
	slices.SortFunc(kept, func(a, b topology.Ref) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.WID-b.WID) })
	return slices.Compact(kept)
}

// Forwardings are all sinks outside, in no order.
func (l *Library) Forwardings() []Forwarding { return l.posts.forwardings() }
