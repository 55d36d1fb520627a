package supervisor

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// end begins a stop from Starting or Running.
func (i *instance) end(why string) {
	l := i.life
	if l == nil || l.exited {
		i.rest(event{})
		return
	}
	l.quit()
	i.enter(Stopping, why)
	if l.spawned && l.cause == "" {
		l.cancel = i.world.drain(l, l.stop.Deadline)
	}
	if l.cancel != nil {
		i.draining = true
		i.why = why + ": finishes what it has in hand"
		i.arm(l.stop.Deadline)
		return
	}
	i.term(event{})
}

func (i *instance) drained(e event) {
	if i.draining {
		i.term(e)
	}
}

// term tells the process to stop: by its stop command, or the first signal. What is not forked yet must not be.
func (i *instance) term(event) {
	l, stop := i.life, i.life.stop
	i.draining = false
	l.quit()
	if l.exited {
		return
	}
	if !l.spawned {
		i.world.abandon(l)
		return
	}
	if l.hard.Load() || stop.Deadline <= 0 {
		i.strike()
		return
	}
	i.toldAt, i.rung, i.signalled = i.world.now(), 0, false
	i.say("was told to stop and has %s for it", stop.Deadline)
	if len(stop.Command) > 0 {
		i.say("runs its stop command and has %s to stop", stop.Deadline)
		if sequence(stop)[0].After == 0 {
			i.rung = 1 // in place of which the command runs
		}
		l.recall = i.world.command(l, stop.Deadline)
	}
	i.climb()
}

// sequence is the signals of a stop, of which there is one at least.
func sequence(s topology.Stop) []topology.StopSignal {
	if len(s.Signals) > 0 {
		return s.Signals
	}
	return []topology.StopSignal{{Signal: s.Signal}}
}

// climb sends the signals that are due, and sets the timer for the next, or for the deadline.
func (i *instance) climb() {
	stop, past := i.life.stop, i.world.now().Sub(i.toldAt)
	next := i.allowed()
	for _, s := range sequence(stop)[i.rung:] {
		if s.After > past {
			next = min(next, s.After)
			break
		}
		i.rung++
		if i.signalled {
			i.say("did not stop within %s, was sent %s, and is killed after %s", s.After, unix.SignalName(s.Signal), stop.Deadline)
		}
		i.send(s.Signal)
	}
	i.arm(next - past)
}

func (i *instance) send(sig syscall.Signal) {
	i.signalled = true
	i.world.signal(i.life, sig, i.life.stop.Group)
}

// say is why, unless it is stopped for a failure: then that is the reason.
func (i *instance) say(format string, args ...any) {
	if i.life.cause == "" {
		i.why = fmt.Sprintf(format, args...)
	}
}

// told: the stop command has ended. When it failed, the first signal takes its place.
func (i *instance) told(e event) {
	l := i.life
	l.recall = nil
	if l.exited || l.hard.Load() {
		return
	}
	if e.cause == "" {
		i.say("was told to stop by its stop command and has %s for it", i.life.stop.Deadline)
		return
	}
	i.say("its stop command failed: %s", e.cause)
	if !i.signalled {
		i.rung = max(i.rung, 1)
		i.send(sequence(i.life.stop)[0].Signal)
		i.climb()
	}
}

// overdue: a deadline of the stop has passed.
func (i *instance) overdue(e event) {
	switch {
	case i.draining:
		i.term(e)
	case i.life.hard.Load(): // was killed, and perhaps not by the deadline
	case i.world.now().Sub(i.toldAt) < i.allowed():
		i.climb()
	default:
		i.why = fmt.Sprintf("did not stop within %s and was killed", round(i.allowed()))
		i.strike()
	}
}

// strike kills the process, and the stop command with it.
func (i *instance) strike() {
	if l := i.life; l.recall != nil {
		l.recall()
	}
	i.world.kill(i.life)
}

// slay stops without manners, from any state with a process.
func (i *instance) slay(e event) {
	i.want, i.draining = Down, false
	l := i.life
	if l == nil || l.exited && l.swept {
		i.rest(e)
		return
	}
	l.hard.Store(true)
	l.quit()
	i.disarm()
	i.enter(Stopping, "is being killed")
	if !l.spawned {
		i.world.abandon(l)
		return
	}
	i.strike()
}

// rest: want down with no process, only perhaps leftovers.
func (i *instance) rest(event) {
	i.want = Down
	i.disarm()
	if l := i.life; l != nil && !l.swept {
		i.enter(Stopping, "waits until the processes it left behind are gone")
		return
	}
	i.part()
}

// part: it is down, as somebody wanted.
func (i *instance) part() {
	why := i.parting
	if why == "" {
		why = "was stopped"
	}
	i.enter(Stopped, why)
}

// gone: the process, or the last of what it left, has ended.
func (i *instance) gone(e event) {
	l := i.life
	if !l.exited || !l.swept {
		if l.exited {
			i.why = "waits until the processes it left behind are gone"
		}
		return
	}
	i.disarm()
	i.draining = false
	switch {
	case i.want == Down:
		i.part()
	case l.judged && l.refused:
		i.fail(l.cause, Exit{Cause: l.cause})
	case l.word.leaving && l.judged:
		i.conclude(l.exit)
	case l.judged:
		i.conclude(Exit{Cause: l.cause})
	default:
		i.begin(e)
	}
}
