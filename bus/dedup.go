package bus

import (
	"github.com/dsat/dsat/topology"
)

// recentIDs is the ids of messages that were let into a queue lately. It is bounded in time and number; what is given up for room is
// counted, for a repeat of it would be taken for new.
type recentIDs struct {
	span int64
	most int
	at   map[msgID]uint64 // position in ring
	ring []recentID       // length is a power of two
	head uint64           // position of the oldest; positions count up for ever
	end  uint64
	lost uint64 // given up for room before their time

	estate *estate // of the journal, where some of them are; nil: none is
}

// recentID is one message that was let in.
type recentID struct {
	id   msgID
	at   int64
	task uint64
	ext  uint32 // of the journal
	disk uint8
}

func newWindow(d topology.Dedup) *recentIDs {
	if d.Window <= 0 {
		return nil
	}
	return &recentIDs{span: int64(d.Window), most: max(d.Max, 1)}
}

// find returns the task of the message with this id, if it came within the window.
func (w *recentIDs) find(now int64, id msgID) (task uint64, repeated bool) {
	w.expire(now)
	pos, repeated := w.at[id]
	if !repeated {
		return 0, false
	}
	return w.ring[pos&uint64(len(w.ring)-1)].task, true
}

// add remembers a message, of which find has said that it is new.
func (w *recentIDs) add(now int64, id msgID, task uint64) {
	if w.count() >= w.most {
		w.pop()
		w.lost++
	}
	if w.count() == len(w.ring) {
		w.grow()
	}
	w.ring[w.end&uint64(len(w.ring)-1)] = recentID{id: id, at: now, task: task}
	w.at[id] = w.end
	w.end++
}

func (w *recentIDs) count() int { return int(w.end - w.head) }

func (w *recentIDs) oldest() *recentID { return &w.ring[w.head&uint64(len(w.ring)-1)] }

func (w *recentIDs) pop() {
	delete(w.at, w.oldest().id)
	w.gone(w.oldest())
	w.head++
}

// expire forgets what is older than the window, and gives the memory back when that was all.
func (w *recentIDs) expire(now int64) {
	for w.head < w.end && w.oldest().at+w.span <= now {
		w.pop()
	}
	if w.head == w.end && len(w.ring) > leastRing {
		w.ring, w.at = nil, nil
	}
}

const leastRing = 64

func (w *recentIDs) grow() {
	if w.at == nil {
		w.at = map[msgID]uint64{}
	}
	old := w.ring
	w.ring = make([]recentID, max(leastRing, 2*len(old)))
	for pos := w.head; pos < w.end; pos++ {
		w.ring[pos&uint64(len(w.ring)-1)] = old[pos&uint64(len(old)-1)]
	}
}

// keptSeen is a message of a window, over an upgrade.
type keptSeen struct {
	Hi, Lo, Task uint64
	Age          int64 // ns
}

func (w *recentIDs) keep(now int64) []keptSeen {
	if w == nil {
		return nil
	}
	w.expire(now)
	var all []keptSeen
	for pos := w.head; pos < w.end; pos++ {
		s := &w.ring[pos&uint64(len(w.ring)-1)]
		all = append(all, keptSeen{s.id.hi, s.id.lo, s.task, now - s.at})
	}
	return all
}

// restore takes messages over, oldest first: those of a daemon before, or of a journal.
func (w *recentIDs) restore(now int64, all []keptSeen) {
	if w == nil {
		return
	}
	for _, k := range all {
		id := msgID{k.Hi, k.Lo}
		if _, known := w.find(now-k.Age, id); !known {
			w.add(now-k.Age, id, k.Task)
		}
	}
	w.expire(now)
}

// rewindow gives a step the window its topology asks for, with what the old one knows.
func (s *step) rewindow() {
	is := newWindow(s.sat.Queue.Dedup)
	if was := s.seen; was != nil && is != nil {
		was.span, was.most = is.span, is.most
		for was.count() > was.most {
			was.pop()
		}
		is = was
	}
	if was := s.seen; was != nil && is == nil {
		was.clear()
	}
	s.seen = is
}

// clear forgets all of them.
func (w *recentIDs) clear() {
	for w != nil && w.head < w.end {
		w.pop()
	}
}

// repeats reports whether a message with a wish was let into the queue of s before, and counts it.
func (t *tracker) repeats(now int64, s *step, w *wish) bool {
	if s.seen == nil || w.id == (msgID{}) {
		return false
	}
	if _, again := s.seen.find(now, w.id); !again {
		return false
	}
	s.count.repeated++
	return true
}
