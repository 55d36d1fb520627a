package topology

// scheduled checks what cannot be said of a job.
func (r *rules) scheduled(s *Satellite, said *setting) {
	if !s.Scheduled() || s.Restart.Policy != RestartAlways {
		return
	}
	f := said.find("restart").find("policy")
	if f == nil || f.inherited {
		s.Restart.Policy = RestartNever
		return
	}
	r.add(f.pos, `"never", or "on-failure" for one that is tried again until it ends well`, "%s is run by a schedule: restart.policy cannot be \"always\"", s.Name)
}
