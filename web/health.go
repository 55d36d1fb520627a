package web

import (
	"context"
	"net/http"
	"time"

	"github.com/dsat/dsat/web/control"
)

// loopPatience is how long a loop may take to answer before it counts as stuck.
const loopPatience = 2 * time.Second

// livez asks the loops themselves: 200 when both answered.
func (s *Server) livez(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	if err := s.cfg.Supervisor.Alive(ctx); err != nil {
		return fail(control.KindUnavailable, "the supervisor's loop does not answer: %v", err)
	}
	if err := s.cfg.Bus.Alive(ctx); err != nil {
		return fail(control.KindUnavailable, "the orchester's loop does not answer: %v", err)
	}
	return text(w, http.StatusOK, "ok")
}

// readyz answers 200 when every wanted instance is ready, else 503; ?verbose says why not.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	ready, status, word := s.readiness(), http.StatusOK, "ready"
	if !ready.Ready {
		status, word = http.StatusServiceUnavailable, "not ready"
	}
	if isSet(r, "verbose") {
		ready.Notes = s.notes(r.Context())
		return answerWith(w, status, ready)
	}
	return text(w, status, word)
}

func (s *Server) readiness() control.Ready {
	var why []string
	if state := s.State(); state != "running" {
		why = append(why, "dsatd is "+state)
	}
	why = append(why, s.cfg.Supervisor.Ready()...)
	return control.Ready{Ready: len(why) == 0, Why: why}
}
