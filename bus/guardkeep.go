package bus

// keptBreaker is a breaker over an upgrade. What was answered within its window is not in it.
type keptBreaker struct {
	Half        bool
	Left        int64 // ns until it is half open
	Passed, Row int
	Times       int
	Opened      uint64
	Why         string
}

func (s *step) keepBreaker(now int64) *keptBreaker {
	if s.guard == nil || s.guard.breaker == nil {
		return nil
	}
	b := s.guard.breaker
	if b.state == closed && b.opened == 0 && b.row == 0 {
		return nil
	}
	return &keptBreaker{Half: b.state == halfOpen, Left: max(b.until-now, 0), Passed: b.passed, Row: b.row, Times: b.times, Opened: b.opened, Why: b.why}
}

// restoreBreaker takes over what an earlier daemon's breaker had seen. Nothing is in hand then, so that every dispatch is a trial.
func (s *step) restoreBreaker(now int64, k *keptBreaker) {
	if k == nil || s.guard == nil || s.guard.breaker == nil {
		return
	}
	b := s.guard.breaker
	b.passed, b.row, b.times, b.opened, b.why = max(k.Passed, 0), k.Row, max(k.Times, 0), k.Opened, k.Why
	switch {
	case k.Half:
		b.state = halfOpen
	case k.Times > 0:
		b.state, b.until = open, now+k.Left
	}
}

// restraint says what holds back the work of a step, in its status.
func (s *step) restraint(now int64, q *QueueStatus) {
	q.Paused, q.Draining, q.Budgeted = s.paused, s.shut, s.count.starved
	q.Repeated, q.Delayed = s.count.repeated, len(s.later)
	for _, r := range s.held {
		if r.due <= now {
			q.Starved++
		}
	}
	if s.guard == nil || s.guard.breaker == nil {
		return
	}
	b := s.guard.breaker
	q.Breaker, q.OpenFor, q.OpenedBy, q.Opened = b.state.String(), b.left(now), b.why, b.opened
}
