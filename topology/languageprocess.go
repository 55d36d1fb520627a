package topology

// processKeys are what the kernel is told about a process. The default of each is dsatd's own value.
func processKeys() []*key {
	const own = "as dsatd"
	return []*key{
		{name: "user", kind: accountKind{}, auto: own, aka: []string{"uid", "run_as", "runas", "username"},
			doc:   "User it runs as, looked up at each start. HOME, USER and LOGNAME are that user's. For dsatd run by root.",
			field: sat(func(s *Satellite) any { return &s.Process.User }), dropped: func(_, v any) bool { return v == "" }},
		{name: "group", kind: accountKind{}, auto: "the user's", aka: []string{"gid"}, doc: "Group it runs as.",
			field: sat(func(s *Satellite) any { return &s.Process.Group }), dropped: func(_, v any) bool { return v == "" }},
		{name: "groups", kind: accountsKind{}, whole: true, auto: "the user's", aka: []string{"supplementary_groups", "extra_groups"}, doc: "Supplementary groups; []: none.",
			field: sat(func(s *Satellite) any { return &s.Process.Groups }), dropped: unset(func(s *Satellite) []string { return s.Process.Groups })},
		{name: "umask", kind: umaskKind{}, auto: own, doc: `File mode mask, octal: "027".`,
			field: sat(func(s *Satellite) any { return &s.Process.Umask }), dropped: unsaid(func(s *Satellite) *uint32 { return s.Process.Umask })},
		{name: "nice", kind: optionalKind{}, min: -20, max: 19, auto: own, aka: []string{"priority", "niceness"}, doc: "Scheduling priority; the higher, the nicer to others. Less than dsatd's own is for root.",
			field: sat(func(s *Satellite) any { return &s.Process.Nice }), dropped: unsaid(func(s *Satellite) *int { return s.Process.Nice })},
		{name: "oom_score_adj", kind: optionalKind{}, min: -1000, max: 1000, auto: own, aka: []string{"oom", "oom_score", "oom_score_adjust", "oom_adj"},
			doc:   "How readily the kernel ends it when memory runs out: -1000 never, 1000 first. Less than dsatd's own is for root.",
			field: sat(func(s *Satellite) any { return &s.Process.OOMScoreAdj }), dropped: unsaid(func(s *Satellite) *int { return s.Process.OOMScoreAdj })},
		{name: "cpu_affinity", kind: codesKind{}, whole: true, min: 0, max: 1023, auto: own, aka: []string{"cpus", "affinity", "cpuset"}, doc: "Numbers of the processors it may run on.",
			field: sat(func(s *Satellite) any { return &s.Process.CPUAffinity }), dropped: unset(func(s *Satellite) []int { return s.Process.CPUAffinity })},
		{name: "no_new_privs", kind: boolKind{}, def: "false", aka: []string{"no_new_privileges"}, doc: "It, and whatever it executes, can never gain rights: setuid programs such as sudo run without theirs.",
			field: sat(func(s *Satellite) any { return &s.Process.NoNewPrivs })},
		{name: "capabilities", kind: capabilitiesKind{}, whole: true, auto: "all for root, none for others", aka: []string{"caps", "capability", "ambient_capabilities"},
			doc:   "The capabilities it has, whoever it runs as; it can never get others. []: none, for root too.",
			field: sat(func(s *Satellite) any { return &s.Process.Capabilities }), dropped: unset(func(s *Satellite) []string { return s.Process.Capabilities })},
		rlimitKeys(),
	}
}

func rlimitKeys() *key {
	out := &key{name: "rlimits", kind: tableKind{}, aka: []string{"rlimit", "ulimit", "ulimits"},
		doc: `Limits of the kernel (setrlimit): rlimits = { nofile = 4096, core = "0:unlimited" }. One value is soft and hard limit, "SOFT:HARD" both; "unlimited" is none. Above dsatd's own hard limit is for root.`}
	for i, w := range rlimitWords() {
		out.keys = append(out.keys, &key{name: w.name, kind: rlimitKind{w.unit}, auto: "as dsatd", doc: w.doc,
			field: sat(func(s *Satellite) any { return &s.Process.Rlimits[i] }), dropped: unsaid(func(s *Satellite) *Rlimit { return s.Process.Rlimits[i] })})
	}
	return out
}
