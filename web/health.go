package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/dsat/dsat/web/control"
)

// aliveDeadline is how long a loop may take to answer before the daemon counts as stuck.
const aliveDeadline = 2 * time.Second

// livez asks the loops themselves: 200 when both answered.
func (s *Server) livez(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), aliveDeadline)
	defer cancel()
	if err := s.cfg.Supervisor.Alive(ctx); err != nil {
		return fail(control.KindUnavailable, "the supervisor's loop does not answer: %v", err)
	}
	if err := s.cfg.Bus.Alive(ctx); err != nil {
		return fail(control.KindUnavailable, "the orchester's loop does not answer: %v", err)
	}
	_, err := fmt.Fprintln(w, "ok")
	return err
}

// readyz answers 200 when every wanted instance is ready, else 503; ?verbose says why not.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	ready := s.readiness()
	verbose := flag(r, "verbose")
	if verbose {
		w.Header().Set("Content-Type", "application/json")
	}
	if !ready.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if verbose {
		return answer(w, ready)
	}
	word := "ready"
	if !ready.Ready {
		word = "not ready"
	}
	_, err := fmt.Fprintln(w, word)
	return err
}

func (s *Server) readiness() control.Ready {
	var why []string
	if state := s.getState(); state != "running" {
		why = append(why, "dsatd is "+state)
	}
	why = append(why, s.cfg.Supervisor.Ready()...)
	return control.Ready{Ready: len(why) == 0, Why: why}
}
