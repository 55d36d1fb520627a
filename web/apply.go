package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/dsat/dsat/web/control"
)

// Changer changes the topology. Its errors are for the wire.
type Changer interface {
	Plan(ctx context.Context, what control.ChangeRequest) (*control.Plan, error)
	Apply(ctx context.Context, what control.ChangeRequest) (*control.Applied, error)
	Config(names string) ([]control.Setting, error)
	Runtime() control.Runtime
}

// maxChange bounds the body of a request for a change.
const maxChange = 1 << 20

// wishOf reads the body of a change.
func wishOf(w http.ResponseWriter, r *http.Request) (what control.ChangeRequest, err error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChange))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return what, invalid("cannot take this change: it has more than %d bytes", maxChange)
	}
	if err != nil {
		return what, invalid("cannot read the change: %v", err)
	}
	if len(text) == 0 {
		return what, nil
	}
	if err := json.Unmarshal(text, &what); err != nil {
		return what, invalid("cannot read the change: %v", err)
	}
	return what, nil
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) error {
	what, err := wishOf(w, r)
	if err != nil {
		return err
	}
	plan, err := s.cfg.Change.Plan(r.Context(), what)
	if err != nil {
		return err
	}
	return answer(w, plan)
}

func (s *Server) apply(w http.ResponseWriter, r *http.Request) error {
	what, err := wishOf(w, r)
	if err != nil {
		return err
	}
	applied, err := s.cfg.Change.Apply(r.Context(), what)
	if err != nil {
		return err
	}
	return answer(w, applied)
}

func (s *Server) config(w http.ResponseWriter, r *http.Request) error {
	settings, err := s.cfg.Change.Config(r.PathValue("names"))
	if err != nil {
		return err
	}
	return answer(w, settings)
}

func (s *Server) runtime(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, s.cfg.Change.Runtime())
}
