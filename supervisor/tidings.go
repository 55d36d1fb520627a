package supervisor

import (
	"fmt"
	"syscall"
	"time"

	"github.com/dsat/dsat/topology"
)

// word is what a process has told of itself. It belongs to the instance's owner.
type word struct {
	status    string
	reloading bool
	leaving   bool          // it said STOPPING=1 by itself
	watchdog  time.Duration // 0: none
	fed       time.Time     // the last WATCHDOG=1
	hound     *time.Timer
	until     time.Time // it has asked for so much time
}

// notified takes what came through NOTIFY_SOCKET.
func (i *instance) notified(e event) {
	l := i.life
	t := l.inlet.take()
	if t.heir != nil {
		i.succeed(t.heir)
	}
	if l.exited {
		return
	}
	if t.status != nil {
		l.word.status = *t.status
	}
	if t.ready || t.reloading {
		l.word.reloading = t.reloading
	}
	if t.watchdog != nil {
		l.word.watchdog = *t.watchdog
		l.word.fed = i.world.now()
		i.guard()
	}
	if t.fed {
		l.word.fed = i.world.now()
	}
	if t.extend > 0 {
		i.extend(t.extend)
	}
	switch {
	case t.starved && i.state == Running:
		i.abort("it said WATCHDOG=trigger")
	case t.stopping:
		i.leave()
	case t.ready && l.spec.Ready.Kind == topology.ReadyNotify:
		l.hello = true
		if i.state == Starting && l.spawned {
			i.ready(e)
		}
	}
}

// guard begins to watch for WATCHDOG=1.
func (i *instance) guard() {
	l := i.life
	l.unguard()
	if i.state != Running || l.word.watchdog <= 0 {
		return
	}
	left := l.word.watchdog - i.world.now().Sub(l.word.fed)
	// What has arrived is read first: this daemon may have been the one that slept.
	l.word.hound = time.AfterFunc(max(left, 0), func() { l.inlet.read(); i.tell(event{kind: evStarved, life: l}) })
}

func (l *life) unguard() {
	if l.word.hound != nil {
		l.word.hound.Stop()
		l.word.hound = nil
	}
}

// starved: the time of the watchdog is over, unless WATCHDOG=1 came meanwhile.
func (i *instance) starved(event) {
	w := &i.life.word
	switch {
	case w.watchdog <= 0 || i.life.exited:
	case i.world.now().Sub(w.fed) < w.watchdog:
		i.guard()
	default:
		i.abort(fmt.Sprintf("no WATCHDOG=1 within %s", w.watchdog))
	}
}

// abort ends it as failed, with ABRT, so that there may be a core to look at.
func (i *instance) abort(cause string) {
	l := i.life
	l.cause, l.judged = cause, true
	l.quit()
	l.unguard()
	i.enter(Stopping, cause)
	i.toldAt, i.rung, i.signalled = i.world.now(), len(sequence(l.stop)), false
	i.send(syscall.SIGABRT)
	i.climb()
}

// leave: it is ending by itself. It is given the time of a stop, and its exit is judged as one that nobody asked for.
func (i *instance) leave() {
	l := i.life
	if i.state != Running && i.state != Starting || !l.spawned {
		return
	}
	l.quit()
	l.unguard()
	l.word.leaving, l.judged = true, true
	i.enter(Stopping, "said that it is stopping")
	i.toldAt, i.rung, i.signalled = i.world.now(), len(sequence(l.stop)), false
	i.climb()
}

// extend gives it more time to become ready, or to stop.
func (i *instance) extend(d time.Duration) {
	l := i.life
	if end := i.world.now().Add(d); end.After(l.word.until) {
		l.word.until = end
	}
	if i.state == Stopping && !i.draining && l.spawned && !l.hard.Load() {
		i.climb()
	}
}

// patient reports whether it has asked for more time to become ready, and sees to it that it is asked again after that.
func (i *instance) patient(e event) bool {
	l := i.life
	left := l.word.until.Sub(i.world.now())
	if left <= 0 {
		return false
	}
	t, before := time.AfterFunc(left, func() { i.tell(e) }), l.cancel
	l.cancel = func() {
		t.Stop()
		if before != nil {
			before()
		}
	}
	return true
}

// allowed is how long the stop may take, from its beginning.
func (i *instance) allowed() time.Duration {
	d := i.life.stop.Deadline
	if until := i.life.word.until; !until.IsZero() {
		d = max(d, until.Sub(i.toldAt))
	}
	return d
}
