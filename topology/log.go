package topology

import "time"

// Log is what becomes of captured output.
type Log struct {
	Stdout, Stderr LogTarget     // Stderr == "joined" shares stdout's pipe
	Split          bool          // stderr has a file of its own
	To             []LogSink     // where captured lines go beside the ring in memory; empty: nowhere
	Format         LogFormat     // of the files
	MaxSize        int64         // bytes of one file before it is rotated
	Rotate         LogRotate     // times at which a file is rotated
	Keep           int           // rotated files kept
	MaxAge         time.Duration // rotated files older than this are removed; 0: none
	Total          int64         // bytes of all files of the satellite together; 0: no limit
	Compress       LogCompress   // of rotated files
	Ring           int           // bytes of the newest output kept in memory, allocated on the first byte
	Rate           LogRate       // lines taken from one instance; zero: all
	Burst          int           // lines taken at once before the rate counts; 0: those of one period of the rate
	Overload       LogOverload   // what becomes of the lines above the rate
	Syslog         Syslog
}

// LogTarget is where one stream goes.
type LogTarget string

// The closed set of LogTarget.
const (
	LogCapture LogTarget = "capture" // ring, and wherever To says
	LogRing    LogTarget = "ring"    // memory only
	LogJoined  LogTarget = "joined"  // stderr only: into stdout's pipe (default)
	LogNull    LogTarget = "null"
)

// LogSink is one way out for lines.
type LogSink string

// The closed set of LogSink.
const (
	LogFile     LogSink = "file" // default
	LogSyslog   LogSink = "syslog"
	LogJournald LogSink = "journald"
)

// LogFormat is how a line is written.
type LogFormat string

// The closed set of LogFormat.
const (
	LogText LogFormat = "text" // "TIME out|err TEXT" (default)
	LogJSON LogFormat = "json" // an object a line
)

// LogRotate says when a file is rotated whatever its size: at the first line that is so much younger than the file's first, or at the
// first line of another day or hour by the local clock. The zero value is never.
type LogRotate struct {
	Every    time.Duration
	Calendar string // "daily" or "hourly"; then Every is 0
}

// LogCompress is what becomes of rotated files.
type LogCompress string

// The closed set of LogCompress.
const (
	LogPlain LogCompress = "none" // default
	LogGzip  LogCompress = "gzip"
)

// LogRate is lines per time.
type LogRate struct {
	Lines int // 0: no limit
	Per   time.Duration
}

// LogOverload is what becomes of the lines above a rate.
type LogOverload string

// The closed set of LogOverload.
const (
	LogDrop  LogOverload = "drop"  // counted, and said once in a while (default)
	LogBlock LogOverload = "block" // they stay in the pipe: the satellite waits in its write when that is full
)

// Syslog is where and how syslog is spoken to.
type Syslog struct {
	Address  string // "/dev/log", "udp://host:514" or "tcp://host:514"
	Format   string // "rfc5424" or "rfc3164"
	Facility string // "daemon", "local0", ...; for journald too
	Stdout   string // severity of stdout's lines, "info"; for journald too
	Stderr   string // severity of stderr's lines
}

// DaemonLog is what concerns the log files of all satellites, and dsatd's own log.
type DaemonLog struct {
	File   string // of dsatd's own log; "" is its stderr
	Format LogFormat
	Dir    string // of the satellites' files; "" is log in the state directory
	Total  int64  // bytes of all files in Dir together; 0: no limit
}

// SyslogFacilities are the facilities by their numbers: the fourth, 3, is "daemon".
func SyslogFacilities() []string {
	return []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
}

// SyslogSeverities are the severities by their numbers: the fourth, 3, is "err".
func SyslogSeverities() []string {
	return []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
}
