package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how a log behaves. The zero value is good.
type Options struct {
	Segment   int64                       // bytes of one segment file; 0 is 64 MiB, from 4 KiB to 16 GiB
	Limit     int64                       // bytes of records on disk above which the log is Full; 0 is none
	Epoch     uint32                      // of the daemon, written into each segment
	FS        FS                          // nil is the real one
	Log       *slog.Logger                // nil is silent
	Committed func(seq uint64)            // every record <= seq is on disk; by the writer goroutine, must not block
	Failed    func(err error)             // the state changed: cannot write (and why), or well again (nil); same goroutine
	Now       func() time.Time            // the wall clock; nil is time.Now
	Pause     func(try int) time.Duration // before attempt number try (from 1) to write again; nil is 50 ms, doubling, at most 5 s
}

// Record is one entry of the log.
type Record struct {
	Seq  uint64
	Kind uint8 // the owner's, 0 to 254
	At   Position
	Time int64  // wall clock, ns
	Body []byte // a view: valid until the call it was given to returns, or as long as the buffer it was read into
}

// Log is an open log. Append, Flush and Release are meant for one owner but safe for many; Read, Stats, Full and Backup are
// for any goroutine.
type Log struct {
	o     Options
	dir   string
	fs    FS
	lock  io.Closer
	batch int // bytes at which a batch is closed

	readOnly bool // of Verify and Backup: nothing is written, there is no writer
	seed     uint32
	ident    uint64

	mu      sync.Mutex
	wake    sync.Cond // the writer waits here
	forming *batch    // records are appended here
	queue   []*batch  // full ones before it, oldest first
	writing []*batch  // what the writer has in hand
	spares  []*batch  // empty, to be used again
	pending int64     // bytes in forming, queue and writing
	seq     uint64    // last one given out
	turn    int64     // wall clock of this turn, 0 before its first Append
	landed  sync.Cond // Open and Backup wait here for the writer
	chore   bool      // the writer shall look for what there is to do
	flushed bool      // the writer may take what is forming
	closing bool
	failure error      // why nothing can be written; nil when well
	scarce  error      // why there is no reserve; nil when there is one
	segs    []*segment // oldest first; the last one is being written
	pins    int        // backups under way: nothing is removed
	release uint64     // records below it are done with
	report  Report
	replay  *replay // what Replay will read; nil afterwards
	stats   Stats

	full      atomic.Bool
	committed atomic.Uint64 // last committed seq

	w    writer // only the writer goroutine touches it
	quit chan struct{}
	done chan struct{}
}

const (
	defaultSegment = 64 << 20
	leastSegment   = 4 << 10
	mostSegment    = 16 << 30
	batchSize      = 1 << 20  // a batch is closed when it has grown to this, or to a quarter of a segment
	groupSize      = 8 << 20  // the most that one sync commits, unless a single batch is larger
	maxPending     = 32 << 20 // above this the writer is too far behind: Full
)

// Append puts a record into the batch that is forming and gives it the next sequence and an address. The parts become its
// body. It never blocks on the disk and never fails: what cannot be written waits in memory, and Full says so. A body over
// MaxBody or the kind 255 are mistakes of the caller, and panic.
func (l *Log) Append(kind uint8, parts ...[]byte) (seq uint64, at Position) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > MaxBody || kind == markKind {
		panic(fmt.Sprintf("journal: a record of kind %d and %d bytes: the kind must be below 255, the body at most %d bytes", kind, n, MaxBody))
	}
	l.mu.Lock()
	if l.turn == 0 {
		l.turn = l.o.Now().UnixNano()
	}
	size := recordHeader + padded(n)
	b := l.room(size)
	l.seq++
	at, seq = b.end(), l.seq
	b.add(seq, kind, l.turn, n, parts)
	l.pending += int64(size)
	if l.pending > maxPending {
		l.full.Store(true)
	}
	l.mu.Unlock()
	return seq, at
}

// Flush ends a turn of the owner: what was appended is handed to the writer. While a sync runs the next batch forms by itself.
func (l *Log) Flush() {
	l.mu.Lock()
	l.turn = 0
	if l.forming.count > 0 || len(l.queue) > 0 {
		l.flushed = true
		l.wake.Signal()
	}
	l.mu.Unlock()
}

