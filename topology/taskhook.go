package topology

import "time"

// TaskHook is what follows the end of a task: a command, or a message to a step.
type TaskHook struct {
	Hook        // Command is empty when To is set
	To   string // the step; "": the command is run
}

// taskHookKeys are on_done and on_failed of a satellite.
func taskHookKeys() []*key {
	hook := func(name, doc string, aka []string, field func(*Satellite) **TaskHook) *key {
		return &key{name: name, kind: taskHookKind{}, whole: true, applies: whenSpeaks, keys: taskHookFields(), doc: doc, aka: aka,
			field: sat(func(s *Satellite) any { return field(s) }), dropped: func(o, _ any) bool { return *field(o.(*Satellite)) == nil }}
	}
	return []*key{
		hook("on_done", `When a task that began here, emitted by it or sent to it from outside, has ended and all of it is done: a command, or { to = "STEP" }. Once for each task; where the queues are durable at least once, whatever end dsatd comes to. `+
			"The command runs as the satellite does, with DSAT_HOOK, DSAT_TASK (the task's number: whoever acts on it once only goes by that), DSAT_STATE (done or failed), DSAT_REASON, DSAT_STEP, DSAT_HOPS (messages it had) and DSAT_FAILED (those that did not end well); what it prints goes to the satellite's log. "+
			"Four commands run at a time and fifty begin in a second; 1,024 wait, more are skipped and counted. The message is the same as JSON: {task, state, reason, step, hops, failed}; its own task has no hooks.",
			[]string{"on_success", "on_happy_end", "on_complete"}, func(s *Satellite) **TaskHook { return &s.OnDone }),
		hook("on_failed", "When a task that began here has ended and a part of it was not done: it was set aside, has expired, or was cancelled or dropped. As on_done.",
			[]string{"on_failure", "on_error", "dead_letter_to"}, func(s *Satellite) **TaskHook { return &s.OnFailed }),
	}
}

func taskHookFields() []*key {
	hook := func(f func(*TaskHook) any) func(any) any { return on(f) }
	return []*key{
		{name: "command", kind: commandKind{}, group: "what", whole: true, aka: []string{"cmd", "exec", "run"}, doc: "The command, written as the satellite's own.", field: hook(func(h *TaskHook) any { return &h.Command })},
		{name: "to", kind: nameKind{}, group: "what", aka: []string{"step", "send"}, doc: "In place of a command: the step that gets a message.", field: hook(func(h *TaskHook) any { return &h.To })},
		{name: "deadline", kind: durationKind{}, def: `"10s"`, min: int64(time.Millisecond), aka: []string{"timeout"}, doc: "Of the command; then it is killed.", field: hook(func(h *TaskHook) any { return &h.Deadline })},
	}
}

// taskHookKind is a command, or a table with one or with a step: a *TaskHook.
type taskHookKind struct{}

func (taskHookKind) typ() string       { return "command or table" }
func (taskHookKind) wants(*key) string { return `a command, { command = ... } or { to = "STEP" }` }
func (t taskHookKind) read(r *reader, k *key, n *node) (any, bool) {
	h := &TaskHook{Hook: Hook{Deadline: 10 * time.Second}}
	if n.shape != shapeTable {
		v, ok := commandKind{}.read(r, k, n)
		if ok {
			h.Command = v.([]string)
		}
		return h, ok
	}
	_, ok := r.record(k, n, h)
	if ok && (h.Command == nil) == (h.To == "") {
		r.problem(n.at, `say command = "..." or to = "STEP"`, "%s wants one of command and to", k.label)
		return nil, false
	}
	return h, ok
}

func (t taskHookKind) format(v any) string {
	h := v.(*TaskHook)
	if h.To != "" {
		return "{ to = " + quote(h.To, true) + " }"
	}
	return "{ command = " + quoteAll(h.Command, true) + ", deadline = " + durationKind{}.format(h.Deadline) + " }"
}

func (t taskHookKind) schema(k *key) map[string]any {
	return map[string]any{"anyOf": []any{commandKind{}.schema(k), tableSchema(&key{keys: k.keys})}}
}

// taskHooks checks what the hooks of tasks name.
func (r *rules) taskHooks() {
	for _, s := range r.t.Satellites {
		for name, h := range map[string]*TaskHook{"on_done": s.OnDone, "on_failed": s.OnFailed} {
			if h == nil || h.To == "" {
				continue
			}
			said := orElse(r.said[s.Name].find(name), r.said[s.Name])
			if r.known(h.To, name, said.pos) {
				r.target(h.To, said.pos)
			}
		}
	}
}
