package journal

import (
	"fmt"
	"math/bits"
	"time"
)

// Stats are the quantities of a log since it was opened.
type Stats struct {
	Segments  int           // files in force
	Bytes     int64         // records in force, on disk
	Pending   int64         // bytes that are not committed yet
	Oldest    uint64        // no record in force has a lower sequence
	Last      uint64        // sequence given out last
	Committed uint64        // sequence up to which all is on disk
	Records   uint64        // committed since Open
	Written   uint64        // bytes committed since Open, with heads and marks
	Groups    uint64        // group commits
	Syncs     uint64        // fdatasync calls
	Released  uint64        // segments removed
	Failures  uint64        // failed attempts to write or sync
	Largest   uint32        // records in the largest batch
	Batches   [24]uint64    // batches of at most 2^i records
	Latency   [32]uint64    // syncs that took at most 2^i microseconds
	SyncTime  time.Duration // spent in fdatasync
	Full      bool
	Fault     string // why nothing that can wait is taken; empty when well
}

// Stats copies the quantities.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Segments, s.Bytes, s.Pending = len(l.segs), l.bytes(), l.pending
	s.Last, s.Committed, s.Full = l.seq, l.committed.Load(), l.full.Load()
	s.Oldest = l.seq + 1
	if len(l.segs) > 0 {
		s.Oldest = l.segs[0].first
	}
	switch {
	case l.failure != nil:
		s.Fault = l.failure.Error()
	case l.scarce != nil:
		s.Fault = l.scarce.Error()
	case s.Full && l.o.Limit > 0 && s.Bytes > l.o.Limit:
		s.Fault = fmt.Sprintf("the log has reached its limit of %d bytes", l.o.Limit)
	case s.Full:
		s.Fault = "the disk is too far behind"
	}
	return s
}

// countSync notes an fdatasync.
func (l *Log) countSync(took time.Duration) {
	l.mu.Lock()
	l.stats.Syncs++
	l.stats.SyncTime += took
	l.stats.Latency[bucket(uint64(took.Microseconds()), len(l.stats.Latency))]++
	l.mu.Unlock()
}

// countBatch notes a committed batch; the lock is held.
func (s *Stats) countBatch(b *batch) {
	s.Records += uint64(b.count)
	s.Written += uint64(len(b.buf))
	s.Largest = max(s.Largest, b.count)
	s.Batches[bucket(uint64(b.count), len(s.Batches))]++
}

// bucket is the i of n for which 2^i is the least power of two that is >= v; the last one takes what is larger.
func bucket(v uint64, n int) int {
	if v <= 1 {
		return 0
	}
	return min(bits.Len64(v-1), n-1)
}
