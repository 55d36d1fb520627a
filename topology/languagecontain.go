package topology

// breakerKeys say when a step that fails is left in peace.
func breakerKeys() *key {
	return &key{name: "breaker", kind: tableKind{}, short: "then", applies: whenFed, aka: []string{"circuit_breaker", "circuit"},
		doc: "The circuit breaker of its step: after many failures (answers FAIL, deadlines missed, processes that died) it opens, and the step is given nothing for a while; so it does when its last process died and no other has come for as long as `open`. Then it is half open: one message is tried, " +
			"then two, four and so on, until `close` of them were done and it is closed again; one that fails opens it for twice as long. There is none unless you ask for one: a handler that refuses what is bad input does well, and nothing should make the good wait for that. A bare string is `then`.",
		keys: []*key{
			{name: "then", kind: enumKind{}, def: `"off"`, choices: []choice{
				{value: "off", doc: "there is no breaker"}, {value: "hold", doc: "they wait"}, {value: "quarantine", doc: "they are set aside"},
				{value: "fail", doc: "they end at once, as dropped, and their task as failed: who waits for it knows soon"}, {value: "fallback", doc: "the step in `fallback` gets them"},
			}, doc: "What becomes of its messages while it is open. A table without it means \"hold\", and \"fallback\" where there is one. Suspects, which were in hand when a process died, always wait.", aka: []string{"action", "on_open"},
				field: sat(func(s *Satellite) any { return &s.Breaker.Then })},
			{name: "fallback", kind: textKind{}, def: `""`, doc: "Another satellite, which gets what comes while it is open, in the same order and with the same task. While that one's own queue is full and blocks, they wait.", aka: []string{"alternative", "reroute", "to"},
				field: sat(func(s *Satellite) any { return &s.Breaker.Fallback })},
			{name: "consecutive", kind: wholeKind{}, def: "5", min: 1, max: 1_000_000, doc: "Failures in a row that open it, wherever they were.", aka: []string{"failures", "threshold", "max_failures"},
				field: sat(func(s *Satellite) any { return &s.Breaker.Consecutive })},
			{name: "ratio", kind: numberKind{}, def: "0.5", min: 0, max: 1, doc: "Share of failures that opens it too. 0 or 1 answer more or less makes no share: see samples.", aka: []string{"rate", "percent"},
				field: sat(func(s *Satellite) any { return &s.Breaker.Ratio })},
			{name: "samples", kind: wholeKind{}, def: "20", min: 1, max: 1_000_000_000, doc: "Answers within the window below which the ratio does not count.", aka: []string{"min_requests", "volume"},
				field: sat(func(s *Satellite) any { return &s.Breaker.Samples })},
			{name: "window", kind: durationKind{}, def: `"10s"`, min: 10_000_000, doc: "The time over which the ratio is taken.", aka: []string{"interval"}, field: sat(func(s *Satellite) any { return &s.Breaker.Window })},
			{name: "open", kind: durationKind{}, def: `"5s"`, min: 1_000_000, doc: "How long it stays open the first time.", aka: []string{"timeout", "sleep", "reset"}, field: sat(func(s *Satellite) any { return &s.Breaker.Open })},
			{name: "max", kind: durationKind{}, def: `"5m"`, min: 1_000_000, doc: "The longest it stays open.", aka: []string{"max_open"}, field: sat(func(s *Satellite) any { return &s.Breaker.Max })},
			{name: "close", kind: wholeKind{}, def: "5", min: 1, max: 1_000_000, doc: "Trials that have to be done, none of them failed, before it closes.", aka: []string{"successes", "trials"}, field: sat(func(s *Satellite) any { return &s.Breaker.Close })},
		}}
}

