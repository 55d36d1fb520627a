package bus

import (
	"cmp"
	"maps"
	"slices"
)

// What follows the end of a durable task is owed from the record that has its end to the one that says that it was done, so that it is
// done at least once, whatever end dsatd comes to. Whoever must do it once only goes by the task's number.

// hookLog is one that is owed.
type hookLog struct {
	id  uint64 // of the task
	end TaskEnd
	promise
}

// owes writes that something is to follow a task.
func (d *scroll) owes(l *hookLog) {
	if l.sealed {
		d.cur.ended = append(d.cur.ended, parcel{l.ext, l.size})
	}
	from := len(d.buf)
	d.verse(verseHook)
	d.nextID(l.id)
	d.text(l.end.Step)
	d.text(l.end.State)
	d.text(l.end.Reason)
	d.number(uint64(l.end.Hops))
	d.number(uint64(l.end.Failed))
	l.promise = promise{onDisk: true, size: int64(len(d.buf)-from) + overhead}
	d.cur.hooks = append(d.cur.hooks, l)
	if d.hooks == nil {
		d.hooks = map[uint64]*hookLog{}
	}
	d.hooks[l.id] = l
}

// paid writes that it was done.
func (d *scroll) paid(l *hookLog) {
	if d == nil || l == nil || !l.onDisk {
		return
	}
	d.verse(verseHooked)
	d.nextID(l.id)
	if l.sealed {
		d.cur.ended = append(d.cur.ended, parcel{l.ext, l.size})
	}
	l.promise = promise{}
	delete(d.hooks, l.id)
}

// sealHooks takes note of where they are.
func (d *scroll) sealHooks(c *turn, ext uint32) {
	for _, l := range c.hooks {
		if l.onDisk && !l.sealed {
			l.sealed, l.ext = true, ext
			d.dead.lives(ext, l.size)
		}
	}
	clear(c.hooks)
	c.hooks = c.hooks[:0]
}

// relocateHooks writes anew those that lie below the bound, and reports whether it came to their end.
func (t *tracker) relocateHooks(bound uint32) bool {
	for _, l := range t.scroll.hooks {
		if t.scroll.large() {
			return false
		}
		if l.sealed && l.ext < bound {
			t.scroll.owes(l)
		}
	}
	return true
}

// hook reads what owes has written.
func (r *verses) hook(v *verse) {
	v.id = r.nextID()
	l := &hookLog{id: v.id}
	l.end.Task, l.end.Step, l.end.State, l.end.Reason = formatID(v.id), r.text(), r.text(), r.text()
	l.end.Hops, l.end.Failed = int(r.number()), int(r.number())
	v.hooked = l
}

// owed takes one that was written.
func (r *recall) owed(l *hookLog, ext uint32) {
	r.paid(l.id)
	size := int64(len(l.end.Step)+len(l.end.State)+len(l.end.Reason)) + 16 + overhead
	l.promise = promise{onDisk: true, sealed: true, ext: ext, size: size}
	r.hooks[l.id] = l
	r.estate.lives(ext, size)
}

func (r *recall) paid(id uint64) {
	if old := r.hooks[id]; old != nil {
		r.estate.dies(parcel{old.ext, old.size})
		delete(r.hooks, id)
	}
}

// recallHooks does what earlier daemons owed, as the topology says now.
func (o *orchester) recallHooks(r *recall) {
	for _, l := range slices.SortedFunc(maps.Values(r.hooks), func(a, b *hookLog) int { return cmp.Compare(a.id, b.id) }) {
		e := l.end
		if e.resolve(o.byName[e.Step]); e.Hook == nil {
			o.t.scroll.paid(l)
			continue
		}
		e.log = l
		if o.t.scroll.hooks == nil {
			o.t.scroll.hooks = map[uint64]*hookLog{}
		}
		o.t.scroll.hooks[l.id] = l
		o.hooks.ended = append(o.hooks.ended, e)
	}
}

// resolve finds the hook of a task that has ended, in the topology as it is.
func (e *TaskEnd) resolve(s *step) {
	if s == nil {
		return
	}
	if e.Hook = s.sat.OnDone; e.State == "failed" {
		e.Hook = s.sat.OnFailed
	}
}
