package topology

import "time"

// Ready says when a starting instance counts as running. Exactly one of the kinds is set.
type Ready struct {
	Kind     ReadyKind
	Log      string        // ReadyLog: regular expression on an output line
	TCP      string        // ReadyTCP: host:port that accepts
	Get      string        // ReadyGet: URL that answers as HTTP says
	HTTP     HTTPCheck     // of Get
	Unix     string        // ReadyUnix: absolute path of a unix socket that accepts
	Path     string        // ReadyPath: absolute path of something that exists
	FD       int           // ReadyFD: descriptor of the process that a newline is written to
	Exec     []string      // ReadyExec: argv of a program that ends with 0
	Delay    time.Duration // ReadyDelay
	Deadline time.Duration // not ready by then: the instance is stopped and judged as failed
	Every    time.Duration // interval of probes, and for exec, tcp, unix and get the deadline of one, if that is more than a second
}

// HTTPCheck says which answer of an HTTP server will do. The zero value is one with 2xx or 3xx.
type HTTPCheck struct {
	Status []int  // nil: 200 to 399
	Body   string // regular expression (RE2) on the first 64 KiB of the answer; "": any
}

// ReadyKind is the way readiness is found.
type ReadyKind string

// The closed set of ReadyKind.
const (
	ReadySpawned ReadyKind = "spawned" // the exec succeeded (default of a process off the bus)
	ReadyHello   ReadyKind = "hello"   // HELLO was received (default of what speaks "bus")
	ReadyNotify  ReadyKind = "notify"  // READY=1 came through NOTIFY_SOCKET
	ReadyLog     ReadyKind = "log"
	ReadyTCP     ReadyKind = "tcp"
	ReadyUnix    ReadyKind = "unix"
	ReadyGet     ReadyKind = "get"
	ReadyPath    ReadyKind = "path"
	ReadyFD      ReadyKind = "fd"
	ReadyExec    ReadyKind = "exec"
	ReadyDelay   ReadyKind = "delay"
)

// Notify is what a process may tell through NOTIFY_SOCKET, as services tell systemd.
type Notify struct {
	Socket   bool          // it gets NOTIFY_SOCKET
	Access   NotifyAccess  // whose word counts
	Watchdog time.Duration // WATCHDOG=1 has to come at least so often while it is running; 0: no watchdog
}

// NotifyAccess says which processes of a satellite are listened to.
type NotifyAccess string

// The closed set of NotifyAccess.
const (
	NotifyMain NotifyAccess = "main" // the main process only (default)
	NotifyAll  NotifyAccess = "all"  // whatever it has forked too
)
