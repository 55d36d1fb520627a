package topology

func logKeys() *key {
	target := func(extra ...choice) []choice {
		return append([]choice{
			{value: "capture", doc: "ring in memory, and wherever `to` says"}, {value: "ring", doc: "memory only"}, {value: "null", doc: "nowhere"},
		}, extra...)
	}
	return &key{name: "log", kind: tableKind{}, doc: "What becomes of its output.", aka: []string{"logs", "logging"}, keys: []*key{
		{name: "split", kind: boolKind{}, def: "false", doc: "stderr has files of its own (`NAME.WID.err.log`), in place of a mark in those of stdout.", aka: []string{"apart", "separate"},
			field: sat(func(s *Satellite) any { return &s.Log.Split })},
		{name: "stdout", kind: enumKind{}, def: `"capture"`, choices: target(), doc: "Standard output (of a filter it carries messages, and is not logged).",
			aka: []string{"stdout_logfile"}, field: sat(func(s *Satellite) any { return &s.Log.Stdout })},
		{name: "stderr", kind: enumKind{}, auto: `"joined"; "capture" for plugins and filters, and with split`, derive: deriveStderr,
			choices: target(choice{value: "joined", doc: "into the pipe of stdout, in the order written"}),
			doc:     "Standard error.", aka: []string{"stderr_logfile"}, field: sat(func(s *Satellite) any { return &s.Log.Stderr })},
		{name: "to", kind: sinksKind{}, def: `["file"]`, whole: true, choices: sinkChoices(), aka: []string{"driver", "sinks", "sink", "target"},
			doc:   "Where captured lines go. Whatever the list, the newest are in memory (`ring`). A sink that is slow or dead holds up nobody: its lines are lost and counted, and it is tried again.",
			field: sat(func(s *Satellite) any { return &s.Log.To })},
		{name: "format", kind: enumKind{}, def: `"text"`, choices: formatChoices(), aka: []string{"log_format", "type"},
			doc: "How a line of a file looks.", field: sat(func(s *Satellite) any { return &s.Log.Format })},
		{name: "max_size", kind: sizeKind{}, def: `"10MiB"`, min: 4096, max: 1 << 50, doc: "Size of a file at which it is rotated: it is never larger, but for a single line that is.", aka: []string{"max_bytes", "maxbytes"},
			field: sat(func(s *Satellite) any { return &s.Log.MaxSize })},
		{name: "rotate", kind: rotateKind{}, def: `"never"`, aka: []string{"rotation", "when"},
			doc:   "Times of rotation, beside `max_size`: `daily` (midnight by the local clock), `hourly`, or a duration since the first line of the file. It happens at the first line after that time, so that what is silent costs nothing and leaves no empty files.",
			field: sat(func(s *Satellite) any { return &s.Log.Rotate })},
		{name: "keep", kind: wholeKind{}, def: "3", min: 0, max: 1000, doc: "Rotated files that are kept, of each instance.", aka: []string{"backups", "backup_count"},
			field: sat(func(s *Satellite) any { return &s.Log.Keep })},
		{name: "max_age", kind: durationKind{}, def: `"0s"`, doc: "Rotated files whose last line is older are removed: when another is rotated, and once an hour. 0s: none.", aka: []string{"retention", "keep_for"},
			field: sat(func(s *Satellite) any { return &s.Log.MaxAge })},
		{name: "total", kind: sizeKind{}, def: `"0B"`, max: 1 << 50, doc: "Size of all its files together, of all instances: the oldest rotated ones are removed. 0B: no limit but that of `keep`.", aka: []string{"max_total"},
			field: sat(func(s *Satellite) any { return &s.Log.Total })},
		{name: "compress", kind: enumKind{}, def: `"none"`, choices: []choice{{value: "none", doc: "not at all"}, {value: "gzip", doc: "to NAME.WID.log.TIME.gz, at the lowest priority"}},
			doc: "Whether rotated files are compressed. `dsatctl logs` reads them all the same.", field: sat(func(s *Satellite) any { return &s.Log.Compress })},
		{name: "ring", kind: sizeKind{}, def: `"64KiB"`, min: 1024, max: 64 << 20, doc: "Newest output kept in memory, for each instance.", aka: []string{"buffer"},
			field: sat(func(s *Satellite) any { return &s.Log.Ring })},
		{name: "rate", kind: rateKind{}, def: `"unlimited"`, doc: "Lines taken from each instance, like \"1000/s\" (or /m, /h).", aka: []string{"rate_limit", "ratelimit", "limit"},
			field: sat(func(s *Satellite) any { return &s.Log.Rate })},
		{name: "burst", kind: wholeKind{}, auto: "as many as rate has in a second, minute or hour", min: 0, max: 1_000_000_000, doc: "Lines it may write at once before the rate counts.",
			field: sat(func(s *Satellite) any { return &s.Log.Burst }), derive: func(any) any { return int64(0) }, dropped: func(o, _ any) bool { return o.(*Satellite).Log.Burst == 0 }},
		{name: "overload", kind: enumKind{}, def: `"drop"`, choices: []choice{
			{value: "drop", doc: "they are dropped, and their number is said in the log once in a second, minute or hour (as the rate has it)"},
			{value: "block", doc: "they stay in its pipe; when that is full the satellite waits in its write. It also waits for a log disk that is slow; one that is full or broken loses lines and holds up nobody"},
		}, doc: "What becomes of lines above the rate.", field: sat(func(s *Satellite) any { return &s.Log.Overload })},
		syslogKeys(),
	}}
}

