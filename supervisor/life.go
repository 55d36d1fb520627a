package supervisor

import (
	"sync/atomic"
	"time"

	"github.com/dsat/dsat/topology"
)

// life is one incarnation: one process and what it forked.
type life struct {
	of      *instance
	spec    *topology.Satellite // what it was spawned as; that of the instance may be another by now
	stop    topology.Stop       // how it is ended; the owner's
	inc     topology.Incarnation
	pid     int       // set before evSpawned is posted
	start   uint64    // the kernel's start time of pid, in clock ticks; 0 when it was gone before it could be read
	started time.Time // set before evSpawned is posted
	first   uint64    // sequence number of the log before its first line

	adopted  bool      // an earlier daemon has started it
	since    time.Time // it was ready since then, under the dsatd that handed it over; zero: it was not
	unsure   bool      // whether it is ready: it may have told while there was no dsatd
	survivor *survivor // and it is not our child; nil: it is

	opening   bool                   // the first since a start: before_start is for it
	guard     atomic.Pointer[errand] // the hook that comes before its fork
	ending    Exit                   // set by bury
	cancelled atomic.Bool            // must not be forked any more
	hard      atomic.Bool            // what it leaves behind is killed, not asked

	fetched fetched // secrets for its fork
	lacks   error   // why it cannot have one of them

	pipes   []*capture
	filter  bool     // its standard output carries messages
	passage *passage // from the shim to its program; nil: it needs none
	kin     []kin    // what it had forked when its stop began
	cgroup  *cgroup  // nil: it has none
	hunger  *hunger
	inlet   *inlet               // its NOTIFY_SOCKET; nil: it has none
	heir    atomic.Pointer[heir] // the main process, when it is another than the one that was forked

	// What follows belongs to the owner.
	spawned, hello bool
	refused        bool // judged, because a hook said no
	greeting       bool // its after_start hook was begun
	exited, swept  bool
	judged         bool // ended by us for a failure: judge its exit although we asked for it
	cause          string
	found          findings
	word           word    // what it has told through NOTIFY_SOCKET
	exit           Exit    // once it has exited
	cancel         func()  // ends what goes on for it: the probe, or the drain
	recall         func()  // ends its stop command; nil: there is none
	unwatch        func()  // ends the look at its age and memory; nil: nothing looks
	worn           string  // why it shall be replaced
	motive         string  // why it was ended, though it did nothing wrong and nobody asked
	escort         *errand // the stop command
}

// quit ends what goes on for it.
func (l *life) quit() {
	if l.cancel != nil {
		l.cancel()
		l.cancel = nil
	}
}
