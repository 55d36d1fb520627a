package topology

// language is the schema of a topology file. It is built anew on each call, so that nobody can change another's.
func language() *key {
	root := &key{kind: tableKind{}, keys: []*key{
		{name: "dsat", kind: wholeKind{}, def: "1", min: 1, max: 1, doc: "Format of this file.", aka: []string{"version", "format"}},
		{name: "name", kind: nameKind{}, auto: "the first file's name without its ending", doc: "Name of the topology. It names the run and the state directory.",
			aka: []string{"title", "project"}, field: top(func(t *Topology) any { return &t.Name })},
		{name: "include", kind: pathsKind{}, whole: true, doc: "Files to read before this one's own keys, which win over theirs. Relative to this file.", aka: []string{"includes", "import"}},
		daemonKeys(),
		{name: "defaults", kind: tableKind{}, doc: "Merged under every satellite: any key of a satellite but those that are one satellite's own.",
			aka: []string{"default", "common"}, keys: inherited()},
		{name: "satellite", kind: namesKind{}, doc: "One table for each satellite: [satellite.NAME]. File order is start order among equals.",
			aka:  []string{"satellites", "watcher", "program", "programs", "service", "services", "process", "processes"},
			each: &key{name: "*", kind: tableKind{}, keys: satelliteKeys(), doc: "A satellite."}},
		socketsKey(),
		groupKeys(),
		busKeys(),
		secretsKey(),
	}}
	return root.settle("")
}

func later(name, doc string) *key { return &key{name: name, kind: freeKind{}, doc: doc, later: true} }

// top and sat bind a key to its Go field.
func top(f func(*Topology) any) func(any) any  { return func(o any) any { return f(o.(*Topology)) } }
func sat(f func(*Satellite) any) func(any) any { return func(o any) any { return f(o.(*Satellite)) } }

func daemonKeys() *key {
	return &key{name: "daemon", kind: tableKind{}, doc: "What concerns dsatd itself.", aka: []string{"dsatd", "circus", "supervisord"}, keys: []*key{
		{name: "http", kind: listenKind{}, def: `""`, doc: "host:port of dashboard, /metrics, health and API; empty: the unix socket only. Loopback only in this version.",
			aka: []string{"port", "address", "web"}, field: top(func(t *Topology) any { return &t.Daemon.HTTP })},
		{name: "run_dir", kind: pathKind{}, def: `""`, auto: "chosen by dsatd from the name", doc: "Directory of sockets and of the record of processes.",
			aka: []string{"rundir", "runtime_dir"}, field: top(func(t *Topology) any { return &t.Daemon.RunDir })},
		{name: "state_dir", kind: pathKind{}, def: `""`, auto: "chosen by dsatd from the name", doc: "Directory of logs and of what outlives a restart of the machine.",
			aka: []string{"statedir", "data_dir"}, field: top(func(t *Topology) any { return &t.Daemon.StateDir })},
		{name: "cgroup", kind: cgroupKind{}, def: `"auto"`, doc: `Control groups of version 2, one for each instance: nothing it forks escapes, and limits can be enforced. "auto": below dsatd's own group when that was delegated to it (by systemd's Delegate=yes, by its owner, or because it is the topmost one, as in a container), else none; a path: below that group; "off": none.`,
			aka: []string{"cgroups", "control_group"}, field: top(func(t *Topology) any { return &t.Daemon.Cgroup })},
		{name: "stop_deadline", kind: durationKind{}, def: `"30s"`, doc: "How long the drain may take when everything stops, before what is left is counted and given up.",
			aka: []string{"shutdown_timeout"}, field: top(func(t *Topology) any { return &t.Daemon.StopDeadline })},
		daemonLogKeys(),
		startConcurrencyKey(),
		journalKeys(),
		later("listen", "TCP listeners of the bus, with keys."),
		later("token", "File with the token that a listener beyond loopback asks for."),
		later("tls", "Certificate and key of a listener beyond loopback."),
		later("group", "Group that may use the unix socket."),
		daemonHookKeys(),
	}}
}

// inherited is what [defaults] can hold.
func inherited() []*key {
	var out []*key
	for _, k := range satelliteKeys() {
		if !k.own {
			out = append(out, k)
		}
	}
	return out
}

