package supervisor

import (
	"github.com/dsat/dsat/topology"
)

type eventKind uint8

const (
	evStart eventKind = iota
	evStop
	evRestart
	evKill    // stop without manners
	evGo      // the gate may have opened
	evNeed    // one it needs became ready
	evTimer   // back-off is over, or a deadline has passed
	evSpawned // the fork succeeded
	evReady
	evUnready // the deadline of readiness has passed
	evExit
	evSwept // nothing is left of it
	evDrained
	evTold    // its stop command has ended; with a cause: in vain
	evFault   // it broke the protocol
	evSick    // a check has failed often enough
	evWell    // a check passes, for the first time or again
	evCede    // its group wants it down for a while
	evWorn    // it shall be replaced
	evRenew   // now
	evHooked  // a hook is over; with a cause: it says no
	evAwait   // nothing happens, only the waiter is told
	evListen  // be started by the first connection, where a socket does that
	evDemand  // a connection waits
	evSpec    // its entry in the topology is another
	evNotify  // it has told something through NOTIFY_SOCKET
	evStarved // WATCHDOG=1 did not come in time
	eventKinds
)

// event is something that happened to an instance. Those that concern a life name it; of another than the newest they are stale.
type event struct {
	kind  eventKind
	life  *life
	inc   topology.Incarnation // of those told from outside, instead of life
	seq   uint64               // of the timer
	exit  Exit
	pid   int // of evExit: whose it is, where that may be another than the main process
	cause string
	hook  topology.HookKind
	check *topology.Check
	wait  *waiter
	spec  *topology.Satellite // of evSpec
	anew  bool                // of evSpec: what runs is replaced

	leaving bool // of evStop: there is no place for it any more
}

// goal is what a waiter waits for.
type goal uint8

const (
	goalUp      goal = iota // running, or it is clear that it will not be soon
	goalDown                // stopped, and nothing is left of it
	goalVoid                // nothing is left of the newest life
	goalSettled             // as goalUp, or it has failed and will be tried again
	goalFirm                // up at the first attempt
)

type waiter struct {
	goal     goal
	restarts int          // so many there were when the waiting began
	reply    chan Result  // of capacity 1
	tell     func(Result) // in place of reply; must not block
	live     func() bool  // false: who asked does not want it any more, not even the event; nil: they do
	by       string       // the group that waits: it waits for one thing of an instance at a time, and a later one replaces it
}

func (w *waiter) answer(r Result) {
	if w.tell != nil {
		w.tell(r)
		return
	}
	w.reply <- r
}
