package topology

import "syscall"

func restartKeys() *key {
	return &key{name: "restart", kind: tableKind{}, short: "policy", doc: "What follows an exit that nobody asked for. A bare string is the policy.", aka: []string{"autorestart", "respawn"}, keys: append([]*key{
		{name: "policy", kind: enumKind{}, def: `"always"`, auto: `"always"; "never" for what a schedule runs`, derive: derivePolicy, choices: []choice{
			{value: "always", doc: "start it again"}, {value: "on-failure", doc: "only after an exit that is no success"}, {value: "never", doc: "leave it"},
		}, doc: "When to start again.", field: sat(func(s *Satellite) any { return &s.Restart.Policy })},
		{name: "success_codes", kind: codesKind{}, def: "[0]", whole: true, min: 0, max: 255, doc: "Exit codes that count as success.", aka: []string{"exitcodes", "exit_codes"},
			field: sat(func(s *Satellite) any { return &s.Restart.SuccessCodes })},
		{name: "success_signals", kind: signalsKind{}, def: "[]", whole: true, doc: "Signals; an end by one of them counts as success.",
			field: sat(func(s *Satellite) any { return &s.Restart.SuccessSignals })},
		{name: "forbid_codes", kind: codesKind{}, def: "[]", whole: true, min: 0, max: 255, doc: "Exit codes after which another start makes no sense, such as 2 for wrong use: the instance is fatal at once, whatever the policy.",
			aka: []string{"prevent_codes", "fatal_codes"}, field: sat(func(s *Satellite) any { return &s.Restart.ForbidCodes })},
		{name: "backoff", kind: tableKind{}, doc: "Delay before the n-th restart in a row: none, initial, initial x factor, ... up to max.", keys: []*key{
			{name: "initial", kind: durationKind{}, def: `"100ms"`, doc: "Delay before the second restart; the first is at once.", field: sat(func(s *Satellite) any { return &s.Restart.Backoff.Initial })},
			{name: "factor", kind: numberKind{}, def: "2.0", min: 1, max: 100, doc: "Growth from one delay to the next.", field: sat(func(s *Satellite) any { return &s.Restart.Backoff.Factor })},
			{name: "max", kind: durationKind{}, def: `"30s"`, doc: "The longest delay.", field: sat(func(s *Satellite) any { return &s.Restart.Backoff.Max })},
			{name: "jitter", kind: numberKind{}, def: "0.2", min: 0, max: 1, doc: "Share of the delay by which it is spread either way.", field: sat(func(s *Satellite) any { return &s.Restart.Backoff.Jitter })},
			{name: "reset", kind: durationKind{}, def: `"10s"`, doc: "After running so long, former failures are forgotten.", field: sat(func(s *Satellite) any { return &s.Restart.Backoff.Reset })},
		}},
		{name: "limit", kind: wholeKind{}, def: "10", min: 0, max: 1_000_000, aka: []string{"max_restarts", "startretries", "max_retry", "retries"},
			doc:   "An instance that fails after so many starts within the window is fatal: it stays down, visibly, until `dsatctl start`. With the default back-off a program that exits at once gets there in about 25 s, so a typing error shows and does not flap for ever. 0: never give up, for what waits for something outside that may be away for longer.",
			field: sat(func(s *Satellite) any { return &s.Restart.Limit })},
		{name: "window", kind: durationKind{}, def: `"1m"`, min: 1, doc: "The sliding window of the limit.", field: sat(func(s *Satellite) any { return &s.Restart.Window })},
	}, endingKeys()...)}
}

