package topology

import (
	"slices"
	"syscall"
	"time"
)

func healthKeys() *key {
	const how = "check"
	check := func(f func(*Check) any) func(any) any { return on(f) }
	not := func(kinds ...CheckKind) func(o, _ any) bool {
		return func(o, _ any) bool {
			for _, k := range kinds {
				if o.(*Check).Kind == k {
					return false
				}
			}
			return true
		}
	}
	return &key{name: "health", aka: []string{"healthcheck", "checks", "liveness", "liveness_probe", "readiness_probe"},
		doc: "Checks of a running instance, each under a name of yours: `health.live = { get = \"http://127.0.0.1:8080/live\" }`. They begin when it is ready, and say how it is from then on: `ready` is for the start, a check that restarts is for the life, one with `then = \"unready\"` for the service.",
		kind: entriesKind{
			make: func(name string) any { return &Check{Name: name} },
			add:  func(o, e any) { s := o.(*Satellite); s.Health = append(s.Health, e.(*Check)) },
			list: func(o any) []entry { return entriesOf(o.(*Satellite).Health, func(c *Check) string { return c.Name }) },
		},
		each: &key{name: "*", kind: tableKind{}, short: "on", doc: "A check.", keys: []*key{
			{name: "exec", kind: commandKind{}, group: how, whole: true, aka: []string{"command", "cmd", "test"}, doc: "A command that ends with 0. It runs as the satellite does, with its environment, and with DSAT_PID; its last line is the reason it fails.",
				field: check(func(c *Check) any { return &c.Exec }), dropped: not(CheckExec)},
			{name: "get", kind: urlKind{textKind{instance: true}}, group: how, aka: []string{"http", "http_get", "url"}, doc: "A URL that answers 2xx or 3xx.",
				field: check(func(c *Check) any { return &c.Get }), dropped: not(CheckGet)},
			{name: "tcp", kind: hostPortKind{textKind{instance: true}}, group: how, aka: []string{"port", "connect"}, doc: "host:port accepts a connection.",
				field: check(func(c *Check) any { return &c.TCP }), dropped: not(CheckTCP)},
			{name: "grpc", kind: grpcKind{textKind{instance: true}}, group: how, doc: "host:port or host:port/SERVICE answers SERVING by grpc.health.v1, without TLS.",
				field: check(func(c *Check) any { return &c.GRPC }), dropped: not(CheckGRPC)},
			{name: "progress", kind: durationKind{}, group: how, min: int64(time.Second), aka: []string{"stuck", "stalled"}, doc: "It has had work in hand for so long and none of it was done since. An idle one is well.",
				field: check(func(c *Check) any { return &c.Progress }), dropped: not(CheckProgress)},
			{name: "on", kind: enumKind{}, group: how, auto: "the one of the others that is given", derive: deriveCheck, doc: "Which check, where it needs no value.", choices: []choice{{value: "bus", doc: "its session on the bus answers a PING"}},
				field: check(func(c *Check) any { return &c.Kind }), dropped: not(CheckBus)},
			{name: "status", kind: codesKind{}, def: "[]", whole: true, min: 100, max: 599, doc: "Of get: the answers that are well, instead of 200 to 399.", aka: []string{"expect", "codes"},
				field: check(func(c *Check) any { return &c.Status }), dropped: func(o, _ any) bool { return len(o.(*Check).Status) == 0 }},
			{name: "body", kind: regexpKind{}, doc: "Of get: the answer's first 64 KiB match this regular expression (RE2).", aka: []string{"match"},
				field: check(func(c *Check) any { return &c.Body }), dropped: func(o, _ any) bool { return o.(*Check).Body == "" }},
			{name: "delay", kind: durationKind{}, def: `"0s"`, doc: "From ready to the first look.", aka: []string{"initial_delay", "start_period"}, field: check(func(c *Check) any { return &c.Delay })},
			{name: "every", kind: durationKind{}, def: `"10s"`, min: int64(10 * time.Millisecond), doc: "From one look to the next, spread by a tenth.", aka: []string{"interval", "period"}, field: check(func(c *Check) any { return &c.Every })},
			{name: "deadline", kind: durationKind{}, def: `"2s"`, min: int64(time.Millisecond), doc: "Of one look.", aka: []string{"timeout"}, field: check(func(c *Check) any { return &c.Deadline })},
			{name: "failures", kind: wholeKind{}, def: "3", min: 1, max: 1000, doc: "So many in a row make it sick.", aka: []string{"retries", "failure_threshold", "threshold"}, field: check(func(c *Check) any { return &c.Failures })},
			{name: "successes", kind: wholeKind{}, def: "1", min: 1, max: 1000, doc: "So many in a row make it well again.", aka: []string{"success_threshold"}, field: check(func(c *Check) any { return &c.Successes })},
			{name: "then", kind: enumKind{}, def: `"restart"`, choices: []choice{
				{value: "restart", doc: "it is stopped and counts as failed: back-off and limit apply"},
				{value: "signal", doc: "it is sent `signal`, and again after each further so many failures"},
				{value: "unready", doc: "it is not ready until it is well again: /readyz says so, what needs it waits"},
				{value: "nothing", doc: "it is shown and counted"},
			}, doc: "What follows when it is sick.", aka: []string{"action", "on_failure"}, field: check(func(c *Check) any { return &c.Then })},
			{name: "signal", kind: signalKind{}, def: `"HUP"`, doc: "Of then = \"signal\".", choices: signalChoices(), field: check(func(c *Check) any { return &c.Signal }),
				dropped: func(o, _ any) bool { return o.(*Check).Then != CheckSignal }},
		}},
	}
}

