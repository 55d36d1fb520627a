package supervisor

import (
	"github.com/dsat/dsat/topology"
)

// TaskHook runs a command that a satellite wants at the end of a task, as the satellite does, with env in addition; what it prints goes
// to the satellite's log. done is called when it is over, with why it failed, or "". It never blocks, and done must not.
func (s *Supervisor) TaskHook(name string, h *topology.Hook, env []string, done func(no string)) {
	sat := s.roster().byName[name]
	if sat == nil {
		done("its satellite " + name + " is no more")
		return
	}
	c := chore{
		ref: topology.Ref{Name: name}, spec: sat.spec, argv: h.Command, within: h.Deadline, env: env, toFile: sat.spec.Log.Stdout == topology.LogCapture,
		// The reaper may tell of the end under its own lock.
		done: func(o outcome) { s.crew.run(func() { done(s.verdict(name, "task", h, o)) }) },
	}
	if all := sat.instances(); len(all) > 0 {
		c.ref, c.book = all[0].ref, all[0].book
	}
	s.errand(c)
}
