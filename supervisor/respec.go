package supervisor

import (
	"fmt"
	"reflect"
)

// respec gives an instance another entry. With anew, what runs is of the entry before and is replaced; one that was stopped by hand
// stays so. Without, dsatd alone goes by what has changed.
func (i *instance) respec(e event) {
	before := i.spec
	i.spec = e.spec
	if i.book != nil {
		i.book.Rule(&e.spec.Log)
	}
	l := i.life
	alive := l != nil && !l.exited
	if alive && !e.anew && i.state != Stopping {
		l.stop = e.spec.Stop // a stop under way keeps to the sequence it has begun
		if l.spawned && before.Recycle != e.spec.Recycle {
			i.look()
		}
	}
	switch {
	case i.drowse.on != "": // it sleeps on, perhaps at another socket
		i.hush()
		i.doze(i.state, "")
	case i.state == Starting && (e.anew || alive && !reflect.DeepEqual(before.Ready, e.spec.Ready)):
		i.anew(e)
	case i.state == Starting && !alive:
		i.advance(e)
	case e.anew && i.state == Running:
		i.anew(e)
	case e.anew && (i.state == Backoff || i.state == Exited || i.state == Fatal):
		i.up(e)
	}
}

// firm is the goal of a change: up at the first attempt, and healthy where there are checks.
func (i *instance) firm(w waiter) (error, bool) {
	switch {
	case i.restarts > w.restarts, i.state == Backoff:
		return fmt.Errorf("failed: %s", i.lastExit), true
	case i.state == Stopping && i.life.judged:
		return fmt.Errorf("failed: %s", i.life.cause), true
	case i.state != Running:
		return i.reached(waiter{goal: goalUp})
	}
	switch s := i.status.Load(); s.Health {
	case Checking:
		return nil, false
	case Unhealthy:
		return fmt.Errorf("%s", s.Why), true
	}
	return nil, true
}
