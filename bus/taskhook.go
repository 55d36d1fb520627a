package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// A task ends once, and so its hook is called once: the tracker says so at the end of its last hop, and at the end of the turn the
// command is handed over, or the message admitted. Neither is waited for. What cannot be kept is skipped, counted and told.

// TaskEnd is a task that has ended.
type TaskEnd struct {
	Task   string
	State  string // done or failed
	Reason string // of the last hop that was not done
	Step   string // where it began
	Hops   int    // messages it had
	Failed int    // those that were not done
	Hook   *topology.TaskHook
	log    *hookLog // that it is owed; nil: that is not on disk
}

// HookCounts is what became of the hooks of tasks.
type HookCounts struct{ Commands, Messages, Skipped uint64 }

// mostHooks bounds the commands that wait for their turn, and likewise the messages that wait for room.
const mostHooks = 1024

// hooks is what has ended in this turn, and what was done about others.
type hooks struct {
	HookCounts
	ended    []TaskEnd
	commands int    // handed over and not over
	messages int    // that wait for room
	untold   uint64 // skipped and not told yet
	told     int64  // when that was told last, ns since the start
}

// hooked reports whether a satellite says what follows its tasks.
func hooked(sat *topology.Satellite) bool { return sat.OnDone != nil || sat.OnFailed != nil }

// originName is the step whose hooks are about a task.
func (t *tracker) originName(task *task) string {
	if task.origin == outside {
		return ""
	}
	return t.steps[task.origin].name
}

// hooked is the tracker's sink.
func (o *orchester) hooked(s *step, t *task) {
	e := TaskEnd{Task: formatID(t.id), State: "done", Reason: t.reason, Step: s.name, Hops: int(t.count), Failed: int(t.failed), Hook: s.sat.OnDone}
	if t.failed > 0 {
		e.State, e.Hook = "failed", s.sat.OnFailed
	}
	if e.Hook == nil {
		return
	}
	if e.Hook.To == "" && (o.bus.cfg.TaskHook == nil || o.hooks.commands+len(o.hooks.ended) >= mostHooks) {
		o.skipHook()
		return
	}
	if d := o.t.scroll; d != nil && len(d.buf) > 0 { // so is the end of the task
		e.log = &hookLog{id: t.id, end: e}
		d.owes(e.log)
	}
	o.hooks.ended = append(o.hooks.ended, e)
}

func (o *orchester) skipHook() {
	o.hooks.Skipped++
	o.hooks.untold++
}

// callHooks does what follows the tasks that have ended, and reports whether messages were among it.
func (o *orchester) callHooks() (sent bool) {
	if o.t.frozen {
		return false
	}
	for i := range o.hooks.ended {
		switch e := o.hooks.ended[i]; {
		case e.Hook.To != "":
			sent = o.hookMessage(&e) || sent
		case o.bus.cfg.TaskHook == nil: // of an earlier daemon, which had commands
			o.skipHook()
		default:
			o.hooks.Commands++
			o.hooks.commands++
			over := func() {
				o.bus.mail.post(func(o *orchester) {
					o.hooks.commands--
					o.t.scroll.paid(e.log)
				})
			}
			o.t.after(func() { o.bus.notes.post(func() { o.bus.cfg.TaskHook(e, over) }) })
		}
	}
	clear(o.hooks.ended)
	o.hooks.ended = o.hooks.ended[:0]
	return sent
}

// tellSkipped tells how many were skipped, at most once in a second, and returns when it wants to be called again; 0: not.
func (o *orchester) tellSkipped() int64 {
	switch due := o.hooks.told + int64(time.Second); {
	case o.hooks.untold == 0:
		return 0
	case o.hooks.told > 0 && o.now < due:
		return due
	}
	o.tellEvent("", topology.Ref{}, 0, fmt.Sprintf("skipped the hooks of %d tasks: %d wait already", o.hooks.untold, mostHooks))
	o.hooks.untold, o.hooks.told = 0, o.now
	return 0
}

// hookMessage sends what has ended to a step and reports whether it was admitted. Its own end calls no hook, so that there are no loops.
func (o *orchester) hookMessage(e *TaskEnd) bool {
	to := o.byName[e.Hook.To]
	if to == nil || o.hooks.messages >= mostHooks {
		o.skipHook()
		o.t.scroll.paid(e.log)
		return false
	}
	o.hooks.messages++
	text, err := json.Marshal(map[string]any{"task": e.Task, "state": e.State, "reason": e.Reason, "step": e.Step, "hops": e.Hops, "failed": e.Failed})
	if err != nil { // strings and numbers can be told in JSON
		panic(err)
	}
	s := &sending{to: to, m: message{quiet: true}, lasting: true, by: hookMessage{e.log}}
	o.take(s, wire.JSON, text)
	return s.sent.Task != ""
}

// hookMessage is who waits for nothing.
type hookMessage struct{ log *hookLog }

func (hookMessage) result(*orchester, *wire.Output) {}
func (m hookMessage) answer(o *orchester, _ Sent, err error) {
	o.hooks.messages--
	o.t.scroll.paid(m.log)
	if err != nil { // the step is gone
		o.skipHook()
		return
	}
	o.hooks.Messages++
}

// takeInHooks admits the messages about tasks, for which there is room or not: the next daemon would not know of them.
func (o *orchester) takeInHooks() {
	o.hooks.ended = slices.DeleteFunc(o.hooks.ended, func(e TaskEnd) bool {
		if e.Hook.To != "" {
			o.hookMessage(&e)
		}
		return e.Hook.To != ""
	})
	o.sends = slices.DeleteFunc(o.sends, func(s *sending) bool {
		_, is := s.by.(hookMessage)
		if is {
			o.inject(s)
		}
		return is
	})
}

// keepHooks is what ended while nothing could be begun.
func (o *orchester) keepHooks() []TaskEnd {
	ends := slices.DeleteFunc(slices.Clone(o.hooks.ended), func(e TaskEnd) bool { return e.log != nil }) // the journal has those
	for i := range ends {
		ends[i].Hook = nil
	}
	return ends
}

// restoreHooks takes over what another bus has kept, as the topology says now.
func (o *orchester) restoreHooks(ends []TaskEnd) {
	for _, e := range ends {
		e.resolve(o.byName[e.Step])
		if e.Hook != nil {
			o.hooks.ended = append(o.hooks.ended, e)
		}
	}
}
