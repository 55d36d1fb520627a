package bus

import "fmt"

// mostEvidence is how many lines are kept of a hop.
const mostEvidence = 40

// testify keeps what happened to a hop, newest last.
func (t *tracker) testify(i int32, lines ...string) {
	e := t.evidence[i]
	if e == nil {
		e = &trial{}
		t.evidence[i] = e
	}
	e.lines = append(e.lines, lines...)
	if n := len(e.lines) - mostEvidence; n > 0 {
		e.lines = e.lines[n:]
	}
}

// lastLine is the newest of the evidence.
func (t *tracker) lastLine(i int32) string {
	if e := t.evidence[i]; e != nil {
		return e.lines[len(e.lines)-1]
	}
	return ""
}

// finish ends a hop for good.
func (t *tracker) finish(now int64, i int32, end state, reason string) {
	h := t.hops.at(i)
	s := t.steps[t.hops.step(i)]
	switch end {
	case done:
		s.count.done++
	case quarantined:
		s.count.quarantined++
	case expired:
		s.count.expired++
	case cancelled:
		s.count.cancelled++
	case diverted:
		s.count.diverted++
	default:
		s.count.dropped++
	}
	e := t.ended.add(h, s.name, end, now, reason)
	if h.from != outside {
		e.from = t.steps[h.from]
	}
	if t.answer.slot == i {
		e.last, t.answer.slot = t.answer.try, none
		e.last.ended = now
	}
	if s.disk && t.scroll != nil {
		t.scroll.ends(t, s, i, h, end)
	}
	if len(t.evidence) > 0 {
		e.tried = t.evidence[i].brief()
		delete(t.evidence, i)
	}
	if s.keys != nil {
		s.keys.ended(&t.hops, s, i)
	}
	if len(s.pins) > 0 {
		delete(s.pins, i)
	}
	task := t.tasks.at(h.tslot)
	task.count++
	if end != done && end != diverted {
		task.failed++
		task.reason = s.name + ": " + reason
	}
	slot := h.tslot
	t.bodies.drop(h.body)
	t.hops.release(i)
	t.close(slot)
}

// death is the evidence of a process that ended with a hop in hand. Its last lines may be about messages before this one.
func death(attempt uint16, who, cause string, last []string) []string {
	lines := []string{fmt.Sprintf("attempt %d at %s: the process ended: %s", attempt, who, cause)}
	if len(last) > 0 {
		lines[0] += "; the last lines of its log, of earlier messages too:"
	}
	for _, l := range last {
		lines = append(lines, "  "+l)
	}
	return lines
}
