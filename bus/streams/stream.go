// Package streams keeps what a satellite has put out, for a while: an append-only log on disk with a path as its name, which
// can be read again by time or sequence. It is beside the way of the messages: nothing waits for it, and what it cannot keep
// (its disk is full or too slow) is counted and left out.
//
// A stream is a journal of its own (package journal) in a directory of its own, so that each has its own retention, and a damaged one
// harms no other. A record of kind 1 is one message:
//
//	 0 u8  version 1
//	 1 u8  zero
//	 2 u16 codec   as in bus/wire
//	 4 u16 hops    steps the message had passed
//	 6 u16 length  of the step's name
//	 8 u64 task
//	16 the step's name, then the payload
//
// Version 2 has, between the two, a u32 length and the format of a payload that is a struct (package codec, Spec.Text).
package streams

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/bus/journal"
)

// Retain says for how long, at least; what is older goes by whole segments. Zero of all three is for ever.
type Retain struct {
	Age   time.Duration
	Size  int64 // bytes of records
	Count uint64
}

// Entry is one message of a stream.
type Entry struct {
	Stream  string
	Seq     uint64
	Time    time.Time // when it was put out, to the turn of the loop
	Step    string
	Task    uint64
	Codec   uint16
	Hops    uint16
	Format  string // of a struct: codec.Spec.Text; "": nobody knows
	Payload []byte // valid until the call it was given to returns
}

// Stream is an open one. Append and Flush are for one goroutine, the rest for any.
type Stream struct {
	Name   string
	log    *journal.Log
	retain atomic.Pointer[Retain]
	lost   atomic.Uint64
}

const (
	kindMessage = 1
	version     = 1
	formatted   = 2
	headSize    = 16

	largestSegment  = 64 << 20
	usualSegment    = 4 << 20
	smallestSegment = 256 << 10
)

// Dir is the directory of a stream below that of all: its name with what may not be in a file's name written as %XX.
func Dir(root, name string) string { return filepath.Join(root, url.PathEscape(name)) }

// NameOf is the name of the stream whose directory this is; "" when it is none.
func NameOf(dir string) string {
	name, err := url.PathUnescape(filepath.Base(dir))
	if err != nil || url.PathEscape(name) != filepath.Base(dir) {
		return ""
	}
	return name
}

// Open opens a stream, or begins it.
func Open(root, name string, retain Retain, epoch uint32, log *slog.Logger) (*Stream, error) {
	segment := int64(largestSegment)
	switch { // what is too old goes a segment at a time
	case retain.Size > 0:
		segment = min(max(retain.Size/8, smallestSegment), largestSegment)
	case retain.Age > 0 || retain.Count > 0:
		segment = usualSegment
	}
	l, err := journal.Open(Dir(root, name), journal.Options{Segment: segment, Epoch: epoch, Log: log})
	if err != nil {
		return nil, fmt.Errorf("cannot open stream %s: %w", name, err)
	}
	if err := l.Replay(func(journal.Record) error { return nil }); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot read stream %s: %w", name, err), l.Close())
	}
	s := &Stream{Name: name, log: l}
	s.retain.Store(&retain)
	return s, nil
}

// Append keeps a message, as a copy; it never waits. Nothing of it is on disk before Flush.
func (s *Stream) Append(step string, task uint64, codec, hops uint16, format string, payload []byte) {
	if s.log.Full() {
		s.lost.Add(1)
		return
	}
	var head [headSize]byte
	head[0] = version
	binary.LittleEndian.PutUint16(head[2:], codec)
	binary.LittleEndian.PutUint16(head[4:], hops)
	binary.LittleEndian.PutUint16(head[6:], uint16(len(step)))
	binary.LittleEndian.PutUint64(head[8:], task)
	if format == "" {
		s.log.Append(kindMessage, head[:], []byte(step), payload)
		return
	}
	head[0] = formatted
	s.log.Append(kindMessage, head[:], []byte(step), binary.LittleEndian.AppendUint32(nil, uint32(len(format))), []byte(format), payload)
}

// Flush hands what was appended to the disk.
func (s *Stream) Flush() { s.log.Flush() }

// Keep changes the retention.
func (s *Stream) Keep(r Retain) { s.retain.Store(&r) }

// decode reads a record.
func decode(name string, r journal.Record) (Entry, bool) {
	b := r.Body
	if r.Kind != kindMessage || len(b) < headSize || b[0] != version && b[0] != formatted {
		return Entry{}, false
	}
	n := int(binary.LittleEndian.Uint16(b[6:]))
	if headSize+n > len(b) {
		return Entry{}, false
	}
	e := Entry{
		Stream: name, Seq: r.Seq, Time: time.Unix(0, r.Time), Step: string(b[headSize : headSize+n]), Task: binary.LittleEndian.Uint64(b[8:]),
		Codec: binary.LittleEndian.Uint16(b[2:]), Hops: binary.LittleEndian.Uint16(b[4:]), Payload: b[headSize+n:],
	}
	if b[0] == formatted {
		if len(e.Payload) < 4 || uint64(binary.LittleEndian.Uint32(e.Payload)) > uint64(len(e.Payload)-4) {
			return Entry{}, false
		}
		n := int(binary.LittleEndian.Uint32(e.Payload))
		e.Format, e.Payload = string(e.Payload[4:4+n]), e.Payload[4+n:]
	}
	return e, true
}

