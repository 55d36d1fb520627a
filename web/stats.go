package web

import (
	"net/http"
	"time"

	"github.com/dsat/dsat/web/control"
)

// figures answers what processes have used, and what their extended_stats hooks tell.
func (s *Server) figures(w http.ResponseWriter, r *http.Request) error {
	refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
	if err != nil {
		return err
	}
	figures, err := s.cfg.Supervisor.Figures(r.Context(), refs)
	if err != nil {
		return err
	}
	started := s.started()
	out := make([]control.Stats, 0, len(figures))
	for _, f := range figures {
		one := control.Stats{Name: f.Ref.Name, WID: f.Ref.WID, PID: f.PID, Figures: f.Values, Problem: f.Problem}
		if used, err := readUsage(f.PID); f.PID != 0 && err == nil { // it may be gone by now
			one.CPU, one.RSS = used.cpu, used.rss
			if at := started[f.PID]; !at.IsZero() {
				one.Uptime = time.Since(at).Seconds()
			}
		}
		out = append(out, one)
	}
	return answer(w, out)
}

// started is when the processes that are there were spawned, by their pid.
func (s *Server) started() map[int]time.Time {
	out := map[int]time.Time{}
	for _, sat := range s.cfg.Supervisor.Snapshot() {
		for _, i := range sat.Instances {
			if i.PID != 0 {
				out[i.PID] = i.Started
			}
		}
	}
	return out
}
