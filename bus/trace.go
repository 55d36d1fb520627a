package bus

import (
	"slices"
	"time"
)

// try is one attempt of a hop. Times are the tracker's; ended 0: it goes on.
type try struct {
	sent, ended int64
	worker      string
	reason      string // it failed
}

// answered is the dispatch that was answered last, so that the end of its hop, which follows at once, can tell when and where it was
// worked at.
type answered struct {
	slot int32 // none: its hop has ended
	try
}

// Failed attempts that are remembered with their times: the first ones of an open hop, and of what is kept of their reasons so many bytes.
const (
	mostTries = 8
	briefText = 200
)

// tried notes an attempt that failed. Whoever calls it has testified before.
func (t *tracker) tried(now int64, i int32, sent int64, worker, reason string) {
	if t.answer.slot == i {
		t.answer.slot = none // the end of the hop, if it is one, is told by what was tried
	}
	e := t.evidence[i]
	if e == nil || len(e.tries) >= mostTries {
		return
	}
	if len(reason) > briefText {
		reason = reason[:briefText] + "..."
	}
	e.tries = append(e.tries, try{sent, now, worker, reason})
}

// brief is what is remembered of a trial whose hop has ended.
func (e *trial) brief() *trial {
	if e == nil || len(e.tries) == 0 {
		return nil
	}
	return &trial{tries: e.tries}
}

// Try is one attempt of a message, in times since TaskStatus.Began.
type Try struct {
	Instance string
	Sent     time.Duration // given to the instance
	Ended    time.Duration // answered, or its process ended; 0: it is in hand
	Reason   string        // of a failure
}

func (t *try) public() Try {
	return Try{Instance: t.worker, Sent: duration(t.sent), Ended: duration(t.ended), Reason: t.reason}
}

// nameOf is the name of a step by its index; "" is outside.
func (t *tracker) nameOf(from int16) string {
	if from == outside {
		return ""
	}
	return t.steps[from].name
}

// pastHop is what is remembered of an ended hop.
func (*tracker) pastHop(e *endedHop) HopStatus {
	h := HopStatus{ID: formatID(e.id), Step: e.step, State: e.state.String(), Attempts: int(e.attempts), Age: duration(e.ended - e.admitted), Reason: e.reason,
		number: e.id, Admitted: duration(e.admitted), Ended: duration(e.ended)}
	if e.from != nil {
		h.From = e.from.name
	}
	if e.tried != nil {
		for k := range e.tried.tries {
			h.Tries = append(h.Tries, e.tried.tries[k].public())
		}
	}
	if e.last.worker != "" {
		h.Tries = append(h.Tries, e.last.public())
		h.Instance = e.last.worker
	}
	return h
}

// triesOf are the attempts of an open hop, with the one that goes on.
func (t *tracker) triesOf(slot int32) (all []Try) {
	if e := t.evidence[slot]; e != nil {
		for k := range e.tries {
			all = append(all, e.tries[k].public())
		}
	}
	for _, w := range t.steps[t.hops.step(slot)].workers {
		for pos := w.hand.first; pos < w.hand.end; pos++ {
			if d := w.hand.at(pos); d.slot == slot {
				all = append(all, Try{Instance: w.name, Sent: duration(d.sent)})
			}
		}
	}
	return all
}

// date counts all times from the admission of the first hop.
func (t *tracker) date(st *TaskStatus) {
	if len(st.Hops) == 0 {
		return
	}
	began := slices.MinFunc(st.Hops, func(a, b HopStatus) int { return int(a.Admitted - b.Admitted) }).Admitted
	st.Began = t.started.Add(began)
	for k := range st.Hops {
		h := &st.Hops[k]
		h.Admitted -= began
		if h.Ended > 0 {
			h.Ended -= began
		}
		for n := range h.Tries {
			h.Tries[n].Sent -= began
			if h.Tries[n].Ended > 0 {
				h.Tries[n].Ended -= began
			}
		}
	}
}

// taskOf is the task that a message belongs to; 0: it is not known.
func (t *tracker) taskOf(id uint64) uint64 {
	for _, pg := range t.hops.pages {
		for k := range pg.hops {
			if pg.states[k] != free && pg.hops[k].id == id {
				return pg.hops[k].task
			}
		}
	}
	for k := range t.ended.hops {
		if t.ended.hops[k].id == id {
			return t.ended.hops[k].task
		}
	}
	if m := t.aside.get(id); m != nil {
		return m.task
	}
	return 0
}

// keptTry is a try in an export: ages in ns.
type keptTry struct {
	Sent, Ended    int64
	Worker, Reason string
}

func (e *trial) keep(now int64) (all []keptTry) {
	if e == nil {
		return nil
	}
	for _, t := range e.tries {
		all = append(all, keptTry{now - t.sent, now - t.ended, t.worker, t.reason})
	}
	return all
}

func restoreTries(now int64, kept []keptTry) (all []try) {
	for _, t := range kept {
		all = append(all, try{now - t.Sent, now - t.Ended, t.Worker, t.Reason})
	}
	return all
}

// keep is what an export has of an ended hop.
func (e *endedHop) keep(now int64) keptEnd {
	k := keptEnd{ID: e.id, Task: e.task, Age: now - e.admitted, Ended: now - e.ended, Reason: e.reason, Step: e.step, Attempts: e.attempts, State: e.state,
		Tries: e.tried.keep(now)}
	if e.from != nil {
		k.From = e.from.name
	}
	if e.last.worker != "" {
		k.Last = &keptTry{now - e.last.sent, now - e.last.ended, e.last.worker, ""}
	}
	return k
}

func (r *restorer) ended(k *keptEnd) endedHop {
	e := endedHop{id: k.ID, task: k.Task, admitted: r.now - k.Age, ended: r.now - k.Ended, reason: k.Reason, step: k.Step, attempts: k.Attempts, state: k.State,
		from: r.byName[k.From]}
	if e.from == nil && k.From != "" { // it is gone; its name is all that is wanted
		e.from = &step{name: k.From, index: outside}
	}
	if len(k.Tries) > 0 {
		e.tried = &trial{tries: restoreTries(r.now, k.Tries)}
	}
	if k.Last != nil {
		e.last = try{sent: r.now - k.Last.Sent, ended: r.now - k.Last.Ended, worker: k.Last.Worker}
	}
	return e
}
