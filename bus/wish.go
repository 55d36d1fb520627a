package bus

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// wish is what a message asks for beyond being delivered. Most ask for nothing, and have none.
type wish struct {
	id    msgID
	delay int64 // ns until it may be given to a worker
	ttl   int64 // ns in which its task must have ended; 0: as the topology says
}

// msgID is the name its sender gave a message; zero: none.
type msgID struct{ hi, lo uint64 }

// idOfSource makes an id of the number a source has given: each step has its own numbers.
func idOfSource(step string, n uint64) msgID {
	h := fnv.New64a()
	_, _ = h.Write([]byte(step)) // never fails
	return msgID{h.Sum64() | 1, n}
}

// idOfText makes an id of a text from outside.
func idOfText(text string) msgID {
	if text == "" {
		return msgID{}
	}
	sum := sha256.Sum256([]byte(text))
	return msgID{binary.LittleEndian.Uint64(sum[:]) &^ 1, binary.LittleEndian.Uint64(sum[8:])}
}

// messageOf is the message of an EMIT. What it wishes is valid until the next one.
func (o *orchester) messageOf(s *session, r *wire.Record) message {
	m := message{codec: uint16(s.coded(r.Codec)), hops: 1, from: int16(s.step.index), body: o.t.bodies.copy(r.Body)}
	if r.ID|r.M|uint64(r.Flags) == 0 {
		return m
	}
	m.level = min(r.Flags, wire.MostPriority)
	if r.ID|r.M != 0 {
		delay, ttl := wire.Spans(r.M)
		o.wish = wish{delay: int64(delay), ttl: int64(ttl)}
		if r.ID != 0 {
			o.wish.id = idOfSource(s.step.name, r.ID)
		}
		m.wish = &o.wish
	}
	return m
}

// SendOptions is what may be asked of a message from outside.
type SendOptions struct {
	Wait     bool          // for the end of its task
	ID       string        // taken once within the window of the queue, if it has one; "": none
	Delay    time.Duration // before it may be given to a worker
	TTL      time.Duration // in which its task must have ended; 0: as the topology says
	Priority int           // 0 to 9, the highest first, where the queue has levels
}

// longest is the longest delay or limit: 49 days, as on the wire.
const longest = math.MaxUint32 * time.Millisecond

func (opt *SendOptions) apply(m *message) error {
	switch {
	case opt.Delay < 0 || opt.Delay > longest:
		return &Error{KindInvalid, fmt.Sprintf("cannot delay a message by %v: want up to 49 days", opt.Delay)}
	case opt.TTL < 0 || opt.TTL > longest:
		return &Error{KindInvalid, fmt.Sprintf("cannot give a task %v: want up to 49 days", opt.TTL)}
	case opt.Priority < 0 || opt.Priority > wire.MostPriority:
		return &Error{KindInvalid, fmt.Sprintf("cannot send with priority %d: want 0 to %d", opt.Priority, wire.MostPriority)}
	}
	m.level = uint8(opt.Priority)
	if w := (wish{id: idOfText(opt.ID), delay: int64(opt.Delay), ttl: int64(opt.TTL)}); w != (wish{}) {
		m.wish = &w
	}
	return nil
}

// repeated answers a sending whose id was taken already.
func (o *orchester) repeated(s *sending) bool {
	if s.m.wish == nil || s.to.seen == nil || s.m.wish.id == (msgID{}) {
		return false
	}
	task, again := s.to.seen.find(o.now, s.m.wish.id)
	if !again {
		return false
	}
	s.to.count.repeated++
	o.t.bodies.drop(s.m.body)
	s.sent = Sent{Task: formatID(task), State: "accepted", Repeat: true}
	if st, known := o.t.findTask(o.now, task); known && s.wait {
		s.sent.State, s.sent.Reason = st.State, st.Reason
	}
	o.t.after(func() { o.answer(s, s.sent, nil) })
	return true
}

// limit gives a task so long, from now on.
func (t *tracker) limit(task int32, now, ns int64) {
	if ns <= 0 {
		return
	}
	tk := t.tasks.at(task)
	tk.limit = uint32(min(max(ns/int64(time.Millisecond), 1), math.MaxUint32))
	t.limited++
	t.limitAt = sooner(t.limitAt, now+int64(tk.limit)*int64(time.Millisecond))
}

