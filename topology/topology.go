// Package topology turns TOML files into one immutable, validated value: everything that runs and how it is linked.
//
// The words, used the same way in every package:
//
//	topology     one file (with its overlays and includes): everything that runs and how it is linked
//	satellite    one named entry of it; its name is also the step that messages are addressed to
//	instance     one slot of a satellite, written "cpu:0"; at most one OS process at a time; its number is the wid
//	incarnation  one life of an instance; grows by one with every spawn
//	link         an edge: what one satellite emits goes to another
//
// A *Topology is never changed after Load returned it. TOML is known in this package only.
package topology

import (
	"syscall"
	"time"

	"github.com/dsat/dsat/bus/codec"
)

// Topology is everything that runs and how it is linked.
type Topology struct {
	Name       string       // names the run and state directories; default: the first file's stem
	Files      []string     // absolute paths of all files that were read, overlays and includes too
	Dir        string       // absolute directory of the first file
	Daemon     Daemon       //
	Sockets    []*Socket    // in file order
	Secrets    []*Secret    // in file order
	Satellites []*Satellite // in file order, which is start order among equals
	Groups     []*Group     // in file order
	V1         V1           // the door for satellites of DSAT 0.6
	Notes      []string     // what is allowed and worth knowing, for `check`: cycles of links, needs that are not started
}