func stopKeys() *key {
	return &key{name: "stop", kind: tableKind{}, doc: "How an instance is ended: drained, told by a command or a signal, and killed at the deadline.", aka: []string{"shutdown", "kill"}, keys: []*key{
		{name: "command", kind: commandKind{}, whole: true, aka: []string{"cmd", "exec", "execstop"},
			doc: "A command that tells it to stop, in place of the first signal; written as the satellite's own command. It runs as the satellite does, with its environment, and with DSAT_PID, the number of the process. What it prints goes to the satellite's log. " +
				"When it fails, the first signal follows at once; at the deadline it is killed too. The stop ends when the command has ended as well.",
			field: sat(func(s *Satellite) any { return &s.Stop.Command }), dropped: unset(func(s *Satellite) []string { return s.Stop.Command })},
		{name: "signals", kind: sequenceKind{}, group: "signal", whole: true, aka: []string{"sequence"},
			doc:   `A sequence of signals, each with the time since the stop began: ["INT", "TERM after 2s", "QUIT after 5s"]. After the last one nothing comes but the deadline.`,
			field: sat(func(s *Satellite) any { return &s.Stop.Signals }), dropped: unset(func(s *Satellite) []StopSignal { return s.Stop.Signals })},
		{name: "signal", kind: signalKind{}, group: "signal", auto: `"TERM"; the first of signals`, derive: deriveSignal, choices: signalChoices(), doc: "The signal, by name.", aka: []string{"stopsignal", "stop_signal", "sig"},
			field: sat(func(s *Satellite) any { return &s.Stop.Signal }), dropped: func(o, _ any) bool { return o.(*Satellite).Stop.Signals != nil }},
		{name: "deadline", kind: durationKind{}, def: `"10s"`, doc: "From the beginning of the stop, after the drain; then KILL to all that is left of it.", aka: []string{"timeout", "graceful_timeout", "stopwaitsecs", "grace"},
			field: sat(func(s *Satellite) any { return &s.Stop.Deadline })},
		{name: "group", kind: boolKind{}, def: "false", doc: "The signal goes to its whole process group, not to the first process only.", aka: []string{"stopasgroup", "killasgroup", "children"},
			field: sat(func(s *Satellite) any { return &s.Stop.Group })},
	}}
}

func queueKeys() *key {
	return &key{name: "queue", kind: tableKind{}, applies: whenFed, doc: "What waits for it.", aka: []string{"buffer", "inbox"}, keys: append([]*key{
		{name: "delivery", kind: enumKind{}, def: `"tracked"`, choices: []choice{
			{value: "tracked", doc: "at least once while the daemon lives"},
			{value: "direct", doc: "at most once, from one satellite straight to the other, where both open ZeroMQ sockets (commands that speak bus); elsewhere as tracked"},
			{value: "durable", doc: "as tracked, and survives kill -9 and power loss: accepted when it is on disk"},
		}, doc: "The promise.", aka: []string{"class", "durability"}, field: sat(func(s *Satellite) any { return &s.Queue.Delivery })},
		{name: "max", kind: sizeKind{}, def: `"64MiB"`, min: 1, max: 1 << 50, doc: "Bytes that may wait.", aka: []string{"max_bytes", "size", "max_size", "maxsize"},
			field: sat(func(s *Satellite) any { return &s.Queue.MaxBytes })},
		{name: "max_messages", kind: wholeKind{}, def: "100000", min: 1, max: 1_000_000_000, doc: "Messages that may wait.", aka: []string{"length", "depth", "max_length"},
			field: sat(func(s *Satellite) any { return &s.Queue.MaxMessages })},
		{name: "full", kind: enumKind{}, def: `"block"`, choices: []choice{
			{value: "block", doc: "sources above wait"},
			{value: "spill", doc: "its payload goes to the journal on disk, and comes back when its turn comes; when that is full too, or the disk takes nothing, sources above wait"},
			{value: "drop-oldest", doc: "the oldest waiting is dropped and counted"},
			{value: "drop-newest", doc: "the arriving one is dropped and counted"},
			{value: "quarantine", doc: "the arriving one is set aside"},
		}, doc: "What happens to a message that finds the queue full.", aka: []string{"overflow", "policy"}, field: sat(func(s *Satellite) any { return &s.Queue.Full })},
		{name: "ttl", kind: durationKind{}, def: `"0s"`, doc: "Messages that waited so long expire; 0s: never.", aka: []string{"expires", "max_age", "timeout"},
			field: sat(func(s *Satellite) any { return &s.Queue.TTL })},
		spillKey(),
	}, admissionKeys()...)}
}

