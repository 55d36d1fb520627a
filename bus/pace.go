package bus

import (
	"slices"
	"time"
)

// pace is how many messages came to a step and were done at moments of the last minute. Rates are made of it when somebody asks. The loop
// copies three counters a step into it, every two seconds at most and only in turns it takes anyhow: an idle daemon is not woken for it.
type pace struct {
	marks [paceMarks]mark
	n     int // marks made so far
}

// mark is what the counters were from one moment to another, ns since the start: from the turn before to the one it was made in.
type mark struct {
	since, until  int64
	in, out, kept uint64
}

const (
	paceEvery = int64(2 * time.Second)
	paceMarks = 32 // more than a minute of them
	paceShort = int64(10 * time.Second)
	paceLong  = int64(time.Minute)
)

// Rates are messages a second over a window: that came in, were done, and were kept in a stream.
type Rates struct{ In, Out, Kept float64 }

// measure marks the counters, which are as the turn before, which began at before, has left them.
func (o *orchester) measure(before int64) {
	if o.measured > 0 && o.now-o.measured < paceEvery {
		return
	}
	o.measured = o.now
	for _, s := range o.t.steps {
		s.pace.marks[s.pace.n%paceMarks] = mark{before, o.now, s.count.admitted, s.count.done, s.kepts}
		s.pace.n++
	}
}

// rates are those of the last window ns, or of the time since the step is there where that is less.
func (s *step) rates(now, window int64) Rates {
	p := &s.pace
	if p.n == 0 {
		return Rates{}
	}
	from := now - window
	var m *mark // the newest that was so at from, or the oldest there is
	for k := p.n - 1; k >= max(0, p.n-paceMarks); k-- {
		if m = &p.marks[k%paceMarks]; m.since <= from {
			break
		}
	}
	span := float64(max(now-min(max(from, m.since), m.until), int64(time.Second))) / float64(time.Second)
	return Rates{float64(s.count.admitted-m.in) / span, float64(s.count.done-m.out) / span, float64(s.kepts-m.kept) / span}
}

// jams finds for which queues others wait: those whose steps are given nothing, or whose sources' messages are not let in, while it is full.
func (o *orchester) jams(queues []QueueStatus) []QueueStatus {
	for i, s := range o.t.steps {
		if !s.blocked() {
			continue
		}
		for _, up := range s.from {
			waits := up.queued() > 0 && slices.Contains(up.gates, s)
			for _, g := range o.gated {
				waits = waits || g.step == up && len(g.pending) > 0 && !up.room(g.pending[0].port) && up.aims(g.pending[0].port, s)
			}
			if waits {
				queues[i].Blocks = append(queues[i].Blocks, up.name)
				queues[up.index].BlockedBy = append(queues[up.index].BlockedBy, s.name)
			}
		}
	}
	return queues
}

// aims reports whether what s emits on a port may go to another step.
func (s *step) aims(port uint16, to *step) bool {
	return int(port) >= len(s.routes) || s.routes[port] == to
}
