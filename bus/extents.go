package bus

import "github.com/dsat/dsat/bus/journal"

// extentBytes is how much of the journal is counted together.
const extentBytes = 2 << 20

// estate knows how much of the journal is alive: parts of it, in order, with what is needed of them still.
type estate struct {
	segment int64 // bytes of a segment: what is removed at once
	grain   int64 // bytes of an extent
	list    []extent
	first   uint32 // number of list[0]
	end     journal.Position
	bytes   int64 // alive

	committed uint64 // every record up to here is on disk
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
	if k := len(e.list); k == 0 || at-e.list[k-1].at >= journal.Position(e.grain) {
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

// disk is about how many bytes the journal takes.
func (e *estate) disk() int64 {
	if len(e.list) == 0 {
		return 0
	}
	return int64(e.end - e.list[0].at)
}

// needed is the first sequence that is still needed, when there are extents before it that are not; else 0. The last one always is.
func (e *estate) needed() uint64 {
	if n := e.idle(); n > 0 {
		return e.list[n].seq
	}
	return 0
}

// idle is how many extents in front nothing needs. What is not on disk is not thrown away there.
func (e *estate) idle() int {
	n := 0
	for n < len(e.list)-1 && e.list[n].live == 0 && e.list[n+1].seq <= e.committed {
		n++
	}
	return n
}

// drop forgets them.
func (e *estate) drop() {
	n := e.idle()
	e.list = append(e.list[:0], e.list[n:]...)
	e.first += uint32(n)
}