func satelliteKeys() []*key {
	keys := []*key{
		{name: "command", kind: commandKind{}, group: "command", own: true, whole: true, aka: []string{"cmd", "exec", "run", "program", "args", "execstart"},
			doc:   "The program. A string is split into words without a shell (quotes and backslashes are understood); a list is taken as it is. With a slash the program is relative to this file, else it is looked up in PATH.",
			field: sat(func(s *Satellite) any { return &s.Command }), dropped: func(o, _ any) bool { return o.(*Satellite).Plugin != "" }},
		{name: "plugin", kind: pluginKind{}, group: "command", own: true, aka: []string{"builtin", "use", "type"},
			doc:   "In place of command: a bare word is a built-in satellite, a path (./x) is a go-plugin satellite of yours. A plugin speaks bus.",
			field: sat(func(s *Satellite) any { return &s.Plugin }), dropped: func(o, _ any) bool { return o.(*Satellite).Plugin == "" }},
		{name: "options", kind: freeKind{}, own: true, doc: "The satellite's own options: handed over as JSON in DSAT_OPTIONS, and checked by a built-in satellite. Paths in it are relative to the first file.",
			aka: []string{"config", "params", "settings"}, field: sat(func(s *Satellite) any { return &s.Options })},
		{name: "speaks", kind: enumKind{}, own: true, def: `"none"`, auto: `"none"; "bus" for a plugin`, derive: deriveSpeaks, choices: speaksChoices(), aka: []string{"protocol", "stdin"},
			doc: "How the process talks to the bus.", field: sat(func(s *Satellite) any { return &s.Speaks })},
		{name: "mode", kind: enumKind{}, own: true, def: `"lockstep"`, choices: modeChoices(), applies: whenFilter, doc: "How a filter's answers pair with its questions.",
			field: sat(func(s *Satellite) any { return &s.Mode })},
		{name: "tty", kind: boolKind{}, own: true, def: "false", applies: whenFilter, doc: "A filter's stdout is a pseudo terminal, for programs that buffer by line only there.",
			aka: []string{"pty"}, field: sat(func(s *Satellite) any { return &s.TTY })},
		{name: "to", kind: linksKind{}, own: true, whole: true, applies: whenEmits, doc: "Where goes what it emits: a name, a list of names, or a table with a name for each link and its options.",
			aka: []string{"targets", "target", "outputs", "output", "next", "links", "link"}, field: sat(func(s *Satellite) any { return &s.To })},
		routeKeys(),
		emitsKey(),
		acceptsKey(),
		{name: "instances", kind: wholeKind{}, def: "1", min: 1, max: 10000, doc: "How many processes.",
			aka: []string{"numprocesses", "numprocs", "replicas", "count", "workers", "processes"}, field: sat(func(s *Satellite) any { return &s.Instances })},
		scheduleKeys(),
		{name: "autostart", kind: boolKind{}, def: "true", auto: "true; false for what a schedule runs", derive: deriveAutostart, doc: "false: stopped until `dsatctl start`.", aka: []string{"enabled", "disabled"},
			field: sat(func(s *Satellite) any { return &s.Autostart })},
		{name: "on_daemon_death", kind: enumKind{}, def: `"adopt"`, choices: survivalChoices(), aka: []string{"adopt", "survivors", "orphans"},
			doc:   "What the next dsatd does with processes that outlived a killed one. A filter, and one whose entry here has changed, is replaced in any case.",
			field: sat(func(s *Satellite) any { return &s.OnDaemonDeath })},
		{name: "needs", kind: needsKind{}, own: true, whole: true, doc: `Order, readiness and fate: satellites that must be ready first, as "NAME" or "NAME:STAGE". Stages: booted (spawned), ready (default), done (a one-shot that ended well), healthy (ready, and its health checks pass; without any, ready).`,
			aka: []string{"depends_on", "depends", "requires", "dependencies", "need"}, field: sat(func(s *Satellite) any { return &s.Needs })},
		{name: "after", kind: stepsKind{}, own: true, whole: true, doc: "Order only: satellites that are started before it.",
			aka: []string{"follows"}, field: sat(func(s *Satellite) any { return &s.After })},
		{name: "cwd", kind: pathKind{instance: true}, auto: "the directory of the file with its command", doc: "Working directory, relative to this file.",
			aka: []string{"working_dir", "workdir", "directory", "dir", "chdir", "working_directory"}, field: sat(func(s *Satellite) any { return &s.Dir })},
		{name: "env", kind: namesKind{}, doc: "Environment, added to a clean one (PATH, HOME, USER, LANG, TZ).", aka: []string{"environment", "environ", "envs"},
			each: &key{name: "*", kind: textKind{instance: true}, doc: "Value of the variable."}, field: sat(func(s *Satellite) any { return &s.Env })},
		{name: "env_file", kind: pathsKind{}, whole: true, doc: "Files of NAME=value lines, read at each start, below env. Relative to this file.",
			aka: []string{"envfile", "environment_file", "env_files"}, field: sat(func(s *Satellite) any { return &s.EnvFile })},
		{name: "env_inherit", kind: variablesKind{}, whole: true, doc: `Variables it takes over from dsatd's own environment, below env_file; those that are not set are left out. "LC_*" is all that begin so, "*" all.`,
			aka: []string{"inherit_env", "copy_env", "pass_env", "pass_environment"}, field: sat(func(s *Satellite) any { return &s.EnvInherit })},
	}
	keys = append(keys, processKeys()...)
	keys = append(keys, socketGrants()...)
	keys = append(keys, limitsKeys())
	keys = append(append(keys, readyKeys()), notifyKeys()...)
	keys = append(keys, healthKeys(), restartKeys(), recycleKeys(), stopKeys(), hooksKeys(), secretGrantsKey(), logKeys(), queueKeys(), workKeys(), retainKeys(), legacyKeys(), breakerKeys())
	keys = append(keys, taskKey())
	keys = append(append(append(keys, callsKey()), taskHookKeys()...), watchKeys(), movedKey())
	return append(keys,
		later("scale", "Number of instances by backlog."),
	)
}
