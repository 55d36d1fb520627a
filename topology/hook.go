package topology

import "time"

// Hook is a command that runs beside a process at a certain moment of its life.
type Hook struct {
	Command       []string // argv
	Deadline      time.Duration
	IgnoreFailure bool // one that cannot be run, or does not end in time, counts as a yes
}

// HookKind is the moment of a hook.
type HookKind int

// The closed set of HookKind.
const (
	BeforeStart HookKind = iota
	AfterStart
	BeforeSpawn
	AfterSpawn
	BeforeStop
	AfterStop
	BeforeSignal
	AfterSignal
	BeforeReap
	AfterReap
	ExtendedStats
	hookKinds
)

// Hooks are the hooks of a satellite, by HookKind; nil: none.
type Hooks [hookKinds]*Hook

// String is the name of the hook in the file.
func (k HookKind) String() string { return hookWords()[k].name }

type hookWord struct {
	name, doc, veto string
	ignore          bool // the default of ignore_failure
}

// hookWords are the hooks in the order of HookKind.
func hookWords() [hookKinds]hookWord {
	return [hookKinds]hookWord{
		{"before_start", "Before it is spawned for the first time after a start, by hand, by needs, by schedule or by a restart.", "it is not started: it is fatal until the next start", false},
		{"after_start", "When it is ready for the first time after a start. Only then does it count as running.", "it is stopped, and is fatal until the next start", false},
		{"before_spawn", "Before every spawn, those after a failure too.", "this spawn counts as failed, and `restart` says what follows", false},
		{"after_spawn", "When its process exists. Nothing waits for it.", "it is stopped, and is fatal until the next start", false},
		{"before_stop", "Before it is stopped or restarted, as a part of the drain: no longer than stop.deadline.", "", true},
		{"after_stop", "When it was stopped or restarted and nothing is left of it.", "", true},
		{"before_signal", "Before a signal is sent to it, by a stop or by `dsatctl signal`; DSAT_SIGNAL is its name. A KILL waits for nobody.", "the signal is not sent; a stop goes on to its next measure", true},
		{"after_signal", "After a signal, sent or not; DSAT_SENT tells.", "", true},
		{"before_reap", "When its process has ended, before what it has left behind is ended. DSAT_EXIT_CODE, DSAT_SIGNAL and DSAT_CAUSE tell how.", "", true},
		{"after_reap", "When nothing is left of it, with the same.", "", true},
		{"extended_stats", "When `dsatctl stats` asks, and never by itself: tells figures of its process, as lines of NAME=NUMBER or as a JSON object of numbers, 256 at most. What it prints goes to no log.", "", true},
	}
}
