package web

import (
	"fmt"
	"time"

	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// restraint tells what keeps messages from the workers of a step, though there are some.
func (q *inquiry) restraint(queue *control.Queue) (said []string) {
	if queue.Spilled > 0 {
		said = append(said, fmt.Sprintf("%s on disk (full = \"spill\"): memory had no room for them; they come back in their turn.", plural(queue.Spilled, "of its messages is", "of its messages are")))
	}
	if queue.Paused {
		said = append(said, fmt.Sprintf("It is paused: its workers are given nothing until dsatctl queue resume %s.", queue.Step))
	}
	if queue.Draining {
		said = append(said, fmt.Sprintf("It is drained: nothing is let in until dsatctl queue resume %s, and those who fill it wait.", queue.Step))
	}
	if queue.Breaker == "open" {
		said = append(said, fmt.Sprintf("Its breaker is open for another %s: %s. %s", spell(time.Duration(queue.OpenFor*float64(time.Second))), queue.OpenedBy, q.meanwhile(queue.Step)))
	}
	if queue.Breaker == "half-open" {
		said = append(said, fmt.Sprintf("Its breaker is half open: a few messages are tried; it had opened because of %s. %s", queue.OpenedBy, q.meanwhile(queue.Step)))
	}
	if queue.Starved > 0 {
		said = append(said, fmt.Sprintf("%s be tried again by now, and there is no room in the budget for retries (work.budget).",
			plural(queue.Starved, "message held there could", "messages held there could")))
	}
	return said
}

// meanwhile is what becomes of the messages of a step whose breaker is not closed.
func (q *inquiry) meanwhile(step string) string {
	spec := q.topology.Satellite(step)
	if spec == nil {
		return "Meanwhile its messages wait."
	}
	switch spec.Breaker.Then {
	case topology.BreakerQuarantine:
		return "Meanwhile its messages are set aside in quarantine."
	case topology.BreakerFail:
		return "Meanwhile its messages end at once, as dropped."
	case topology.BreakerFallback:
		return "Meanwhile its messages go to " + spec.Breaker.Fallback + "."
	}
	return "Meanwhile its messages wait."
}
