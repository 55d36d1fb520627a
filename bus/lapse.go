package bus

// A task lapses when nobody wants it any more: the deadline of its caller is over, or the caller is gone. No hop of it is dispatched
// from then on. Those that wait are looked for all at once, and not at once: a storm of deadlines before a long queue would else cost
// a walk through the queue for each.

// lapses is the tasks that have lapsed and may have open hops.
type lapses struct {
	by  map[int32]lapse // by slot; nil while there are none
	due int64           // when their hops are looked for
}

type lapse struct {
	id     uint64 // of the task: the slot may have another one by now
	end    state
	reason string
}

// sweepShare is how long the sweeps are apart, in ns for each hop there is: a small part of what a sweep takes.
const sweepShare = 200

func (l *lapses) some() bool { return len(l.by) > 0 }

// lapse lets a task end as soon as possible.
func (t *tracker) lapse(task int32, end state, why string) {
	if t.lapsed.by == nil {
		t.lapsed.by = map[int32]lapse{}
	}
	t.lapsed.by[task] = lapse{t.tasks.at(task).id, end, why}
}

// lapseOf is why the task of a hop has lapsed, if it has.
func (t *tracker) lapseOf(h *hop) (lapse, bool) {
	l, has := t.lapsed.by[h.tslot]
	return l, has && l.id == h.task
}

// let ends the hop at the head of a queue if its task has lapsed, and reports whether it has.
func (t *tracker) let(now int64, q *fifo, h *hop) bool {
	l, has := t.lapseOf(h)
	if has {
		t.finish(now, q.popFront(&t.hops), l.end, l.reason)
		t.unblocked = true
	}
	return has
}

// sweep ends all hops of tasks that have lapsed, unless it has done so a moment ago, and returns when it wants to be called again; 0: not.
func (t *tracker) sweep(now int64) int64 {
	if !t.lapsed.some() || t.frozen {
		return 0
	}
	if now < t.lapsed.due {
		return t.lapsed.due
	}
	t.lapsed.due = now + int64(t.hops.live)*sweepShare
	t.sweepAll(now)
	return 0
}

func (t *tracker) sweepAll(now int64) {
	if !t.lapsed.some() {
		return
	}
	lapsed := func(i int32) bool {
		_, has := t.lapseOf(t.hops.at(i))
		return has
	}
	var ended []int32
	for _, s := range t.steps {
		ended = append(ended, t.pick(s, lapsed)...)
	}
	for _, i := range ended {
		l, _ := t.lapseOf(t.hops.at(i))
		t.finish(now, i, l.end, l.reason)
	}
	t.unblocked = t.unblocked || len(ended) > 0
	clear(t.lapsed.by)
}
