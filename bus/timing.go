package bus

import "sort"

// settle brings up to date which hops are running, after answers.
func (t *tracker) settle(now int64) {
	for _, w := range t.touched {
		w.touched = false
		t.running(now, w)
	}
	t.touched = t.touched[:0]
}

// running marks the first c hops in hand as running and finds when the first of them is late.
func (t *tracker) running(now int64, w *worker) {
	w.due = 0
	left := w.concurrency
	for pos := w.hand.first; pos < w.hand.end && left > 0; pos++ {
		d := w.hand.at(pos)
		if d.slot == none {
			continue
		}
		left--
		if d.since == 0 {
			d.since, d.beat = now, now
		}
		w.due = sooner(w.due, w.step.lateAt(d))
	}
}

// lateAt is when a running hop has missed its deadline, or its heartbeat; 0: never.
func (s *step) lateAt(d *dispatch) int64 {
	at := int64(0)
	if s.cfg.deadline > 0 {
		at = d.since + s.cfg.deadline
	}
	if s.cfg.heartbeat > 0 {
		at = sooner(at, d.beat+s.cfg.heartbeat)
	}
	return at
}

// overdue tells the sink of the running hops of w that are late.
func (t *tracker) overdue(now int64, w *worker) {
	for pos := w.hand.first; pos < w.hand.end; pos++ {
		d := w.hand.at(pos)
		if d.slot == none || d.since == 0 {
			continue
		}
		if at := w.step.lateAt(d); at > 0 && at <= now {
			w.open, w.due = false, 0
			t.sink.late(w, t.hops.at(d.slot), d.n)
			return
		}
	}
}

// progress is a sign of life of a running hop. It starts its deadline anew, unless there is a heartbeat for that.
func (t *tracker) progress(now int64, w *worker, n uint64) {
	if pos := w.hand.find(n); w.hand.holds(n) && w.hand.at(pos).since != 0 {
		w.hand.at(pos).beat = now
		if w.step.cfg.heartbeat == 0 {
			w.hand.at(pos).since = now
		}
		t.touch(w)
	}
}

// tick does what is due: retries, expiries, deadlines.
func (t *tracker) tick(now int64) {
	t.settle(now)
	t.judgeAll(now)
	for _, s := range t.steps {
		t.wakeHeld(now, s)
		if len(s.later) > 0 {
			t.wakeLater(now, s)
		}
		if s.guard != nil {
			t.watch(now, s)
		}
		if s.cfg.ttl > 0 {
			for _, q := range s.lines() {
				t.expire(now, s, q)
			}
			if s.keys != nil {
				t.expireLined(now, s)
			}
		}
		for _, w := range s.workers {
			if w.due > 0 && w.due <= now {
				t.overdue(now, w)
			}
		}
	}
}

// expire ends the hops at the head of a queue that have waited longer than its ttl.
func (t *tracker) expire(now int64, s *step, q *fifo) {
	for q.count > 0 && t.outlived(now, s, t.hops.at(q.head)) {
		t.unblocked = t.unblocked || s.full()
		t.finish(now, q.popFront(&t.hops), expired, outlived)
	}
}

// next is when tick has something to do; 0: nothing is waited for.
func (t *tracker) next() int64 {
	next := int64(0)
	if !t.frozen {
		next = t.limitAt
		if t.lapsed.some() {
			next = sooner(next, max(t.lapsed.due, 1))
		}
	}
	sooner := func(at int64) {
		if next == 0 || at < next {
			next = at
		}
	}
	for _, s := range t.steps {
		if len(s.held) > 0 {
			sooner(s.retryAt())
		}
		if s.guard != nil && s.guard.wake > 0 {
			sooner(s.guard.wake)
		}
		if s.guard != nil {
			if at := s.missed(); at > 0 {
				sooner(at)
			}
		}
		if len(s.later) > 0 {
			sooner(s.later[0].due)
		}
		if s.cfg.ttl > 0 {
			for _, q := range s.lines() {
				if q.count > 0 {
					sooner(t.hops.at(q.head).admitted + s.cfg.ttl)
				}
			}
		}
		if s.cfg.ttl > 0 && s.inLine() > 0 {
			if i := s.keys.oldest(&t.hops); i != none {
				sooner(t.hops.at(i).admitted + s.cfg.ttl)
			}
		}
		for _, w := range s.workers {
			if w.due > 0 {
				sooner(w.due)
			}
		}
	}
	return next
}

// retryAt is when the next held hop may be tried again: its back-off is over, and the budget has room.
func (s *step) retryAt() int64 {
	due := s.held[0].due
	if due <= s.budget.dry {
		return max(due, s.budget.beside.next())
	}
	return due
}

// wakeHeld puts hops whose back-off is over at the head of their queue, the oldest first, as far as the budget for retries goes.
func (t *tracker) wakeHeld(now int64, s *step) {
	if len(s.held) == 0 || s.held[0].due > now {
		return
	}
	var back []int32
	for len(s.held) > 0 && s.held[0].due <= now && s.budget.take(now) {
		if s.held[0].due <= s.budget.dry {
			s.count.starved++
		}
		back = append(back, s.held.pop())
	}
	if len(back) == 0 {
		return
	}
	sort.Slice(back, func(a, b int) bool { return t.hops.at(back[a]).id > t.hops.at(back[b]).id })
	for _, i := range back {
		s.holding -= size(t.hops.at(i))
		t.hops.setState(i, waiting)
		s.line(&t.hops, i).pushFront(&t.hops, i)
		s.dirty = true
	}
}