// Full says that nothing should be admitted that can wait: the disk is full or failing, Options.Limit is reached, or the
// writer is too far behind. What ends work is appended all the same.
func (l *Log) Full() bool { return l.full.Load() }

// Committed is the highest sequence that is on disk with all before it.
func (l *Log) Committed() uint64 { return l.committed.Load() }

// Last is the sequence given out last.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// Dir is the directory of the log.
func (l *Log) Dir() string { return l.dir }

// judge sets Full from what it follows from; the lock is held.
func (l *Log) judge() {
	l.full.Store(l.failure != nil || l.scarce != nil || l.pending > maxPending || l.o.Limit > 0 && l.bytes() > l.o.Limit)
}

// bytes is what the records in force take on disk; the lock is held.
func (l *Log) bytes() int64 {
	var n int64
	for _, s := range l.segs {
		n += int64(s.end - s.base)
	}
	return n
}

// Close writes what is pending, seals the last segment and lets the directory go. When the disk does not take the rest, the
// error says how many records were lost with it.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closing = true
	close(l.quit)
	l.wake.Signal()
	l.mu.Unlock()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segs {
		s.closeReader()
	}
	err := l.lock.Close()
	if lost := l.seq - l.committed.Load(); lost > 0 {
		return fmt.Errorf("cannot write the last %d records of %s: %w", lost, l.dir, errors.Join(l.failure, err))
	}
	return err
}

// batch is a run of records that gets one mark and is written at once.
type batch struct {
	buf         []byte
	base        Position
	first, last uint64
	count       uint32
	sealed      bool // has its mark's room
}

// end is the address behind the last record.
func (b *batch) end() Position { return b.base + Position(len(b.buf)) }

func (b *batch) add(seq uint64, kind uint8, now int64, n int, parts [][]byte) {
	if b.count == 0 {
		b.first = seq
	}
	b.last = seq
	b.count++
	var head [recordHeader]byte
	putRecord(head[:], n, seq, now, kind)
	b.buf = append(b.buf, head[:]...)
	for _, p := range parts {
		b.buf = append(b.buf, p...)
	}
	var zeros [8]byte
	b.buf = append(b.buf, zeros[:padded(n)-n]...)
}

// room returns the batch in which a record of the given size fits; the lock is held.
func (l *Log) room(size int) *batch {
	if len(l.forming.buf) > 0 && len(l.forming.buf)+size > l.batch {
		l.roll()
	}
	return l.forming
}

// roll closes the batch that is forming and begins the next one; the lock is held.
func (l *Log) roll() {
	b := l.forming
	l.seal(b)
	l.queue = append(l.queue, b)
	l.forming = l.blank(b.end())
}

// seal makes room for the mark, so that the addresses after it are known. The writer fills it in.
func (l *Log) seal(b *batch) {
	if b.sealed {
		return
	}
	var m [markSize]byte
	putRecord(m[:], markBody, b.last, l.o.Now().UnixNano(), markKind)
	b.buf = append(b.buf, m[:]...)
	b.sealed = true
	l.pending += markSize
}

// blank is an empty batch that begins at base; the lock is held.
func (l *Log) blank(base Position) *batch {
	if n := len(l.spares); n > 0 {
		b := l.spares[n-1]
		l.spares = l.spares[:n-1]
		*b = batch{buf: b.buf[:0], base: base}
		return b
	}
	return &batch{base: base}
}

// free takes a written batch back; the lock is held. Four are kept: one forms, one is written, two for bursts.
func (l *Log) free(b *batch) {
	if cap(b.buf) <= 2*batchSize && len(l.spares) < 4 {
		l.spares = append(l.spares, b)
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// finish fills in the checksums and the mark of a batch: the writer's work, so that it costs the owner nothing.
func (b *batch) finish(seed uint32, synced Position) {
	body := len(b.buf) - markSize
	for off := 0; off < body; {
		off += stamp(b.buf[off:], seed, b.base+Position(off))
	}
	m := b.buf[body:]
	mark{begin: b.base, synced: synced, count: b.count, crc: checksum(b.buf[:body])}.put(m[recordHeader:])
	stamp(m, seed, b.base+Position(body))
}
