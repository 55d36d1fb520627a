package bus

// flow counts what goes from one step to another.
type flow struct {
	taken   uint64 // messages admitted over the link
	skipped uint64 // messages its conditions have kept from it
	failed  uint64 // messages whose condition or key could not be told
	last    string // why, the last time
}

// maxReason bounds what is kept of an error: it may have parts of a payload in it.
const maxReason = 200

func (f *flow) fail(err error) {
	f.failed++
	f.last = err.Error()
	if len(f.last) > maxReason {
		f.last = f.last[:maxReason] + "..."
	}
}

// flowTo is the counter of what goes from s to a step of this name. It outlives changes of the links.
func (s *step) flowTo(name string) *flow {
	if f := s.flowBy[name]; f != nil {
		return f
	}
	if s.flowBy == nil {
		s.flowBy = map[string]*flow{}
	}
	f := &flow{}
	s.flowBy[name] = f
	return f
}

// reflow finds the counters of the links and ports of s.
func (s *step) reflow() {
	s.flows, s.portFlows = make([]*flow, len(s.to)), make([]*flow, len(s.routes))
	for i, to := range s.to {
		s.flows[i] = s.flowTo(to.name)
	}
	for i, to := range s.routes {
		s.portFlows[i] = s.flowTo(to.name)
	}
}