// admissionKeys say what is let into a queue, and in which order it is worked off.
func admissionKeys() []*key {
	return []*key{
		{name: "dedup", kind: tableKind{}, short: "window", aka: []string{"deduplication", "idempotency", "duplicates"}, doc: "A message with an id of its own (dsatctl send --id, the header Dsat-Id, the SDKs' id) is let in once within a window; a repeat is answered as the first one was, and counted. Ids of sources are numbers, each step has its own. The window outlives an upgrade; that of a durable queue is in the journal with its messages, and outlives a kill of dsatd too.", keys: []*key{
			{name: "window", kind: durationKind{}, def: `"0s"`, doc: "How long an id is remembered; 0s: ids do not matter.", field: sat(func(s *Satellite) any { return &s.Queue.Dedup.Window })},
			{name: "max", kind: wholeKind{}, def: "1000000", min: 1, max: 100_000_000, doc: "Ids remembered at most, about 100 bytes each; beyond it the oldest are forgotten early.", field: sat(func(s *Satellite) any { return &s.Queue.Dedup.Max })},
		}},
		{name: "priority", kind: wholeKind{}, def: "0", min: 0, max: 9, doc: "The highest priority its messages may have, from 1 to 9; 0: priorities do not matter. Higher ones go first, strictly: while they come without end, lower ones wait. Within one it is first come, first served. A message has the priority it was sent with (dsatctl send --priority, the SDKs' priority), and so has what descends from it. Where messages have keys, these are the order, and priorities do not matter.", aka: []string{"priorities", "max_priority", "x-max-priority", "levels"},
			field: sat(func(s *Satellite) any { return &s.Queue.Priority })},
	}
}

// taskKey bounds whole tasks.
func taskKey() *key {
	return &key{name: "task", kind: durationKind{}, def: `"0s"`, applies: whenSpeaks, aka: []string{"task_timeout", "task_deadline"},
		doc:   "How long a task that begins here may take as a whole: with a message it emits as a source, or one sent to it from outside. Then what of it waits or is in hand expires, and its workers are told to let go. 0s: no limit. A message may be sent with a shorter one (dsatctl send --ttl). It outlives an upgrade and, for what is in durable queues, a kill of dsatd: then it is told by the time of day, and a clock that was set back gives a task no more than it had left.",
		field: sat(func(s *Satellite) any { return &s.Task })}
}

// boundKeys bound the work of a step as a whole.
func boundKeys() []*key {
	return []*key{
		{name: "budget", kind: tableKind{}, aka: []string{"retry_budget"}, doc: "How many retries after FAIL it may have beside its first attempts, all instances together, so that failures do not multiply the load. Beyond it they stay held until there is room, and count in queues and metrics. Redelivery after a process died is no retry.", keys: []*key{
			{name: "share", kind: numberKind{}, def: "0.1", min: 0, max: 1_000_000, doc: "Share of the first attempts. A share of as much as `retries` lifts it.", field: sat(func(s *Satellite) any { return &s.Work.Budget.Share })},
			{name: "rate", kind: paceKind{}, def: `"10/s"`, doc: "And so many beside; of 10 s at once.", field: sat(func(s *Satellite) any { return &s.Work.Budget.Rate })},
		}},
		{name: "rate", kind: paceKind{}, def: `"unlimited"`, doc: "Messages given to all its instances together, like \"100/s\" (or /m, /h); others wait.", aka: []string{"rate_limit", "throttle", "max_rate"}, field: sat(func(s *Satellite) any { return &s.Work.Rate })},
		{name: "burst", kind: wholeKind{}, def: "1", min: 1, max: 1_000_000_000, doc: "Messages that may be given at once after a rest, before the rate counts.", field: sat(func(s *Satellite) any { return &s.Work.Burst })},
		{name: "concurrency", kind: wholeKind{}, def: "0", min: 0, max: 1_000_000_000, doc: "Messages in the hands of all its instances together; 0: what in_hand allows each.", aka: []string{"max_concurrency", "max_ack_pending", "parallel"}, field: sat(func(s *Satellite) any { return &s.Work.Concurrency })},
	}
}
