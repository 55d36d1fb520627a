package topology

import "time"

func groupKeys() *key {
	return &key{name: "group", kind: entriesKind{
		make: func(name string) any { return &Group{Name: name} },
		add:  func(o, e any) { t := o.(*Topology); t.Groups = append(t.Groups, e.(*Group)) },
		list: func(o any) []entry { return entriesOf(o.(*Topology).Groups, func(g *Group) string { return g.Name }) },
	}, doc: "One table for each group: [group.NAME]. Satellites that fall and rise together, and that dsatctl calls group:NAME.",
		aka: []string{"groups", "supervisor"}, each: &key{name: "*", kind: tableKind{}, doc: "A group.", keys: []*key{
			{name: "members", kind: stepsKind{}, whole: true, aka: []string{"programs", "satellites", "services", "children", "watchers"},
				doc:   "Its satellites, in the order in which it starts them; what one of them needs or comes after goes before it in any case. A satellite is in one group at most.",
				field: on(func(g *Group) any { return &g.Members })},
			{name: "strategy", kind: enumKind{}, def: `"one_for_one"`, choices: []choice{
				{value: string(OneForOne), doc: "the instance itself"},
				{value: string(OneForAll), doc: "all: every instance of every member is stopped, in reverse order, then they are started in order"},
				{value: string(RestForOne), doc: "the instance itself, and in the same way the members that start after its satellite"},
			}, doc: "Who is started anew when the process of a member has failed and its restart policy starts it again. What was stopped by hand stays down.",
				field: on(func(g *Group) any { return &g.Strategy })},
			{name: "restart", kind: tableKind{}, doc: "How many failures of its members a group bears, beside what each member bears by itself.", keys: []*key{
				{name: "limit", kind: wholeKind{}, def: "0", min: 0, max: 1_000_000, aka: []string{"intensity", "max_restarts"},
					doc: "The group gives up when its members have failed more often within the window. 0: never.", field: on(func(g *Group) any { return &g.Limit })},
				{name: "window", kind: durationKind{}, def: `"1m"`, min: 1, aka: []string{"period"}, doc: "The sliding window of limit.", field: on(func(g *Group) any { return &g.Window })},
				{name: "then", kind: endingKind{group: true}, def: `"stop-group"`, aka: []string{"action"},
					doc:   "When it gives up. `stop-group`: the member that failed is fatal, the others are stopped in reverse order, until `dsatctl start group:NAME`. `exit`: the daemon ends in good order, with the exit code of the process that failed; `exit:3`: with this code.",
					field: on(func(g *Group) any { return &g.Then })},
			}},
		}}}
}

func endingKeys() []*key {
	return []*key{
		{name: "then", kind: endingKind{}, def: `"stay"`, aka: []string{"failure_action", "on_failure", "exit_on_failure", "start_limit_action"},
			doc: "When an instance has failed for good: too many starts, a code that forbids another, or a failed end that its policy does not repeat. `stay`: it stays down, visibly. `stop-group`: the other members of its group are stopped too. " +
				"`exit`: the daemon ends in good order, with the exit code of this process; `exit:3`: with this code.", field: sat(func(s *Satellite) any { return &s.Restart.Then })},
		{name: "done", kind: endingKind{}, def: `"stay"`, aka: []string{"success_action", "on_success", "exit_on_end", "finally"},
			doc:   "When all of its instances have ended well, for good; as for `then`. With `exit` a container ends with its main process.",
			field: sat(func(s *Satellite) any { return &s.Restart.Done })},
		{name: "retry", kind: durationKind{}, def: `"0s"`, aka: []string{"retry_in", "retry_after", "fatal_retry"},
			doc:   "An instance that has been fatal for so long is tried again, with its former failures forgotten. 0s: only by `dsatctl start`.",
			field: sat(func(s *Satellite) any { return &s.Restart.Retry })},
	}
}

func recycleKeys() *key {
	return &key{name: "recycle", kind: tableKind{}, aka: []string{"recycling", "renew"},
		doc: "When a process that works is replaced by a new one: it finishes what it has in hand first, one instance of the satellite at a time. It is no failure: no back-off, and not counted by restart.limit. Of a changed file age and memory hold at once, messages for the next process.", keys: []*key{
			{name: "age", kind: durationKind{}, def: `"0s"`, aka: []string{"max_age", "lifetime", "max_lifetime", "runtime_max", "runtimemaxsec"}, doc: "It has run for so long; 0s: never.",
				field: sat(func(s *Satellite) any { return &s.Recycle.Age })},
			{name: "memory", kind: sizeKind{}, def: `"0B"`, max: 1 << 50, aka: []string{"max_memory", "max_memory_restart", "memory_limit"},
				doc: "It takes so much memory, with all it has forked: the proportional share (PSS) where the kernel tells it to dsatd, else what is resident. 0B: never.", field: sat(func(s *Satellite) any { return &s.Recycle.Memory })},
			{name: "messages", kind: wholeKind{}, def: "0", min: 0, max: 1 << 53, applies: whenSpeaks, aka: []string{"max_requests", "max_messages", "requests", "max_tasks"},
				doc: "It has answered so many messages; a source has emitted so many. 0: never.", field: sat(func(s *Satellite) any { return &s.Recycle.Messages })},
			{name: "jitter", kind: numberKind{}, def: "0.1", min: 0, max: 1, aka: []string{"variance", "max_age_variance", "age_jitter", "max_requests_jitter"},
				doc: "Share by which age and messages are spread either way, drawn for each process, so that not all are replaced at once.", field: sat(func(s *Satellite) any { return &s.Recycle.Jitter })},
			{name: "every", kind: durationKind{}, def: `"10s"`, min: int64(time.Millisecond), aka: []string{"interval", "check_interval"}, doc: "How often the memory is looked at. Nothing looks where no memory is given.",
				field: sat(func(s *Satellite) any { return &s.Recycle.Every })},
		}}
}

func whenSpeaks(o any) string {
	if o.(*Satellite).Speaks == SpeaksNone {
		return `means nothing where speaks = "none": dsat sees no messages of it`
	}
	return ""
}
