package topology

import "time"

func readyKeys() *key {
	const how = "ready"
	return &key{name: "ready", kind: tableKind{}, short: "on", doc: "When a starting instance counts as running: hello, spawned, notify, or one of log, tcp, unix, get, path, fd, exec, delay. What the newest try failed with is shown by `dsatctl why`.", aka: []string{"readiness", "startup"}, keys: []*key{
		{name: "log", kind: regexpKind{}, group: how, doc: "A line of its output matches this regular expression (RE2).", field: sat(func(s *Satellite) any { return &s.Ready.Log }),
			dropped: otherReady(ReadyLog)},
		{name: "tcp", kind: hostPortKind{textKind{instance: true}}, group: how, doc: "host:port accepts a connection.", aka: []string{"port"}, field: sat(func(s *Satellite) any { return &s.Ready.TCP }),
			dropped: otherReady(ReadyTCP)},
		{name: "unix", kind: pathKind{instance: true}, group: how, doc: "The unix socket of this path, relative to this file, accepts a connection.", aka: []string{"socket", "uds"}, field: sat(func(s *Satellite) any { return &s.Ready.Unix }),
			dropped: otherReady(ReadyUnix)},
		{name: "get", kind: urlKind{textKind{instance: true}}, group: how, doc: "The URL answers 2xx or 3xx, or as status and body say.", aka: []string{"http", "http_get", "url"}, field: sat(func(s *Satellite) any { return &s.Ready.Get }),
			dropped: otherReady(ReadyGet)},
		{name: "path", kind: pathKind{instance: true}, group: how, doc: "There is something with this path, relative to this file. What an earlier process left there counts too: it has to be removed at a stop.", aka: []string{"file", "exists"}, field: sat(func(s *Satellite) any { return &s.Ready.Path }),
			dropped: otherReady(ReadyPath)},
		{name: "fd", kind: wholeKind{}, group: how, min: 3, max: 255, doc: "It has written a line to this descriptor, as s6 has it: a pipe that it gets beside stdin, stdout and stderr, and should close afterwards. A line that is written while dsatd is dead is not lost.", aka: []string{"notification_fd", "descriptor"}, field: sat(func(s *Satellite) any { return &s.Ready.FD }),
			dropped: otherReady(ReadyFD)},
		{name: "exec", kind: commandKind{}, group: how, whole: true, aka: []string{"command", "cmd", "script", "test"}, field: sat(func(s *Satellite) any { return &s.Ready.Exec }), dropped: otherReady(ReadyExec),
			doc: "This program ends with 0; written as the satellite's own command. It runs as the satellite does, with its environment, and with DSAT_PID, the number of the process; a try that takes longer than every, and than a second, is killed."},
		{name: "delay", kind: durationKind{}, group: how, min: 1, doc: "It has run for so long.", aka: []string{"sleep", "warmup"}, field: sat(func(s *Satellite) any { return &s.Ready.Delay }),
			dropped: otherReady(ReadyDelay)},
		{name: "on", kind: enumKind{}, group: how, auto: `"hello" for what speaks bus, else "spawned"`, derive: deriveReady, choices: []choice{
			{value: "spawned", doc: "the program was executed"}, {value: "hello", doc: "it said HELLO on the bus"}, {value: "notify", doc: "it said READY=1 through NOTIFY_SOCKET, as services tell systemd"},
		}, doc: `Which event, where it needs no value. ready = "notify" is short for it.`, field: sat(func(s *Satellite) any { return &s.Ready.Kind }),
			dropped: func(o, _ any) bool {
				k := o.(*Satellite).Ready.Kind
				return k != ReadySpawned && k != ReadyHello && k != ReadyNotify
			}},
		{name: "status", kind: codesKind{}, whole: true, min: 100, max: 599, applies: whenGet, auto: "200 to 399", doc: "Of get: the answers that will do.", aka: []string{"code", "codes", "status_code"},
			field: sat(func(s *Satellite) any { return &s.Ready.HTTP.Status }), dropped: unset(func(s *Satellite) []int { return s.Ready.HTTP.Status })},
		{name: "body", kind: regexpKind{}, applies: whenGet, doc: "Of get: the first 64 KiB of the answer match this regular expression (RE2).", aka: []string{"match", "contains"},
			field: sat(func(s *Satellite) any { return &s.Ready.HTTP.Body }), dropped: func(_, v any) bool { return v == "" }},
		{name: "deadline", kind: durationKind{}, def: `"30s"`, min: 1, doc: "Not ready by then: it is stopped and counts as failed.", aka: []string{"timeout", "start_timeout"},
			field: sat(func(s *Satellite) any { return &s.Ready.Deadline })},
		{name: "every", kind: durationKind{}, def: `"200ms"`, min: int64(time.Millisecond), doc: "Interval of the tcp, unix, get, path and exec probes.", aka: []string{"interval", "period"},
			field: sat(func(s *Satellite) any { return &s.Ready.Every })},
	}}
}

