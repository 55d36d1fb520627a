package bus

import (
	"cmp"
	"slices"
	"strings"
)

// task is a message and all that descends from it. It ends when no hop of it is open.
type task struct {
	id      uint64
	started int64
	open    int32 // hops not yet terminal, and one while its first hops are being made
	count   uint32
	failed  uint32
	waiter  int32 // who wants its results, or none
	next    int32
	origin  int16  // index of the step where it began and which wants to hear of its end; outside: nobody does
	limit   uint32 // ms from its beginning; 0: none
	reason  string // of the last hop that did not end as done
}

// tasks is a slab like that of the hops.
type tasks struct {
	pages [][]task
	free  int32
	live  int
}

func newTasks() tasks { return tasks{free: none} }

func (s *tasks) at(i int32) *task { return &s.pages[i>>pageBits][i&(pageSize-1)] }

func (s *tasks) take(id uint64, now int64, waiter int32) int32 {
	if s.free == none {
		base := int32(len(s.pages)) << pageBits
		p := make([]task, pageSize)
		for i := range p {
			p[i].next = base + int32(i) + 1
		}
		p[pageSize-1].next = none
		s.pages = append(s.pages, p)
		s.free = base
	}
	i := s.free
	t := s.at(i)
	s.free = t.next
	*t = task{id: id, started: now, open: 1, waiter: waiter, next: none, origin: outside}
	s.live++
	return i
}

func (s *tasks) release(i int32) {
	t := s.at(i)
	*t = task{next: s.free}
	s.free = i
	s.live--
}

// endTask tells who waits and remembers the task for a while.
func (t *tracker) endTask(slot int32) {
	task := t.tasks.at(slot)
	t.ended.addTask(task)
	if task.waiter != none {
		t.sink.taskEnded(task.waiter, task)
	}
	if task.origin != outside {
		t.sink.hooked(t.steps[task.origin], task)
	}
	t.unlimit(task)
	t.tasks.release(slot)
}

// memory is what is remembered of the newest ended hops and tasks, for `dsatctl task`.
type memory struct {
	hops  []endedHop
	tasks []endedTask
	h, t  int // where the next one goes, once they are full
}

const (
	rememberedHops  = 1 << 13
	rememberedTasks = 1 << 12
)

type endedHop struct {
	id, task uint64
	admitted int64
	ended    int64
	reason   string
	step     string
	attempts uint16
	state    state
	from     *step  // it came from; nil: from outside, or that is not known
	last     try    // its last attempt, where that was answered
	tried    *trial // nil: none before failed
}

type endedTask struct {
	id     uint64
	failed bool
	reason string
}

func (m *memory) add(h *hop, step string, end state, now int64, reason string) *endedHop {
	var e *endedHop
	if len(m.hops) < rememberedHops {
		m.hops = append(m.hops, endedHop{})
		e = &m.hops[len(m.hops)-1]
	} else {
		e = &m.hops[m.h&(rememberedHops-1)]
		m.h++
	}
	*e = endedHop{id: h.id, task: h.task, admitted: h.admitted, ended: now, reason: reason, step: step, attempts: h.attempts, state: end}
	return e
}

func (m *memory) addTask(t *task) {
	e := endedTask{id: t.id, failed: t.failed > 0, reason: t.reason}
	if len(m.tasks) < rememberedTasks {
		m.tasks = append(m.tasks, e)
		return
	}
	m.tasks[m.t&(rememberedTasks-1)] = e
	m.t++
}

// findTask says what is known of a task: its open hops, found by a walk, and the ended ones that are still remembered,
// in order of their admission.
func (t *tracker) findTask(now int64, id uint64) (TaskStatus, bool) {
	st := TaskStatus{ID: formatID(id)}
	found := false
	for i := range t.ended.tasks {
		if e := &t.ended.tasks[i]; e.id == id {
			found, st.State, st.Reason = true, "done", e.reason
			if e.failed {
				st.State = "failed"
			}
		}
	}
	for i := range t.ended.hops {
		if e := &t.ended.hops[i]; e.task == id {
			found = true
			st.Hops = append(st.Hops, t.pastHop(e))
		}
	}
	open := t.openHops(now, id)
	if len(open) > 0 {
		found, st.State, st.Open = true, "running", len(open)
		st.Hops = append(st.Hops, open...)
	}
	slices.SortFunc(st.Hops, func(a, b HopStatus) int { return cmp.Compare(a.number, b.number) })
	t.date(&st)
	if found && st.State == "" {
		st.State = "done"
	}
	return st, found
}

func (t *tracker) openHops(now int64, id uint64) []HopStatus {
	var open []HopStatus
	for p, pg := range t.hops.pages {
		for k := range pg.hops {
			h := &pg.hops[k]
			if pg.states[k] == free || h.task != id {
				continue
			}
			slot := int32(p)<<pageBits + int32(k)
			hs := HopStatus{ID: formatID(h.id), Step: t.steps[pg.steps[k]].name, State: pg.states[k].String(), Attempts: int(h.attempts), Age: duration(now - h.admitted),
				number: h.id, From: t.nameOf(h.from), Admitted: duration(h.admitted), Tries: t.triesOf(slot)}
			if e := t.evidence[slot]; e != nil {
				hs.Reason = e.lines[len(e.lines)-1]
				hs.Failures = failures(e.lines)
			}
			if pg.states[k] == waiting && len(open) < mostReasoned {
				hs.Waits = t.whyWaits(now, slot, h)
			}
			if pg.states[k] == held {
				hs.Retry = duration(max(h.due-now, 0))
			}
			if pg.states[k] == dispatched {
				hs.Instance = t.holder(slot)
			}
			open = append(open, hs)
		}
	}
	return open
}

// holder returns the name of the worker that holds a hop.
func (t *tracker) holder(slot int32) string {
	for _, w := range t.steps[t.hops.step(slot)].workers {
		for pos := w.hand.first; pos < w.hand.end; pos++ {
			if w.hand.at(pos).slot == slot {
				return w.name
			}
		}
	}
	return ""
}

// failures are the lines of the evidence that begin an attempt; what a process printed is indented.
func failures(evidence []string) (all []string) {
	for _, line := range evidence {
		if strings.HasPrefix(line, "attempt ") {
			line, _, _ = strings.Cut(line, "; the last lines of its log")
			all = append(all, line)
		}
	}
	return all
}
