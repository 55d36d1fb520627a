package supervisor

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// drowse is how an instance that is started by its sockets waits for a connection: stopped or exited, with want down, and listening.
type drowse struct {
	on  string // the sockets it listens on, in words; "": it does not
	seq uint64 // of the newest listening; an older evDemand is stale
}

// settled is how long a listening has to last for a connection to be a new one. One that comes sooner has waited, most likely while
// the process ended, and perhaps because it does not take what waits.
const settled = 250 * time.Millisecond

// listen begins to wait for a connection, where a socket is to start the instance.
func (i *instance) listen(event) {
	if i.drowse.on == "" {
		i.success = false
		i.doze(Stopped, "")
	}
}

// doze goes to sleep at its sockets; false when it has none that wake it. after is what has happened, in words.
func (i *instance) doze(s State, after string) bool {
	i.drowse.seq++
	on, err := i.world.listen(i, i.drowse.seq)
	switch {
	case err != nil:
		i.want, i.success = Up, false
		i.fail(fmt.Sprintf("%scannot listen for its first connection: %v", after, err), Exit{})
		return true
	case on == "":
		return false
	}
	i.drowse.on, i.want = on, Down
	i.enter(s, after+"is started by the first connection to "+on)
	return true
}

// hush ends the listening.
func (i *instance) hush() {
	if i.drowse.on != "" {
		i.drowse = drowse{seq: i.drowse.seq + 1}
		i.world.deafen(i)
	}
}

// ignore is a stop by hand of what has no process.
func (i *instance) ignore(e event) {
	listened := i.drowse.on != ""
	i.hush()
	if i.state == Exited {
		i.rest(e)
		return
	}
	if i.want = Down; listened {
		i.enter(Stopped, "was stopped, and no connection starts it")
		i.world.idle(i)
	}
}

// rewards is what follows a good end of an instance that a socket starts: it sleeps again. False: it is none.
func (i *instance) rewards(e Exit) bool {
	if !e.success(i.spec.Restart) && i.spec.Restart.Policy != topology.RestartNever {
		return false
	}
	if reset := i.spec.Restart.Backoff.Reset; reset > 0 && e.Uptime >= reset {
		i.hist.crashes = 0
	}
	i.success = e.success(i.spec.Restart)
	slept := i.doze(Exited, e.because()+i.lastWords(e)+"; ")
	i.success = i.success && slept && i.state == Exited
	return slept
}

// demand: a connection waits.
func (i *instance) demand(e event) {
	if i.drowse.on == "" || e.seq != i.drowse.seq {
		return
	}
	on, now := i.drowse.on, i.world.now()
	i.hush()
	v, wait, h := demanded(i.spec.Restart, i.hist, now.Sub(i.since), now, i.world.roll())
	i.hist, i.want, i.unasked, i.success = h, Up, false, false
	switch {
	case v == giveUp:
		i.fail(fmt.Sprintf("gave up after %d starts within %s: it ends, and leaves what waits at %s; nobody is started by that any more", i.spec.Restart.Limit, i.spec.Restart.Window, on), Exit{})
	case wait > 0:
		i.enter(Backoff, fmt.Sprintf("in back-off for %s: it ended %d times in a row and left what waits at %s", round(wait), h.crashes-1, on))
		i.arm(wait)
	default:
		i.begin(e)
	}
}

// demanded judges a connection that wants a process. One that came while nobody was there is a start like one by hand; one that had
// waited counts as a restart, so that a process that takes nothing does not spin. It is pure, as next is.
func demanded(p topology.Restart, h history, idle time.Duration, now time.Time, roll float64) (verdict, time.Duration, history) {
	if idle >= settled {
		return again, 0, history{}
	}
	h.crashes++
	if h.spent(p, now) {
		return giveUp, 0, h
	}
	return again, delay(p.Backoff, h.crashes, roll), h
}

// ears are the sockets that start instances, watched by the output loop. Nobody accepts: what waits is for the process.
type ears struct {
	mu  sync.Mutex
	all map[*instance][]ear
}

// ear is one duplicate of a socket, for an epoll set takes each open file once under one number.
type ear struct {
	fd int
	id uint64
}

func (s *Supervisor) listen(i *instance, seq uint64) (on string, err error) {
	t := s.roster().topology
	var names []string
	for _, k := range t.OnDemand(i.spec) {
		l, err := s.sockets.ensure(k, i.ref)
		if err == nil {
			err = s.ears.add(s, i, seq, l)
		}
		if err != nil {
			s.deafen(i)
			return "", err
		}
		names = append(names, fmt.Sprintf("%s (socket %s)", l.address, k.Name))
	}
	return strings.Join(names, " or "), nil
}

func (e *ears) add(s *Supervisor, i *instance, seq uint64, l *listening) error {
	fd, err := s.sockets.dup(l)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id, err := s.output.watchFor(fd, unix.EPOLLIN, func() { i.tell(event{kind: evDemand, seq: seq}) })
	if err == nil && e.all == nil {
		s.output.unwatch(id)
		err = errClosed
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("cannot watch socket %s: %w", l.spec.Name, err)
	}
	e.all[i] = append(e.all[i], ear{fd, id})
	return nil
}

func (s *Supervisor) deafen(i *instance) { s.ears.remove(s.output, i) }

func (e *ears) remove(o *output, i *instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.all[i] {
		o.unwatch(a.id)
		unix.Close(a.fd)
	}
	delete(e.all, i)
}

// end forgets all of them; the loop has ended.
func (e *ears) end(o *output) {
	e.mu.Lock()
	all := e.all
	e.all = nil
	e.mu.Unlock()
	for i := range all {
		for _, a := range all[i] {
			o.unwatch(a.id)
			unix.Close(a.fd)
		}
	}
}

// sleepers lets those listen that a socket starts, and returns the others.
func (s *Supervisor) sleepers(all []*instance) (others []*instance) {
	t := s.roster().topology
	for _, i := range all {
		if len(t.OnDemand(i.spec)) > 0 {
			i.post(event{kind: evListen})
		} else {
			others = append(others, i)
		}
	}
	return others
}

// resting closes what was open for an instance that has no process and is not going to have one.
func (s *Supervisor) resting(i *instance, state State) {
	switch state {
	case Stopped, Exited, Fatal:
		if i.drowse.on == "" {
			s.sockets.rest(i.ref)
		}
		if !i.spec.FDStorePreserve {
			s.store.rest(i.ref)
		}
	}
}

// idle is resting for one that has listened until now, of which nobody hears: it was stopped before as well.
func (s *Supervisor) idle(i *instance) {
	s.resting(i, Stopped)
	s.rests(i, &InstanceStatus{Want: i.want, State: i.state, Since: i.since, Why: i.why})
}

// storeLimit is how many descriptors an instance may leave.
func (s *Supervisor) storeLimit(ref topology.Ref) int {
	if sat := s.roster().byName[ref.Name]; sat != nil {
		return sat.spec.FDStore
	}
	return 0
}

// held is what another dsatd can take over from this one, by exec: listening sockets and stored descriptors. They stay open here,
// and close with an exec unless somebody prevents that.
func (s *Supervisor) held() map[string]int {
	all := s.sockets.handover()
	maps.Copy(all, s.store.handover())
	return all
}
