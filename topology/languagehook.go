package topology

import (
	"time"
)

func hooksKeys() *key {
	out := &key{name: "hooks", kind: tableKind{}, aka: []string{"hook", "events"},
		doc: `Commands that run around its life, each a command or a table: hooks = { before_start = "./check.sh" }. They run as the satellite does, beside it, for each instance; what they print goes to its log. ` +
			"DSAT_HOOK tells which it is, DSAT_NAME and DSAT_WID for whom, DSAT_PID its process, DSAT_STATE its state; others are told below. One that ends with another code than 0 says no. None holds up another satellite."}
	for n, w := range hookWords() {
		doc := w.doc
		if w.veto != "" {
			doc += " A no: " + w.veto + "."
		}
		kind := HookKind(n)
		out.keys = append(out.keys, &key{name: w.name, kind: hookKind{w.ignore}, whole: true, doc: doc, keys: hookKeys(w.ignore),
			field: sat(func(s *Satellite) any { return &s.Hooks[kind] }), dropped: func(o, _ any) bool { return o.(*Satellite).Hooks[kind] == nil }})
	}
	return out
}

func hookKeys(ignore bool) []*key {
	def := "false"
	if ignore {
		def = "true"
	}
	return []*key{
		{name: "command", kind: commandKind{}, whole: true, aka: []string{"cmd", "exec", "run"}, doc: "The command, written as the satellite's own.", field: on(func(h *Hook) any { return &h.Command })},
		{name: "deadline", kind: durationKind{}, def: `"10s"`, min: int64(time.Millisecond), aka: []string{"timeout"}, doc: "Then it is killed, and counts as failed.", field: on(func(h *Hook) any { return &h.Deadline })},
		{name: "ignore_failure", kind: boolKind{}, def: def, aka: []string{"ignore", "ignore_errors"}, doc: "One that cannot be run, is killed by a signal, or does not end in time counts as a yes.", field: on(func(h *Hook) any { return &h.IgnoreFailure })},
	}
}

// hookKind is a command, or a table with one: a *Hook.
type hookKind struct{ ignore bool }

func (hookKind) typ() string       { return "command or table" }
func (hookKind) wants(*key) string { return "a command, or a table { command = ... }" }
func (t hookKind) read(r *reader, k *key, n *node) (any, bool) {
	h := &Hook{Deadline: 10 * time.Second, IgnoreFailure: t.ignore}
	if n.shape != shapeTable {
		v, ok := commandKind{}.read(r, k, n)
		if ok {
			h.Command = v.([]string)
		}
		return h, ok
	}
	_, ok := r.record(k, n, h)
	if ok && h.Command == nil {
		r.problem(n.at, `say command = "..."`, "%s has no command", k.label)
		return nil, false
	}
	return h, ok
}

func (t hookKind) format(v any) string {
	h := v.(*Hook)
	return "{ command = " + quoteAll(h.Command, true) + ", deadline = " + durationKind{}.format(h.Deadline) + ", ignore_failure = " + boolKind{}.format(h.IgnoreFailure) + " }"
}

func (t hookKind) schema(k *key) map[string]any {
	return map[string]any{"anyOf": []any{commandKind{}.schema(k), tableSchema(&key{keys: k.keys})}}
}

// DaemonHooks are commands that run as dsatd does, around its own life; nil: none.
type DaemonHooks struct {
	Start *Hook // before anything is started; a no ends dsatd
	Ready *Hook // when all that starts by itself is up
	Stop  *Hook // when it begins to end
}

func daemonHookKeys() *key {
	hook := func(name string, doc string, ignore bool, field func(*DaemonHooks) **Hook) *key {
		return &key{name: name, kind: hookKind{ignore}, whole: true, keys: hookKeys(ignore), doc: doc,
			field:   top(func(t *Topology) any { return field(&t.Daemon.Hooks) }),
			dropped: func(o, _ any) bool { return *field(&o.(*Topology).Daemon.Hooks) == nil }}
	}
	return &key{name: "hooks", kind: tableKind{}, doc: "Commands that run around the life of dsatd, as its own user; DSAT_HOOK tells which.", aka: []string{"hook"}, keys: []*key{
		hook("start", "Before anything is started. A no (another exit code than 0) ends dsatd.", false, func(h *DaemonHooks) **Hook { return &h.Start }),
		hook("ready", "When all that starts by itself is up, or has failed for good; DSAT_CAUSE then tells what.", true, func(h *DaemonHooks) **Hook { return &h.Ready }),
		hook("stop", "When dsatd begins to end; what runs is stopped after it.", true, func(h *DaemonHooks) **Hook { return &h.Stop }),
	}}
}
