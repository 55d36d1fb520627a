package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

// mostHopsTold bounds how many messages of a task are told of one by one.
const mostHopsTold = 20

// whyTask answers in plain sentences where a task is, what it waits for, and what became of it.
func (s *Server) whyTask(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	task, err := s.cfg.Bus.Task(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	q, err := s.inquire(r.Context())
	if err != nil {
		return err
	}
	name := "task " + task.ID
	if task.Asked != "" {
		name = "message " + task.Asked + " of " + name
		task.Hops = slices.DeleteFunc(task.Hops, func(h bus.HopStatus) bool { return h.ID != task.Asked })
	}
	return answer(w, control.Why{Name: name, State: task.State, Text: q.task(&task)})
}

func (q *inquiry) task(t *bus.TaskStatus) []string {
	said := []string{q.course(t)}
	if t.Asked != "" && len(t.Hops) > 0 {
		if said = nil; t.Hops[0].State == "done" {
			return []string{fmt.Sprintf("%s was done at %s, %s after it came, %s.", t.Asked, t.Hops[0].Step, spell(t.Hops[0].Age), tried(t.Hops[0].Attempts))}
		}
	}
	told, more := 0, 0
	nobody := map[string]bool{} // told once of each step
	for n := range t.Hops {
		h := &t.Hops[n]
		text := q.hop(h, nobody)
		switch {
		case text == nil:
		case told < mostHopsTold:
			told++
			said = append(said, text...)
		default:
			more++
		}
	}
	if more > 0 {
		said = append(said, fmt.Sprintf("%s not told of here: dsatctl task %s", plural(more, "other message is", "other messages are"), t.ID))
	}
	return said
}

// course is how it stands as a whole.
func (q *inquiry) course(t *bus.TaskStatus) string {
	if t.State == "running" {
		oldest := time.Duration(0)
		for _, h := range t.Hops {
			oldest = max(oldest, h.Age)
		}
		return fmt.Sprintf("It goes on: %s known of it, %d open; it began %s ago.", plural(len(t.Hops), "message is", "messages are"), t.Open, spell(oldest))
	}
	if t.State == "failed" && t.Reason != "" {
		return "It has ended, and not all of it was done: " + t.Reason + "."
	}
	return fmt.Sprintf("It has ended: it is %s.", t.State)
}

// hop is where one message is; nil for one that was done.
func (q *inquiry) hop(h *bus.HopStatus, nobody map[string]bool) (said []string) {
	since := fmt.Sprintf("%s after it came", spell(h.Age))
	switch h.State {
	case "done":
		return nil
	case "waiting":
		said = append(said, q.waits(h))
		if queue, ok := q.queues[h.Step]; ok && queue.Workers == 0 && !nobody[h.Step] {
			nobody[h.Step] = true
			said = append(said, q.nobody(h.Step))
		}
		if queue, ok := q.queues[h.Step]; ok {
			said = append(said, q.restraint(&queue)...)
		}
		if len(h.Waits) > 0 {
			said = append(said, fmt.Sprintf("%s: %s.", h.ID, strings.Join(h.Waits, "; ")))
		}
	case "in_flight":
		said = append(said, q.inHand(h))
	case "held":
		if h.Attempts == 0 {
			said = append(said, fmt.Sprintf("%s is delayed: it is given to %s at %s, in %s.", h.ID, h.Step, q.at(q.now.Add(h.Retry)), spell(h.Retry)))
			break
		}
		said = append(said, fmt.Sprintf("%s is tried again at %s at %s, in %s; it was %s so far.", h.ID, h.Step, q.at(q.now.Add(h.Retry)), spell(h.Retry), tried(h.Attempts)))
	case "quarantined":
		return []string{fmt.Sprintf("%s was set aside in quarantine at %s, %s, %s: %s. It is not tried again by itself: dsatctl quarantine show %s",
			h.ID, h.Step, since, tried(h.Attempts), orUnknown(h.Reason), h.ID)}
	default:
		return []string{fmt.Sprintf("%s ended as %s at %s, %s, %s: %s.", h.ID, h.State, h.Step, since, tried(h.Attempts), orUnknown(h.Reason))}
	}
	for _, line := range h.Failures {
		said = append(said, fmt.Sprintf("%s, %s.", h.ID, line))
	}
	return said
}

func (q *inquiry) waits(h *bus.HopStatus) string {
	text := fmt.Sprintf("%s waits for %s, for %s", h.ID, h.Step, spell(h.Age))
	if h.Attempts > 0 {
		text += ", and was " + tried(h.Attempts)
	}
	queue, ok := q.queues[h.Step]
	if !ok {
		return text + "."
	}
	return text + fmt.Sprintf("; %s there, and %d in hand of %s.", plural(queue.Waiting, "message waits", "messages wait"), queue.InFlight, plural(queue.Workers, "worker", "workers"))
}

// inHand: somebody works at it, or should.
func (q *inquiry) inHand(h *bus.HopStatus) string {
	who := h.Instance
	if who == "" {
		who = h.Step
	}
	text := fmt.Sprintf("%s is in the hands of %s, attempt %d, %s after it came", h.ID, who, h.Attempts, spell(h.Age))
	for _, in := range q.satellites[h.Step].Instances {
		if in.Ref.String() != h.Instance {
			continue
		}
		if text += fmt.Sprintf("; %s is %s", who, in.State); in.State != supervisor.Running && in.Why != "" {
			text += ": " + in.Why
		}
	}
	if spec := q.topology.Satellite(h.Step); spec != nil && spec.Work.Deadline > 0 {
		text += fmt.Sprintf("; it has %s for one", spell(spec.Work.Deadline))
	}
	return text + "."
}

func tried(attempts int) string {
	if attempts == 0 {
		return "never tried"
	}
	return "tried " + times(attempts)
}

func orUnknown(reason string) string {
	if reason == "" {
		return "no reason is known"
	}
	return reason
}
