package bus

import (
	"math"
	"time"

	"github.com/dsat/dsat/bus/journal"
)

// When the task of a durable hop must have ended is in the journal with the hop, as so long after its record. The time in which no daemon
// ran counts, by the time of day. A clock that was set back gives a task no more than it had left when that was written; one that was set
// forward takes it away.

// limits writes the limit of the task of a hop that follows.
func (d *scroll) limits(now int64, tk *task) {
	if tk.limit == 0 || d.limited == tk.id {
		return
	}
	d.limited = tk.id
	d.verse(verseLimit)
	d.number(tk.id)
	d.span(tk.ends() - now)
}

// recalledLimit is the limit of a task as the journal tells it.
type recalledLimit struct {
	task uint64 // 0: there is none
	due  int64  // wall, ns
	left int64  // from the moment it was written
}

// limit takes the limit of the task of hops that follow in a record.
func (r *recall) limitOf(v *verse, rec journal.Record) {
	r.limit = recalledLimit{v.task, rec.Time + v.delay, v.delay}
}

// relimit gives a task that the journal tells of what is left of its time.
func (t *tracker) relimit(now int64, slot int32, l recalledLimit) {
	tk := t.tasks.at(slot)
	if l.task == 0 || tk.limit > 0 {
		return
	}
	end := now + max(min(l.due-t.wall(now), l.left), 0)
	tk.started = min(tk.started, end-int64(time.Millisecond)) // a limit is so long from its beginning, and at least that
	tk.limit = uint32(min((end-tk.started+int64(time.Millisecond)-1)/int64(time.Millisecond), math.MaxUint32))
	t.limited++
	t.limitAt = sooner(t.limitAt, max(tk.ends(), now, 1))
}
