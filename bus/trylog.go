package bus

import "github.com/dsat/dsat/bus/journal"

// tried writes the newest attempt of a hop, if it ended now; of many only the first ones are remembered.
func (d *scroll) tried(now int64, h *hop, e *trial) {
	if n := len(e.tries); n > 0 && e.tries[n-1].ended == now {
		d.tries(now, h, &e.tries[n-1])
	}
}

// tries writes an attempt of a hop on disk that failed: when it was, and where.
func (d *scroll) tries(now int64, h *hop, x *try) {
	d.verse(verseTry)
	d.nextID(h.id)
	d.span(now - x.sent)
	d.span(now - x.ended)
	d.text(x.worker)
	d.text(x.reason)
}

// try takes an attempt; its times are of the wall until the tracker has it.
func (r *recall) try(h *recalled, v *verse, rec journal.Record) {
	if len(h.tries) < mostTries {
		h.tries = append(h.tries, try{rec.Time - v.delay, rec.Time - v.age, r.name(v.name), v.reason})
	}
}

// retried gives a hop its attempts. One without evidence has none.
func (t *tracker) retried(now int64, i int32, tries []try) {
	e := t.evidence[i]
	if e == nil {
		return
	}
	ago := t.wall(now) - now
	for _, x := range tries {
		e.tries = append(e.tries, try{x.sent - ago, x.ended - ago, x.worker, x.reason})
	}
}