// Satellite returns the satellite of that name, or nil.
func (t *Topology) Satellite(name string) *Satellite {
	for _, s := range t.Satellites {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Daemon is what concerns dsatd itself.
type Daemon struct {
	HTTP         string        // host:port of the TCP listener; "" is the unix socket only
	RunDir       string        // sockets and the record; "" is chosen by dsatd from Name
	StateDir     string        // epoch and logs; "" is chosen by dsatd from Name
	Cgroup       string        // "auto", "off" or the path of a control group to divide
	StopDeadline time.Duration // for `down`: how long the drain may take before what is left is counted and given up
	Hooks        DaemonHooks
	Log          DaemonLog
	Journal      Journal

	StartConcurrency int // instances that may be between their spawn and readiness at once; 0: no limit
}

// Satellite is one named entry of the topology.
type Satellite struct {
	Name          string
	Command       []string       // argv; empty when Plugin is set. Element 0 is a path (absolute) when it contained a slash, else looked up in PATH
	Plugin        string         // "cpu": built in; an absolute path: a go-plugin satellite of the user's
	Options       map[string]any // the satellite's own, handed over as JSON in DSAT_OPTIONS; paths in it are relative to Dir
	Speaks        Speaks
	Mode          Mode // how a filter (Speaks lines, json, frames) pairs its input and output
	TTY           bool // a filter's stdout is a pseudo terminal, so that it buffers by line
	Dir           string
	Env           map[string]string // added to a clean environment
	EnvFile       []string
	EnvInherit    []string // names taken from dsatd's own environment; a star at the end stands for any rest
	Process       Process
	Limits        Limits
	Instances     int
	Schedules     []Schedule // nil: none
	Hooks         Hooks
	Secrets       []SecretGrant
	Autostart     bool // false: stopped until `dsatctl start`
	OnDaemonDeath Survival

	Sockets         []string // granted, in the order of their descriptors, from 3 on
	FDStore         int      // descriptors of its own that an instance may leave with dsatd; 0: none
	FDStorePreserve bool     // they are kept while it is stopped

	Needs   []Need
	After   []string
	Ready   Ready
	Notify  Notify
	Health  []*Check // in the order of the file
	Restart Restart
	Recycle Recycle
	Stop    Stop
	Log     Log

	To      []Link
	Route   Route
	Emits   codec.Spec // how it writes what it puts out; Name "": it did not say
	Accepts codec.Spec // how it wants to read what it gets; Name "": as it comes
	Queue   Queue
	Work    Work
	Retain  Retain // what is kept of what it puts out
	V1      V1Work // of one that speaks v1
	Breaker Breaker
	Task    time.Duration // of a whole task that begins here; 0: no limit

	Calls            []string  // steps it may call
	OnDone, OnFailed *TaskHook // of tasks that begin here; nil: none

	Watch     Watch
	MovedFrom string // its former name; "" when it had none
}

// Speaks says how a process talks to the bus.
type Speaks string

// The closed set of Speaks. A plugin always speaks SpeaksBus.
const (
	SpeaksNone   Speaks = "none"   // not at all: any program
	SpeaksBus    Speaks = "bus"    // the session of bus/wire, over ZeroMQ (commands) or gRPC (plugins)
	SpeaksLines  Speaks = "lines"  // a filter: a payload per line in, a line out
	SpeaksJSON   Speaks = "json"   // a filter: as lines, each checked to be one JSON value
	SpeaksFrames Speaks = "frames" // a filter: 4-byte big-endian length, then that many bytes, both ways
	SpeaksV1     Speaks = "v1"     // the protocol of DSAT 0.6, over the links of Topology.V1
)

// Filter reports whether messages travel over the process's standard input and output.
func (s Speaks) Filter() bool { return s == SpeaksLines || s == SpeaksJSON || s == SpeaksFrames }

// Survival says what becomes of processes that outlived their dsatd.
type Survival string

// The closed set of Survival.
const (
	Adopt   Survival = "adopt"   // the next dsatd takes them back (default)
	Replace Survival = "replace" // it stops them and starts new ones
)

// Mode says how a filter's answers pair with its questions.
type Mode string

// The closed set of Mode.
const (
	ModeLockstep  Mode = "lockstep"  // one in hand, one answer (default)
	ModePipelined Mode = "pipelined" // many in hand, one answer each, in order
	ModeSink      Mode = "sink"      // no answers: done when the write succeeded
	ModeSource    Mode = "source"    // no questions: every line is emitted
	ModeMany      Mode = "many"      // any number of lines for each question, ended by an empty line
)

// Need is a dependency: order, readiness and fate.
type Need struct {
	Name  string
	Stage string // StageReady (default), StageBooted, StageHealthy, or StageDone: ended well, for good
}

// Restart is what follows an exit nobody asked for.
type Restart struct {
	Policy         RestartPolicy
	SuccessCodes   []int            // exit codes that count as success; default [0]
	SuccessSignals []syscall.Signal // so does an end by one of these
	ForbidCodes    []int            // an exit with one of these is fatal at once
	Backoff        Backoff
	Limit          int           // at most so many starts ...
	Window         time.Duration // ... in this sliding window, then fatal; Limit 0 is without limit
	Then           Ending        // when an instance has failed for good
	Done           Ending        // when all instances have ended well, for good
	Retry          time.Duration // after so long in fatal it is tried again; 0: never
}

// RestartPolicy is when to start again.
type RestartPolicy string

// The closed set of RestartPolicy.
const (
	RestartAlways    RestartPolicy = "always" // default
	RestartOnFailure RestartPolicy = "on-failure"
	RestartNever     RestartPolicy = "never"
)

// Backoff is the delay before the n-th consecutive restart: none for the first, then Initial*Factor^(n-2), at most Max,
// spread by +-Jitter; forgotten after Reset of uninterrupted running.
type Backoff struct {
	Initial time.Duration
	Factor  float64
	Max     time.Duration
	Jitter  float64 // share of the delay, 0 to 1
	Reset   time.Duration
}

// Stop is how an instance is ended.
type Stop struct {
	Command  []string       // argv; runs first, in place of the first signal, which is sent when the command fails
	Signal   syscall.Signal // the first of Signals, if there are any
	Signals  []StopSignal   // ascending; nil: Signal only
	Deadline time.Duration  // from the beginning; then SIGKILL to all that is left
	Group    bool           // the signal goes to the whole process group instead of the leader only
}

// Queue is what waits for a satellite.
type Queue struct {
	Delivery    Delivery
	MaxBytes    int64
	MaxMessages int
	Full        Full
	TTL         time.Duration // 0: messages do not expire
	Dedup       Dedup
	Priority    int // the highest level; 0: there is one
	Spill       Spill
}

// Delivery is the promise of a queue.
type Delivery string

// The closed set of Delivery. DeliveryDirect is not in this version.
const (
	DeliveryDirect  Delivery = "direct"
	DeliveryTracked Delivery = "tracked"
	DeliveryDurable Delivery = "durable"
)

// Full is what happens to a message that finds its queue full.
type Full string

// The closed set of Full.
const (
	FullBlock      Full = "block"
	FullSpill      Full = "spill"
	FullDropOldest Full = "drop-oldest"
	FullDropNewest Full = "drop-newest"
	FullQuarantine Full = "quarantine"
)

// Work is what is being done.
type Work struct {
	InHand    int           // messages one instance may hold unacknowledged
	Deadline  time.Duration // of one running hop; 0: none
	Heartbeat time.Duration // a running hop must show PROGRESS so often; 0: it need not
	Retries   int           // after the first attempt
	Backoff   time.Duration // before a retry, jittered and doubled each time
	Hops      int           // hop limit: a message that passed so many steps is quarantined
	Key       string        // expression: messages of one key are handled one at a time, in order; "": there are no keys
	Crashes   int           // processes one message may take with it before it is quarantined
	Then      Then          // when the retries are used up
	Budget    Budget

	// Of all instances together.
	Rate        Rate // messages given
	Burst       int  // messages given at once before the rate counts
	Concurrency int  // messages in hand; 0: no limit
}

// Then is the end of a hop that failed for good.
type Then string

// The closed set of Then.
const (
	ThenQuarantine Then = "quarantine"
	ThenDrop       Then = "drop"
)