func workKeys() *key {
	return &key{name: "work", kind: tableKind{}, applies: whenFed, doc: "What is being done by it.", aka: []string{"job"}, keys: append([]*key{
		{name: "in_hand", kind: wholeKind{}, def: "32", auto: "32; 1 for a filter in lockstep, 4 for v1", derive: deriveInHand, min: 1, max: 65535, doc: "Messages that one instance may hold unacknowledged.",
			aka: []string{"prefetch", "max_in_flight", "in_flight", "credit"}, field: sat(func(s *Satellite) any { return &s.Work.InHand })},
		{name: "deadline", kind: durationKind{}, def: `"60s"`, doc: "Of one running message; 0s: none. Over it, its process is ended, and the message comes back as one that lost its process: `crashes` bounds how often, not `retries`.", aka: []string{"timeout", "ack_wait"}, field: sat(func(s *Satellite) any { return &s.Work.Deadline })},
		{name: "retries", kind: wholeKind{}, def: "5", min: 0, max: 1_000_000, doc: "After the first attempt.", aka: []string{"max_deliver", "attempts", "retry"}, field: sat(func(s *Satellite) any { return &s.Work.Retries })},
		{name: "backoff", kind: durationKind{}, def: `"200ms"`, doc: "Before a retry; jittered, and doubled each time.", aka: []string{"delay"}, field: sat(func(s *Satellite) any { return &s.Work.Backoff })},
		{name: "hops", kind: wholeKind{}, def: "50", min: 1, max: 65535, doc: "A message that passed so many steps is quarantined: it ends loops.", aka: []string{"max_hops"}, field: sat(func(s *Satellite) any { return &s.Work.Hops })},
		{name: "crashes", kind: wholeKind{}, def: "3", min: 1, max: 65535, doc: "Processes that one message may take with it before it is quarantined. Of several that were running in one process half are tried again together, then a quarter, and so on; only one that was running alone is quarantined, so that with a concurrency of 32 it may take up to 6.", field: sat(func(s *Satellite) any { return &s.Work.Crashes })},
		{name: "then", kind: enumKind{}, def: `"quarantine"`, choices: []choice{{value: "quarantine", doc: "set aside, with the evidence"}, {value: "drop", doc: "dropped and counted"}},
			doc: "When the retries are used up.", aka: []string{"on_failure", "dead_letter"}, field: sat(func(s *Satellite) any { return &s.Work.Then })},
		workKeyKey(),
		{name: "heartbeat", kind: durationKind{}, def: `"0s"`, doc: "A running message must show PROGRESS so often, or its process is replaced; the deadline is then of the whole message, and PROGRESS does not start it anew. 0s: it need not.", aka: []string{"beat", "progress", "heartbeat_timeout"},
			field: sat(func(s *Satellite) any { return &s.Work.Heartbeat })},
	}, boundKeys()...)}
}

func speaksChoices() []choice {
	return []choice{
		{value: "none", doc: "not at all: any program"},
		{value: "bus", doc: "the session of dsat, through an SDK"},
		{value: "lines", doc: "a filter: a payload per line in, a line out"},
		{value: "json", doc: "a filter: as lines, each checked to be one JSON value"},
		{value: "frames", doc: "a filter: 4-byte big-endian length, then so many bytes, both ways"},
		{value: "v1", doc: "the protocol of DSAT 0.6, over the links of [bus.v1]"},
	}
}

func modeChoices() []choice {
	return []choice{
		{value: "lockstep", doc: "one line in hand, one answer"},
		{value: "pipelined", doc: "many in hand, one answer each, in order"},
		{value: "sink", doc: "no answers: done when the write succeeded"},
		{value: "source", doc: "no questions: every line is emitted"},
		{value: "many", doc: "any number of lines for each question, ended by an empty line"},
	}
}

func survivalChoices() []choice {
	return []choice{
		{value: string(Adopt), doc: "taken back: same process, its output since then is read"},
		{value: string(Replace), doc: "stopped, and a new one is started"},
	}
}

func whenFilter(o any) string {
	if o.(*Satellite).Speaks.Filter() {
		return ""
	}
	return `is for filters: satellites with speaks = "lines", "json" or "frames"`
}

func whenEmits(o any) string {
	switch s := o.(*Satellite); {
	case s.Speaks == SpeaksNone:
		return `means nothing where speaks = "none": the satellite emits nothing`
	case s.Mode == ModeSink:
		return `means nothing where mode = "sink": the satellite emits nothing`
	}
	return ""
}

func whenFed(o any) string {
	switch s := o.(*Satellite); {
	case s.Speaks == SpeaksNone:
		return `means nothing where speaks = "none": nothing can be sent to the satellite`
	case s.Mode == ModeSource:
		return `means nothing where mode = "source": nothing can be sent to the satellite`
	}
	return ""
}

func deriveSpeaks(o any) any {
	if o.(*Satellite).Plugin != "" {
		return "bus"
	}
	return "none"
}

func derivePolicy(o any) any {
	if o.(*Satellite).Scheduled() {
		return string(RestartNever)
	}
	return string(RestartAlways)
}

func deriveAutostart(o any) any { return !o.(*Satellite).Scheduled() }

func deriveSignal(o any) any {
	if s := o.(*Satellite).Stop.Signals; len(s) > 0 {
		return s[0].Signal
	}
	return syscall.SIGTERM
}

func deriveInHand(o any) any {
	switch s := o.(*Satellite); {
	case s.Mode == ModeLockstep:
		return int64(1)
	case s.Speaks == SpeaksV1:
		return int64(4)
	}
	return int64(32)
}
