package bus

import (
	"context"
	"fmt"
	"time"
)

// causes are what can hold back the messages of a queue. Whoever adds something that does adds a function: one sentence about the step,
// which is "it"; "" when it is not the cause at the moment. They are asked in their order, in the loop, when somebody wants to know, and
// change nothing.
func causes() [10]cause {
	return [...]cause{whyFrozen, whyAwaits, whyResting, whyStuck, whyGated, whyAway, whyLimited, whyRated, whyNoCredit, whyLegacy}
}

// cause is one thing that can hold back the messages of a step.
type cause func(t *tracker, now int64, s *step) string

// shownApart are those that a QueueStatus has in fields of their own.
func shownApart() [3]cause { return [...]cause{whyPaused, whyBroken, whyNobody} }

// mostReasoned is of how many waiting messages of a task the reasons are looked for: the place in a queue is found by a walk.
const mostReasoned = 20

// mostWalked is how far a queue is walked to find a place in it.
const mostWalked = 1 << 20

func whyFrozen(t *tracker, _ int64, _ *step) string {
	if !t.frozen {
		return ""
	}
	return "nothing is given to anybody while another dsatd takes the place of this one"
}

func whyAwaits(_ *tracker, _ int64, s *step) string {
	if !s.awaits {
		return ""
	}
	return "a worker that has outlived an earlier dsatd may have it in hand: for 2 s at most it is waited for what that one says"
}

func whyPaused(_ *tracker, _ int64, s *step) string {
	if !s.paused {
		return ""
	}
	return fmt.Sprintf("it is paused on request, until dsatctl queue resume %s", s.name)
}

func whyResting(_ *tracker, _ int64, s *step) string {
	if !s.resting {
		return ""
	}
	return "dsatd is stopping: what is on disk stays there for the next one"
}

func whyStuck(_ *tracker, _ int64, s *step) string {
	if !s.jammed() {
		return ""
	}
	return "the journal takes nothing new: the disk is full or fails, or its limit is reached; those who fill this queue wait, and all goes on by itself"
}

func whyBroken(t *tracker, now int64, s *step) string {
	if s.guard == nil || s.guard.breaker == nil {
		return ""
	}
	b := s.guard.breaker
	switch b.state {
	case open:
		return fmt.Sprintf("its breaker is open for another %v (%s)", b.left(now).Round(time.Millisecond), b.why)
	case halfOpen:
		if t.allowance(now, s) <= 0 {
			return fmt.Sprintf("its breaker is half open and waits for the trial in hand; it opened last for %s", b.why)
		}
	case closed:
	}
	return ""
}

func whyGated(t *tracker, now int64, s *step) string {
	for _, g := range s.gates {
		if !g.blocked() {
			continue
		}
		text := fmt.Sprintf("it is given nothing while the queue of %s takes nothing: ", g.name)
		switch {
		case g.shut:
			return text + "that is drained on request"
		case g.jammed():
			return text + whyStuck(t, now, g)
		}
		text += g.fullness()
		apart := shownApart()
		if below := append(t.because(now, g, apart[:]), t.reasons(now, g)...); len(below) > 0 {
			text += "; " + below[0]
		}
		return text
	}
	return ""
}

// fullness is how full a queue is, in words.
func (s *step) fullness() string {
	n := s.queued() + s.entering + len(s.held)
	messages, bytes := s.most()
	beside := s.spillText()
	if n >= messages {
		return fmt.Sprintf("it is full with %d messages of %d%s", n, messages, beside)
	}
	return fmt.Sprintf("it is full with %d bytes of %d%s", s.bytes(), bytes, beside)
}

func whyLimited(_ *tracker, _ int64, s *step) string {
	if s.guard == nil || s.guard.limit == 0 || s.inHand() < s.guard.limit {
		return ""
	}
	return fmt.Sprintf("work.concurrency lets its workers have %d in hand, and they have", s.guard.limit)
}

func whyRated(_ *tracker, now int64, s *step) string {
	if s.guard == nil || s.guard.rate.available(now) > 0 {
		return ""
	}
	return fmt.Sprintf("work.rate lets the next one through in %v", duration(max(s.guard.rate.next()-now, 0)).Round(time.Millisecond))
}

// whyNoCredit is about workers that are there: that there is none is told with the states of their processes.
func whyNoCredit(_ *tracker, _ int64, s *step) string {
	shut, full, alone := 0, 0, 0
	for _, w := range s.workers {
		switch {
		case !w.open && w.sess != nil && w.sess.elder != nil:
			return "" // whyLegacy knows more
		case !w.open:
			shut++
		case w.alone || w == s.kept:
			alone++
		case w.hand.live >= w.messages || w.hand.live > 0 && w.cost >= w.bytes:
			full++
		default:
			return ""
		}
	}
	switch {
	case len(s.workers) == 0:
		return ""
	case shut == len(s.workers):
		return "none of its workers takes anything: they are being stopped, or have missed a deadline"
	case full == 0 && alone > 0:
		return "its workers are kept free for, or try, messages that processes have died on"
	}
	return fmt.Sprintf("no worker has credit: %s in hand what it may, %d at most", workersHave(full), s.cfg.inHand)
}

func workersHave(n int) string {
	if n == 1 {
		return "the one there is has"
	}
	return fmt.Sprintf("each of %d has", n)
}

func whyNobody(_ *tracker, _ int64, s *step) string {
	if len(s.workers) > 0 {
		return ""
	}
	return "no worker of it has a session"
}

// reasons are the causes for which s gives nothing to its workers now.
func (t *tracker) reasons(now int64, s *step) []string {
	all := causes()
	return t.because(now, s, all[:])
}

func (t *tracker) because(now int64, s *step, causes []cause) (all []string) {
	for _, why := range causes {
		if text := why(t, now, s); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// whyWaits is why one hop that waits does so: what is before it, then what holds up its queue.
func (t *tracker) whyWaits(now int64, slot int32, h *hop) []string {
	s := t.steps[t.hops.step(slot)]
	var all []string
	switch before, found := t.placeIn(s, slot); {
	case found && before == 1:
		all = append(all, "1 other waits before it")
	case found && before > 0:
		all = append(all, fmt.Sprintf("%d others wait before it", before))
	case found:
		all = append(all, "it is the next one")
	case s.keys != nil && s.keys.of[slot] != nil:
		all = append(all, fmt.Sprintf("another message of its key is on its way, and %d of that key stand in line", s.keys.of[slot].queue.count))
	default:
		all = append(all, "it is not on disk yet, and in no queue before")
	}
	if t.lapsed.some() {
		if l, has := t.lapseOf(h); has {
			all = append(all, "nobody wants it any more: "+l.reason)
		}
	}
	return append(all, t.reasons(now, s)...)
}

// placeIn is how many hops are before this one in its queue.
func (t *tracker) placeIn(s *step, slot int32) (n int, found bool) {
	for _, q := range []*fifo{&s.suspect, &s.waiting} {
		for i := q.head; i != none && n < mostWalked; i = t.hops.at(i).next {
			if i == slot {
				return n, true
			}
			n++
		}
	}
	return 0, false
}

// Reasons says of every step that speaks to the bus why it gives nothing to its workers, in sentences; steps that do are left out.
func (b *Bus) Reasons(ctx context.Context) (map[string][]string, error) {
	return ask(ctx, b, func(o *orchester) (map[string][]string, error) {
		all := map[string][]string{}
		for _, s := range o.t.steps {
			if r := o.t.reasons(o.now, s); len(r) > 0 {
				all[s.name] = r
			}
		}
		return all, nil
	})
}
