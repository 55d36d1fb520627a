package topology

// breaker completes and checks one satellite's breaker by itself.
func (r *rules) breaker(s *Satellite, said *setting) {
	b := &s.Breaker
	if said == nil || whenFed(s) != "" {
		return
	}
	then := said.find("then")
	if then == nil {
		b.Then = BreakerHold
		if b.Fallback != "" {
			b.Then = BreakerFallback
		}
	}
	at := orElse(said.find("fallback"), orElse(then, said)).pos
	switch {
	case b.Then == BreakerFallback && b.Fallback == "":
		r.add(at, `say fallback = "STEP"`, "breaker.then is \"fallback\", and names no step to fall back to")
	case b.Then != BreakerFallback && b.Fallback != "":
		r.add(at, `say then = "fallback", or leave the fallback out`, "breaker.fallback means nothing where then = %q", b.Then)
	}
	if b.Open > b.Max {
		r.add(orElse(said.find("open"), said).pos, "", "breaker.open (%s) is longer than max (%s)", durationText(b.Open), durationText(b.Max))
	}
}

// fallbacks checks the other ends of breakers: each is a step, and none leads back.
func (r *rules) fallbacks() {
	for _, s := range r.t.Satellites {
		name := s.Breaker.Fallback
		said := r.said[s.Name].find("breaker").find("fallback")
		if name == "" || said == nil || !r.known(name, "breaker.fallback", said.pos) {
			continue
		}
		r.target(name, said.at)
		seen := map[string]bool{s.Name: true}
		for next := r.built[name]; next != nil; next = r.built[next.Breaker.Fallback] {
			if seen[next.Name] {
				r.add(said.pos, "a chain of fallbacks has to end", "breaker.fallback of %s leads back to %s", s.Name, next.Name)
				break
			}
			seen[next.Name] = true
		}
	}
}

// ranked refuses two orders for one queue.
func (r *rules) ranked(s *Satellite, said *setting) {
	if f := said.find("queue").find("priority"); f != nil && s.Queue.Priority > 0 && s.Work.Key != "" {
		r.add(f.pos, "take one of them out", "queue.priority and work.key are two orders for one queue: the messages of a key are handled as they came")
	}
}