// notifyKeys are what is told through NOTIFY_SOCKET.
func notifyKeys() []*key {
	return []*key{
		{name: "watchdog", kind: durationKind{}, def: `"0s"`, aka: []string{"watchdog_sec", "watchdogsec", "heartbeat"}, field: sat(func(s *Satellite) any { return &s.Notify.Watchdog }),
			doc: "While it is running, WATCHDOG=1 has to come through NOTIFY_SOCKET at least so often, else it is sent ABRT, killed after stop.deadline, and counts as failed; 0s: no watchdog. It is told by WATCHDOG_USEC, in microseconds, and WATCHDOG_PID where notify_access is main, and had better say it twice as often."},
		{name: "notify", kind: boolKind{}, auto: `true with ready = "notify", a watchdog or fd_store`, derive: deriveNotify, aka: []string{"sd_notify", "systemd", "notify_socket"}, field: sat(func(s *Satellite) any { return &s.Notify.Socket }),
			doc: "It gets NOTIFY_SOCKET, and may tell what services tell systemd (sd_notify): READY, STATUS, RELOADING, STOPPING, WATCHDOG, WATCHDOG_USEC, EXTEND_TIMEOUT_USEC, MAINPID, FDSTORE, FDSTOREREMOVE, FDNAME, FDPOLL, BARRIER. A daemon that forks into the background names by MAINPID the process that goes on, before the first one ends: from then on that is signalled, heard and waited for; it has to come from the instance. What is told while dsatd is dead is lost; a process that is taken back without having said READY=1 counts as ready 5 s later, or after half of ready.deadline."},
		{name: "notify_access", kind: enumKind{}, def: `"main"`, applies: whenNotified, aka: []string{"notifyaccess"}, choices: []choice{
			{value: string(NotifyMain), doc: "the main process only: the one that was started, or that it named by MAINPID"}, {value: string(NotifyAll), doc: "whatever it has forked too, such as systemd-notify in a script"},
		}, doc: "Whose word counts there.", field: sat(func(s *Satellite) any { return &s.Notify.Access })},
	}
}

func startConcurrencyKey() *key {
	return &key{name: "start_concurrency", kind: wholeKind{}, def: "0", min: 0, max: 10000, aka: []string{"start_parallelism", "parallel", "max_starting"},
		doc:   "How many instances may be starting, spawned and not ready yet, at once; 0: as many as their order allows. It keeps a machine that boots from being buried.",
		field: top(func(t *Topology) any { return &t.Daemon.StartConcurrency })}
}

// otherReady leaves a member out of the effective file unless it is the kind that was chosen.
func otherReady(kind ReadyKind) func(owner, v any) bool {
	return func(o, _ any) bool { return o.(*Satellite).Ready.Kind != kind }
}

func whenGet(o any) string {
	if o.(*Satellite).Ready.Get == "" {
		return "is for ready.get"
	}
	return ""
}

func whenNotified(o any) string {
	if !o.(*Satellite).Notify.Socket {
		return `is for those that get NOTIFY_SOCKET: say ready = "notify" or notify = true`
	}
	return ""
}

func deriveNotify(o any) any {
	s := o.(*Satellite)
	return s.Ready.Kind == ReadyNotify || s.Notify.Watchdog > 0 || s.FDStore > 0
}

func deriveReady(o any) any {
	s := o.(*Satellite)
	if kind := s.Ready.said(); kind != "" {
		return string(kind)
	}
	if s.Speaks == SpeaksBus {
		return string(ReadyHello)
	}
	return string(ReadySpawned)
}

// said is the kind that follows from the member that is set, or "".
func (r *Ready) said() ReadyKind {
	switch {
	case r.Log != "":
		return ReadyLog
	case r.TCP != "":
		return ReadyTCP
	case r.Unix != "":
		return ReadyUnix
	case r.Get != "":
		return ReadyGet
	case r.Path != "":
		return ReadyPath
	case r.FD != 0:
		return ReadyFD
	case r.Exec != nil:
		return ReadyExec
	case r.Delay != 0:
		return ReadyDelay
	}
	return ""
}