func syslogKeys() *key {
	return &key{name: "syslog", kind: tableKind{}, short: "address", doc: "Where and how to send, when `to` has syslog. Facility and severities are for journald too. A line that begins with `<0>` to `<7>` says its own severity, and loses these three characters on the way.", keys: []*key{
		{name: "address", kind: syslogAddressKind{}, def: `"/dev/log"`, doc: `Path of a datagram socket, "udp://HOST:PORT", or "tcp://HOST:PORT" (octet counting, RFC 6587). PORT is 514 when it is left out.`, aka: []string{"server", "host", "url"},
			field: sat(func(s *Satellite) any { return &s.Log.Syslog.Address })},
		{name: "format", kind: enumKind{}, auto: `"rfc3164" for a path (what local daemons read), else "rfc5424"`, derive: deriveSyslogFormat, choices: []choice{
			{value: "rfc5424", doc: "time to the microsecond, and instance, incarnation and stream as structured data"}, {value: "rfc3164", doc: "as syslog(3) writes it"},
		}, doc: "Format of a message.", field: sat(func(s *Satellite) any { return &s.Log.Syslog.Format })},
		{name: "facility", kind: enumKind{}, def: `"daemon"`, choices: plainChoices(SyslogFacilities()), doc: "Facility.", field: sat(func(s *Satellite) any { return &s.Log.Syslog.Facility })},
		{name: "stdout", kind: enumKind{}, def: `"info"`, choices: plainChoices(SyslogSeverities()), doc: "Severity of lines of stdout.", aka: []string{"severity", "level"},
			field: sat(func(s *Satellite) any { return &s.Log.Syslog.Stdout })},
		{name: "stderr", kind: enumKind{}, def: `"err"`, choices: plainChoices(SyslogSeverities()), doc: "Severity of lines of stderr, where it has a pipe of its own.", aka: []string{"severity_stderr"},
			field: sat(func(s *Satellite) any { return &s.Log.Syslog.Stderr })},
	}}
}

func daemonLogKeys() *key {
	return &key{name: "log", kind: tableKind{}, doc: "The log files of all satellites together, and dsatd's own log.", aka: []string{"logging", "logs"}, keys: []*key{
		{name: "file", kind: pathKind{}, def: `""`, doc: "dsatd's own log; empty: its stderr, or dsatd.log in the state directory under `dsatd start -d`. Opened anew by `SIGUSR1`, for a rotation from outside.", aka: []string{"path", "logfile", "output"},
			field: top(func(t *Topology) any { return &t.Daemon.Log.File })},
		{name: "format", kind: enumKind{}, def: `"text"`, choices: []choice{{value: "text", doc: "for people"}, {value: "json", doc: "an object a line: time, level, msg and what belongs to it"}},
			doc: "How a line of dsatd's own log looks.", field: top(func(t *Topology) any { return &t.Daemon.Log.Format })},
		{name: "dir", kind: pathKind{}, def: `""`, auto: "log in the state directory", doc: "Directory of the satellites' files.", aka: []string{"directory", "log_dir"},
			field: top(func(t *Topology) any { return &t.Daemon.Log.Dir })},
		{name: "total", kind: sizeKind{}, def: `"0B"`, max: 1 << 50, doc: "Size of all files of all satellites together, of removed ones too: the oldest rotated ones are removed. 0B: no limit.", aka: []string{"max", "log_max", "max_total"},
			field: top(func(t *Topology) any { return &t.Daemon.Log.Total })},
	}}
}

func sinkChoices() []choice {
	return []choice{
		{value: string(LogFile), doc: "files `NAME.WID.log` in `daemon.log.dir`"},
		{value: string(LogSyslog), doc: "see `log.syslog`"},
		{value: string(LogJournald), doc: "journald by its own protocol, with DSAT_SATELLITE, DSAT_WID, DSAT_INCARNATION and DSAT_STREAM: `journalctl DSAT_SATELLITE=cpu`"},
	}
}

func formatChoices() []choice {
	return []choice{
		{value: string(LogText), doc: "`2026-11-23T20:30:15.123456789Z out TEXT`, with `err` for stderr; the bytes are left as they were"},
		{value: string(LogJSON), doc: `{"time":...,"name":"cpu","wid":0,"incarnation":N,"stream":"stdout","text":...}; what is no UTF-8 becomes U+FFFD`},
	}
}

func plainChoices(list []string) []choice {
	var out []choice
	for _, w := range list {
		out = append(out, choice{value: w})
	}
	return out
}

// deriveStderr keeps apart what must not mix: a filter's messages, or a plugin's handshake line, and their complaints; and what is to be
// in files of its own.
func deriveStderr(o any) any {
	if s := o.(*Satellite); s.Speaks.Filter() || s.Plugin != "" || s.Log.Split {
		return string(LogCapture)
	}
	return string(LogJoined)
}

func deriveSyslogFormat(o any) any {
	if a := o.(*Satellite).Log.Syslog.Address; len(a) > 0 && a[0] == '/' {
		return "rfc3164"
	}
	return "rfc5424"
}