// Read calls f with the messages from a sequence and a time on, in order, up to the newest that is on disk. The wall clock may have been
// set back: a message is left out when its own time is too early, and none after it for that.
func (s *Stream) Read(ctx context.Context, seq uint64, from time.Time, f func(*Entry) error) error {
	if !from.IsZero() {
		seq = max(seq, s.before(ctx, from))
	}
	return s.log.Walk(ctx, seq, func(r journal.Record) error {
		e, ok := decode(s.Name, r)
		if !ok || e.Time.Before(from) {
			return nil
		}
		return f(&e)
	})
}

var errFound = errors.New("found")

// first is the first record from a sequence on.
func (s *Stream) first(ctx context.Context, seq uint64) (r journal.Record, ok bool) {
	err := s.log.Walk(ctx, seq, func(x journal.Record) error {
		r, ok = x, true
		r.Body = nil
		return errFound
	})
	return r, ok && errors.Is(err, errFound)
}

// before is a sequence at or before the first message of a time, found by halving: times grow with sequences, unless the clock was set.
func (s *Stream) before(ctx context.Context, t time.Time) uint64 {
	low, high := s.log.Oldest().First, s.log.Committed()+1
	for low+1 < high {
		mid := low + (high-low)/2
		r, ok := s.first(ctx, mid)
		if !ok || r.Time >= t.UnixNano() {
			high = mid
		} else {
			low = max(mid, r.Seq)
		}
		if high-low < 1<<14 { // a reading passes by so many sooner than it halves again
			break
		}
	}
	return low
}

// Tend lets go of what need not be kept any more, and returns when it wants to be called again at the latest.
func (s *Stream) Tend(ctx context.Context, now time.Time) time.Duration {
	r := s.retain.Load()
	for {
		oldest, st := s.log.Oldest(), s.log.Stats()
		if !oldest.Sealed {
			return tendAge(r)
		}
		over := r.Size > 0 && st.Bytes-oldest.Bytes >= r.Size || r.Count > 0 && s.log.Committed()+1-min(oldest.Next, s.log.Committed()+1) >= r.Count
		if !over && r.Age > 0 {
			next, ok := s.first(ctx, oldest.Next) // it is not older than any before it
			over = ok && now.Sub(time.Unix(0, next.Time)) >= r.Age
		}
		if !over {
			return tendAge(r)
		}
		s.log.Release(oldest.Next)
		if s.log.Oldest().First < oldest.Next {
			return tendAgain
		}
	}
}

// tendAgain is when to look again for what the log's writer removes in its own time.
const tendAgain = 20 * time.Millisecond

func tendAge(r *Retain) time.Duration {
	if r.Age == 0 {
		return time.Minute
	}
	return min(max(r.Age/16, time.Second), time.Minute)
}

// Status is what is kept.
type Status struct {
	Name        string
	Retain      Retain
	First, Last uint64 // sequences; Last < First: nothing is kept
	Oldest      time.Time
	Newest      time.Time
	Bytes       int64
	Lost        uint64 // messages not kept since it was opened
	Full        bool
	Fault       string
}

// Status looks at the log, and reads two records for their times.
func (s *Stream) Status(ctx context.Context) Status {
	js := s.log.Stats()
	st := Status{Name: s.Name, Retain: *s.retain.Load(), First: s.log.Oldest().First, Last: s.log.Committed(), Bytes: js.Bytes, Lost: s.lost.Load(), Full: s.log.Full()}
	if r, ok := s.first(ctx, st.First); ok {
		st.First, st.Oldest = r.Seq, time.Unix(0, r.Time)
	}
	if r, ok := s.first(ctx, st.Last); ok {
		st.Newest = time.Unix(0, r.Time)
	}
	return st
}

// Sync waits until all that was appended is on disk, at most until ctx ends.
func (s *Stream) Sync(ctx context.Context) error {
	s.log.Flush()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for last := s.log.Last(); s.log.Committed() < last; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// Close writes what is pending and lets the directory go.
func (s *Stream) Close() error { return s.log.Close() }

// Gauge is what can be told without the disk.
type Gauge struct {
	Name     string
	Messages uint64
	Bytes    int64
	Lost     uint64
	Full     bool
	Last     uint64 // number of the newest on disk
}

// Gauge counts.
func (s *Stream) Gauge() Gauge {
	st := s.log.Stats()
	g := Gauge{Name: s.Name, Bytes: st.Bytes, Lost: s.lost.Load(), Full: st.Full, Last: st.Committed}
	if st.Committed >= st.Oldest {
		g.Messages = st.Committed - st.Oldest + 1
	}
	return g
}
