package bus

import (
	"sort"

	"github.com/dsat/dsat/bus/journal"
)

// extentBytes is how much of the journal is counted together.
const extentBytes = 4 << 20

// estate knows how much of the journal is alive: parts of it, in order, with what is needed of them still.
type estate struct {
	segment int64 // bytes of a segment: what is removed at once
	list    []extent
	first   uint32 // number of list[0]
	end     journal.Position
	bytes   int64 // alive
}

type extent struct {
	seq   uint64 // of its first record
	at    journal.Position
	live  int
	bytes int64
}

// parcel is something on disk.
type parcel struct {
	ext  uint32
	size int64
}

// overhead is about what a hop takes on disk beside its payload.
const overhead = 32

// extent returns the number of the extent to which a record belongs that was just appended.
func (e *estate) extent(seq uint64, at journal.Position, n int) uint32 {
	e.end = at + journal.Position(n+recordOverhead)
	if k := len(e.list); k == 0 || at-e.list[k-1].at >= extentBytes {
		e.list = append(e.list, extent{seq: seq, at: at})
	}
	return e.first + uint32(len(e.list)) - 1
}

// recordOverhead is what the journal adds to a record, about.
const recordOverhead = 96

func (e *estate) lives(ext uint32, n int64) {
	x := &e.list[ext-e.first]
	x.live++
	x.bytes += n
	e.bytes += n
}

func (e *estate) dies(p parcel) {
	x := &e.list[p.ext-e.first]
	x.live--
	x.bytes -= p.size
	e.bytes -= p.size
}

// find is the extent of a record that was read.
func (e *estate) find(at journal.Position) uint32 {
	return e.first + uint32(sort.Search(len(e.list), func(i int) bool { return e.list[i].at > at })) - 1
}

// disk is about how many bytes the journal takes.
func (e *estate) disk() int64 {
	if len(e.list) == 0 {
		return 0
	}
	return int64(e.end - e.list[0].at)
}

// drop forgets extents in front that nothing needs, and returns the first sequence that is still needed; 0: nothing was dropped. The
// last extent stays.
func (e *estate) drop() uint64 {
	n := 0
	for n < len(e.list)-1 && e.list[n].live == 0 {
		n++
	}
	if n == 0 {
		return 0
	}
	e.list = append(e.list[:0], e.list[n:]...)
	e.first += uint32(n)
	return e.list[0].seq
}
