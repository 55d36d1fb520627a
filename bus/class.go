package bus

// reclass brings what is on disk into line with what the topology says now: what a queue holds that became durable is written, what
// one holds that is not durable any more is forgotten there; it is in memory.
func (t *tracker) reclass(now int64) {
	var durable, forget bool
	for _, s := range t.steps {
		durable = durable || s.cfg.durable
		forget = forget || s.disk && !s.cfg.durable
	}
	if !durable && !forget {
		return
	}
	t.reclassIDs(now)
	for p, pg := range t.hops.pages {
		for k, st := range pg.states {
			if st == free {
				continue
			}
			i := int32(p)<<pageBits + int32(k)
			s, h := t.steps[pg.steps[k]], &pg.hops[k]
			switch {
			case s.cfg.durable && !t.known(i) && s.pins[i] == nil: // a pinned one ends with its worker
				t.scroll.forgetBody()
				t.scroll.put(t, now, s, i, h, st)
			case !s.cfg.durable && t.known(i) && !t.stays(s, i):
				t.lower(s, i, h)
			}
			if t.scroll.large() {
				t.scroll.seal(t)
			}
		}
	}
}

// lower makes a hop one of memory only.
func (t *tracker) lower(s *step, i int32, h *hop) {
	p := t.hops.place(i)
	early := p.flags&entering != 0
	t.scroll.forget(s, h, p)
	if early {
		t.enqueue(s, i)
	}
}
