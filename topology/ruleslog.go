package topology

// log checks what keys of [log] say about each other.
func (r *rules) log(s *Satellite, said *setting) {
	if f := said.find("stderr"); s.Log.Split && s.Log.Stderr == LogJoined {
		if f.inherited {
			s.Log.Stderr = LogCapture
		} else {
			r.add(f.pos, `leave it out, or write "capture"`, "stderr cannot be joined to stdout and have files of its own: log.split is true")
		}
	}
	if f := said.find("total"); s.Log.Total > 0 && s.Log.Total < s.Log.MaxSize {
		r.add(orElse(f, said).pos, "it is for all files together", "log.total (%s) is less than log.max_size (%s)", sizeText(s.Log.Total), sizeText(s.Log.MaxSize))
	}
	if f := said.find("burst"); s.Log.Burst > 0 && s.Log.Rate.Lines == 0 && !f.inherited {
		r.add(f.pos, `say log.rate = "1000/s"`, "log.burst means nothing without log.rate")
	}
}