// bound gives a task that begins at s the limit of its step and of its first message, the shorter one.
func (t *tracker) bound(task int32, now int64, s *step, w *wish) {
	ns := s.cfg.task
	if w != nil && w.ttl > 0 && (ns == 0 || w.ttl < ns) {
		ns = w.ttl
	}
	t.limit(task, now, ns)
}

// ends is when a task has to have ended; 0: never.
func (t *task) ends() int64 {
	if t.limit == 0 {
		return 0
	}
	return t.started + int64(t.limit)*int64(time.Millisecond)
}

const overtime = "its task has taken longer than it may"

// judge lets the task of a hop lapse when its time is over.
func (t *tracker) judge(now int64, slot int32) {
	task := t.tasks.at(slot)
	if end := task.ends(); end > 0 && end <= now {
		t.unlimit(task)
		if l, has := t.lapsed.by[slot]; !has || l.id != task.id {
			t.lapse(slot, expired, overtime)
		}
	}
}

func (t *tracker) unlimit(task *task) {
	if task.limit > 0 {
		task.limit = 0
		if t.limited--; t.limited == 0 {
			t.limitAt = 0
		}
	}
}

// judgeAll looks at all tasks when the first of them may be over its limit. That is found by a walk, at moments some time apart, so
// that a task costs nothing by having a limit.
func (t *tracker) judgeAll(now int64) {
	if t.limited == 0 || now < t.limitAt || t.frozen {
		return
	}
	t.limitAt = 0
	for p := range t.tasks.pages {
		for k := range t.tasks.pages[p] {
			task := &t.tasks.pages[p][k]
			if task.limit == 0 {
				continue
			}
			if t.judge(now, int32(p)<<pageBits+int32(k)); task.limit > 0 {
				t.limitAt = sooner(t.limitAt, task.ends())
			}
		}
	}
	if t.limitAt > 0 {
		t.limitAt = max(t.limitAt, now+int64(t.tasks.live)*sweepShare)
	}
}

// postpone holds a new hop until its time has come.
func (t *tracker) postpone(now int64, s *step, i int32, h *hop, delay int64) {
	h.due = now + delay
	t.hops.setState(i, held)
	t.rest(s, i, h)
}

// rest puts a hop whose time has not come among those that are held: for a retry, or not tried yet.
func (t *tracker) rest(s *step, i int32, h *hop) {
	if h.attempts == 0 {
		s.later.push(h.due, i)
	} else {
		s.held.push(h.due, i)
	}
	s.holding += size(h)
}

// holds is how many hops are held.
func (s *step) holds() int { return len(s.held) + len(s.later) }

// allHeld is all of them.
func (s *step) allHeld() []retry {
	if len(s.later) == 0 {
		return s.held
	}
	return slices.Concat(s.held, s.later)
}

// wakeLater puts delayed hops whose time has come at the end of their queue, as if they came now.
func (t *tracker) wakeLater(now int64, s *step) {
	var due []retry
	for len(s.later) > 0 && s.later[0].due <= now {
		at := s.later[0].due
		due = append(due, retry{at, s.later.pop()})
	}
	slices.SortStableFunc(due, func(a, b retry) int {
		if a.due != b.due {
			return int(min(max(a.due-b.due, -1), 1))
		}
		return int(min(max(int64(t.hops.at(a.slot).id-t.hops.at(b.slot).id), -1), 1))
	})
	for _, r := range due {
		h := t.hops.at(r.slot)
		s.holding -= size(h)
		h.admitted, h.late = h.due, true
		t.hops.setState(r.slot, waiting)
		t.enqueue(s, r.slot)
	}
}

// slept is the end of a time in which the machine was suspended: what was to come at a time of day comes so much sooner.
func (t *tracker) slept(ns int64) {
	for _, s := range t.steps {
		for k := range s.later {
			s.later[k].due -= ns
			t.hops.at(s.later[k].slot).due -= ns
		}
	}
}
