package supervisor

import (
	"fmt"

	"github.com/dsat/dsat/topology"
)

// failed is asked before an instance is started again after a failure.
func (s *Supervisor) failed(i *instance, e Exit, because string) (giveUp string) {
	return s.groups.failed(i, e, because)
}

// ended goes by what the topology says shall follow the end of an instance for good.
func (s *Supervisor) ended(i *instance, well bool, e Exit) {
	then, word, how := i.spec.Restart.Then, "then", "failed for good: "+e.because()
	if well {
		if !s.allDone(i.ref.Name) {
			return
		}
		then, word, how = i.spec.Restart.Done, "done", "ended well"
	}
	switch then.Kind {
	case topology.EndStop:
		s.groups.stop(i, fmt.Sprintf("%s %s", i.ref, how))
	case topology.EndExit:
		s.quit(e.codeFor(then, well), fmt.Sprintf("%s %s, and its restart.%s is %q", i.ref, how, word, then))
	case topology.EndStay:
	}
}

// allDone: every instance of a satellite has ended well.
func (s *Supervisor) allDone(name string) bool {
	sat := s.roster().byName[name]
	if sat == nil {
		return false
	}
	for _, i := range sat.instances() {
		if st := i.status.Load(); st.State != Exited || !st.Success {
			return false
		}
	}
	return true
}

// quit asks for the end of the daemon.
func (s *Supervisor) quit(code int, why string) {
	if s.exit == nil {
		s.log.Error("the daemon should end, and cannot", "code", code, "why", why)
		return
	}
	s.exit(code, why)
}

// codeFor is the exit code of the daemon.
func (e Exit) codeFor(then topology.Ending, well bool) int {
	switch own := e.Code; {
	case then.Code != topology.OwnCode:
		return then.Code
	case e.Err == nil && e.Signal != 0:
		return signalled + int(e.Signal)
	case e.Err == nil && own > 0:
		return own
	case well:
		return 0
	}
	return 1
}

// signalled is added by shells to the number of the signal that ended a process.
const signalled = 128

// Done: all of its instances have ended well, for good.
func (s *SatelliteStatus) Done() bool {
	for _, i := range s.Instances {
		if i.State != Exited || !i.Success {
			return false
		}
	}
	return len(s.Instances) > 0
}
