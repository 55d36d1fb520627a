package supervisor

import (
	"time"

	"github.com/dsat/dsat/topology"
)

// State is what an instance is.
type State uint8

// The closed set of State, from best to worst for a satellite that should be up.
const (
	Stopped  State = iota // no process, and none is wanted
	Running               // there is a process, and it is ready
	Exited                // it ended, and its policy says that this was all
	Starting              // waiting for what it needs, being spawned, or not ready yet
	Stopping              // being drained, signalled, or waited for until the last of its processes is gone
	Backoff               // it failed and waits before it is started again
	Fatal                 // it failed too often; a start by hand is the way out
)

// String is the word of the API.
func (s State) String() string {
	return [...]string{"stopped", "running", "exited", "starting", "stopping", "backoff", "fatal"}[s]
}

// MarshalText is String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Want is what an instance shall be.
type Want uint8

// The closed set of Want.
const (
	Down Want = iota
	Up
)

// String is "down" or "up".
func (w Want) String() string {
	if w == Up {
		return "up"
	}
	return "down"
}

// MarshalText is String.
func (w Want) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// SatelliteStatus is one satellite at a moment. It is never changed after it was handed out.
type SatelliteStatus struct {
	Name      string
	Speaks    topology.Speaks
	Group     string // that it is a member of; "": none
	Want      Want
	State     State  // the worst of its instances' states; Stopped without any
	Why       string // the sentence of the worst instance, when it is not in its wanted state
	Instances []InstanceStatus
	Schedules []ScheduleStatus
	LastRun   *RunStatus // of what has schedules; nil: none is known
}

// ScheduleStatus is one schedule of a satellite at a moment.
type ScheduleStatus struct {
	Name    string // "" where it was given none
	Cron    string
	Every   time.Duration // where it has no Cron
	Action  string        // "start", "restart", "signal:HUP"
	Next    time.Time     // zero: never
	Last    time.Time     // when the newest run was due that has been seen to; zero: none
	Owed    int           // missed runs that are made up
	Waiting bool          // a run waits for the end of the one before
	Note    string        // a sentence when the last run did not take place as said
}

// RunStatus is the last run of a satellite with schedules.
type RunStatus struct {
	Began  time.Time
	Ended  time.Time // of the last run that is over, which may be the one before; zero: none
	Well   bool      // that ended well
	Result string    // "exit code 0"
}

// InstanceStatus is one instance at a moment.
type InstanceStatus struct {
	Ref       topology.Ref
	Want      Want
	State     State
	PID       int // 0 without a process
	Inc       topology.Incarnation
	Restarts  int       // spawns nobody asked for
	Recycles  int       // times its process was replaced, because it was worn
	Since     time.Time // of the state
	Due       time.Time // when it goes on by itself: the next start of Backoff, the next scheduled run, the next measure of Stopping; zero: unknown
	Started   time.Time // of the process; zero without one
	Why       string    // a sentence that tells why it is in this state
	Asleep    bool      // Stopped or Exited: a connection to its sockets starts it
	Hook      string    // that it waits for, Starting or Stopping: "before_start"; "": none
	HookDue   time.Time // when that is killed
	Said      string    // its own words: STATUS of sd_notify
	Reloading bool      // it said RELOADING=1, and not READY=1 since
	LastExit  string    // "exit code 3", "killed by signal 9 (SIGKILL)", "cannot execute /x: no such file or directory"
	Success   bool      // Exited only: it ended well
	Health    Health    // Running only
	Unready   bool      // Running only: a check took its readiness away
	LogLost   uint64    // lines of output that were not written to its file, because the disk was full or too slow

	LogSuppressed uint64 // lines above its rate
}

// Event is one change of state.
type Event struct {
	Time     time.Time
	Ref      topology.Ref
	Inc      topology.Incarnation
	PID      int
	From, To State
	Cause    string
}

// Result is one instance after a change.
type Result struct {
	Ref   topology.Ref
	State State
	PID   int
	Err   error
}

// worst orders states by how much an operator should worry; the constants are declared in that order.
func worst(a, b State) State { return max(a, b) }