func deriveCheck(o any) any {
	switch c := o.(*Check); {
	case len(c.Exec) > 0:
		return string(CheckExec)
	case c.Get != "":
		return string(CheckGet)
	case c.TCP != "":
		return string(CheckTCP)
	case c.GRPC != "":
		return string(CheckGRPC)
	case c.Progress != 0:
		return string(CheckProgress)
	}
	return ""
}

// grpcKind is host:port with an optional service behind a slash.
type grpcKind struct{ textKind }

func (grpcKind) typ() string       { return "address" }
func (grpcKind) wants(*key) string { return `"host:port" or "host:port/SERVICE"` }
func (t grpcKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	addr, _ := SplitService(v.(string))
	if _, _, ok := splitAddress(anyInstance(addr)); !ok {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(v.(string)))
		return nil, false
	}
	return v, true
}

// health checks what the checks of a satellite say together. What a default says in vain is no mistake.
func (r *rules) health(s *Satellite, said *setting) {
	for _, c := range s.Health {
		at := orElse(said.find("health").find(c.Name), said)
		vain := func(name, hint, format string, args ...any) bool {
			f := at.find(name)
			if f != nil && !f.inherited {
				r.add(f.pos, hint, format, args...)
			}
			return f != nil
		}
		ways := []string{"exec", "get", "tcp", "grpc", "progress", "on"}
		if c.Kind == "" && slices.ContainsFunc(ways, func(way string) bool { return at.find(way) != nil }) {
			continue // and that cannot be read, which is told already
		}
		switch {
		case c.Kind == "":
			r.add(at.pos, `say one of exec, get, tcp, grpc, progress, or on = "bus"`, "the check %s does not say how it looks", c.Name)
		case (c.Kind == CheckBus || c.Kind == CheckProgress) && s.Speaks == SpeaksNone:
			r.add(at.pos, "", "a satellite that speaks none has no session on the bus for the check %s", c.Name)
		case c.Kind == CheckBus && s.Speaks.Filter():
			r.add(at.pos, "progress looks at what it has in hand", "a filter cannot answer a PING: the check %s", c.Name)
		}
		if c.Kind != CheckGet && c.Kind != "" && vain("status", "", "status means nothing for a check by %s", c.Kind) {
			c.Status = nil
		}
		if c.Kind != CheckGet && c.Kind != "" && vain("body", "", "body means nothing for a check by %s", c.Kind) {
			c.Body = ""
		}
		if c.Then != CheckSignal && vain("signal", `say then = "signal"`, "signal means nothing where then = %q", c.Then) {
			c.Signal = syscall.SIGHUP
		}
	}
}
