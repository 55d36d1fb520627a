package web

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsat/dsat/bus"
)

// callDescs are the metrics of who waits for the end of tasks, and of what follows it.
type callDescs struct{ waiting, expired, dropped, hooks, replies, givenUp, sessions, lost *prometheus.Desc }

func newCallDescs(desc func(name, help string, labels ...string) *prometheus.Desc) callDescs {
	return callDescs{
		waiting:  desc("calls_waiting", "Calls and sends that wait for the end of their task, or for room to begin it."),
		expired:  desc("calls_expired_total", "Calls whose deadline came before their answer."),
		dropped:  desc("calls_dropped_total", "Calls of satellites whose session was over before their answer."),
		replies:  desc("replies", "Replies to detached calls that are kept or awaited."),
		givenUp:  desc("replies_given_up_total", "Replies to detached calls given up for their age or for room."),
		sessions: desc("call_sessions", "Sessions with instances, and those whose end nobody was told."),
		lost:     desc("call_sessions_lost_total", "Sessions that ended with their instance."),
		hooks:    desc("task_hooks_total", "What followed the ends of tasks by on_done and on_failed: commands begun, messages sent, and those skipped because too many waited.", "kind"),
	}
}

func (d *callDescs) collect(ch chan<- prometheus.Metric, stats *bus.Stats) {
	gauge(ch, d.waiting, float64(stats.Calls.Waiting))
	counter(ch, d.expired, float64(stats.Calls.Expired))
	gauge(ch, d.replies, float64(stats.Calls.Replies))
	counter(ch, d.givenUp, float64(stats.Calls.GivenUp))
	gauge(ch, d.sessions, float64(stats.Calls.Sessions))
	counter(ch, d.lost, float64(stats.Calls.Lost))
	counter(ch, d.dropped, float64(stats.Calls.Dropped))
	counter(ch, d.hooks, float64(stats.Hooks.Commands), "command")
	counter(ch, d.hooks, float64(stats.Hooks.Messages), "message")
	counter(ch, d.hooks, float64(stats.Hooks.Skipped), "skipped")
}
