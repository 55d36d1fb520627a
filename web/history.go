package web

import (
	"net/http"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

// history answers how the named instances died.
func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
	if err != nil {
		return err
	}
	deaths, err := s.cfg.Supervisor.Deaths(refs)
	if err != nil {
		return err
	}
	out := make([]control.Death, len(deaths))
	for i := range deaths {
		out[i] = deathOf(&deaths[i])
	}
	return answer(w, out)
}

func deathOf(d *supervisor.Death) control.Death {
	return control.Death{
		Name: d.Ref.Name, WID: d.Ref.WID, Incarnation: uint64(d.Inc), PID: d.PID, Time: d.Time, Asked: d.Asked, Motive: d.Motive, Cause: d.Cause, Code: d.Code,
		Signal: int(d.Signal), Core: d.Core, Uptime: d.Uptime.Seconds(), User: d.Usage.User.Seconds(), System: d.Usage.System.Seconds(),
		MaxRSS: d.Usage.MaxRSS, Usage: string(d.Usage.Known), Last: d.Last,
	}
}
