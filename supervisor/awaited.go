package supervisor

import (
	"errors"
	"time"

	"github.com/dsat/dsat/topology"
)

// What a process tells about its readiness while there is no dsatd. A line on ready.fd waits in its pipe, which the process has open for
// reading too. A datagram does not: its socket ended with dsatd. That socket cannot be left in the process as the pipe is, for its queue
// holds as little as ten messages, and who feeds a watchdog would stand still in a full one until the next dsatd came.

// adoptionGrace is how long a process that was taken back may leave it open whether it is ready, where it may have told nobody.
const adoptionGrace = 5 * time.Second

func graceOf(r topology.Ready) time.Duration {
	if r.Deadline > 0 {
		return min(adoptionGrace, r.Deadline/2)
	}
	return adoptionGrace
}

// awaited takes back what tells the readiness of a life that was not ready yet.
func (s *Supervisor) awaited(l *life, e recordEntry) []*capture {
	switch r := l.spec.Ready; {
	case e.ready:
	case r.Kind == topology.ReadyNotify:
		l.unsure = true
	case r.Kind == topology.ReadyFD && e.pipes[2] != 0:
		fd, err := openPipe(l.mainPID(), e.pipes[2])
		switch {
		case err == nil:
			return []*capture{s.readiness(l, fd)}
		case errors.Is(err, errShut):
			l.hello = true // it has no more to say there
		default:
			l.unsure = true
		}
	}
	return nil
}

// readiness is what reads ready.fd.
func (s *Supervisor) readiness(l *life, fd int) *capture {
	return &capture{fd: fd, first: func(string) { l.of.post(event{kind: evReady, life: l}) }}
}

// presume takes a process that lives for ready.
func (s *Supervisor) presume(l *life) {
	s.log.Info("a process that was taken back has not told that it is ready; it may have while there was no dsatd, and counts as ready", "instance", l.of.ref)
	l.of.post(event{kind: evReady, life: l})
}
