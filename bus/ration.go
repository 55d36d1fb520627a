package bus

import (
	"fmt"

	"github.com/dsat/dsat/topology"
)

// ration gives a session the number of messages after which its process shall be replaced, spread by the jitter: what a worker
// answers, well or not, and what a source emits. A session that goes on with another daemon begins anew.
func (o *orchester) ration(s *session) {
	r := s.step.sat.Recycle
	if r.Messages <= 0 {
		return
	}
	s.left = max(1, int(float64(r.Messages)*(1+r.Jitter*(2*o.t.rand.Float64()-1))))
	ref, inc, n := s.inst.ref, s.inst.inc, s.left
	s.spent = func() { o.tellWorn(ref, inc, fmt.Sprintf("it has handled %d messages", n)) }
}

// spend counts one message.
func (w *worker) spend() {
	if w.left > 0 {
		if w.left--; w.left == 0 {
			w.spent()
		}
	}
}

func (o *orchester) tellWorn(ref topology.Ref, inc topology.Incarnation, why string) {
	if f := o.bus.cfg.Worn; f != nil {
		o.bus.notes.post(func() { f(ref, inc, why) })
	}
}
