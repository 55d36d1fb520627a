package topology

import "slices"

// stop checks the times of a sequence of signals.
func (r *rules) stop(s *Satellite, said *setting) {
	f := said.find("signals")
	if f == nil || f.bad {
		return
	}
	if first := s.Stop.Signals[0]; first.After > 0 && s.Stop.Command == nil {
		r.add(f.item(0), "times are counted from the beginning of the stop", "stop.signals begins with %s after %s, and there is no stop.command before it", signalName(first.Signal), durationText(first.After))
	}
	for i, g := range s.Stop.Signals {
		if g.After > 0 && g.After >= s.Stop.Deadline {
			r.add(f.item(i), "give it a longer stop.deadline", "stop.signals: %s after %s is never sent, for stop.deadline is %s", signalName(g.Signal), durationText(g.After), durationText(s.Stop.Deadline))
		}
	}
}

// process checks what a satellite says about its process as a whole.
func (r *rules) process(s *Satellite, said *setting) {
	for i, code := range s.Restart.ForbidCodes {
		if slices.Contains(s.Restart.SuccessCodes, code) {
			r.add(orElse(said.find("restart").find("forbid_codes"), said).item(i), "success_codes is [0] unless you say it", "restart.forbid_codes holds %d, which is a success code too", code)
		}
	}
}
