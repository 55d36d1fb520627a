package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

func quarantinedOf(q bus.Quarantined) control.Quarantined {
	out := control.Quarantined{
		ID: q.ID, Step: q.Step, Task: q.Task, Time: q.Time, Reason: q.Reason, Attempts: q.Attempts, Crashes: q.Crashes,
		Size: q.Size, Codec: q.Codec, Evidence: q.Evidence,
	}
	if q.Payload != nil {
		body := bodyOf(q.Codec, q.Payload)
		body.JSON = q.JSON()
		out.Payload = &body
	}
	return out
}

func (s *Server) quarantineList(w http.ResponseWriter, r *http.Request) error {
	list, err := s.aside(r)
	if err != nil {
		return err
	}
	out := []control.Quarantined{}
	for _, q := range list {
		out = append(out, quarantinedOf(q))
	}
	return answer(w, out)
}

// aside is what is in quarantine: of the step in ?step= or of all, and only what was set aside for a reason that matches ?reason=.
func (s *Server) aside(r *http.Request) ([]bus.Quarantined, error) {
	query := r.URL.Query()
	step := query.Get("step")
	if step != "" && s.cfg.Supervisor.Topology().Satellite(step) == nil {
		return nil, fail(control.KindNotFound, "cannot find step %q: no such satellite", step)
	}
	reason, err := regexp.Compile(query.Get("reason"))
	if err != nil {
		return nil, invalid("cannot read reason %q as a regular expression (RE2): %v", query.Get("reason"), err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	list, err := s.cfg.Bus.Quarantine(ctx, step)
	if err != nil {
		return nil, err
	}
	chosen := list[:0]
	for _, q := range list {
		if reason.MatchString(q.Reason) {
			chosen = append(chosen, q)
		}
	}
	return chosen, nil
}

func (s *Server) quarantineShow(w http.ResponseWriter, r *http.Request) error {
	q, err := s.asideWhole(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, quarantinedOf(q))
}

func (s *Server) asideWhole(r *http.Request, id string) (bus.Quarantined, error) {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	return s.cfg.Bus.QuarantineGet(ctx, id)
}

// quarantineExport answers all messages with their payloads, one per line; one at a time, so that what the quarantine holds is not in
// memory twice.
func (s *Server) quarantineExport(w http.ResponseWriter, r *http.Request) error {
	list, err := s.aside(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for _, q := range list {
		whole, err := s.asideWhole(r, q.ID)
		if bus.IsNotFound(err) {
			continue // taken meanwhile
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the answer has begun: whoever reads it is to see that it is not whole
		}
		if err := lines.Encode(quarantinedOf(whole)); err != nil {
			panic(http.ErrAbortHandler) // the caller is gone
		}
	}
	return nil
}

// quarantineEdit answers POST /v1/quarantine/ID/edit: the body is the new payload.
func (s *Server) quarantineEdit(w http.ResponseWriter, r *http.Request) error {
	payload, err := payloadOf(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	q, err := s.cfg.Bus.QuarantineEdit(ctx, r.PathValue("id"), r.URL.Query().Get("codec"), payload)
	if err != nil {
		return err
	}
	return answer(w, quarantinedOf(q))
}

// quarantineChange answers retry and drop, of one id or of "all" (chosen by ?step= and ?reason=), with the ids it was done to.
func (s *Server) quarantineChange(change func(*bus.Bus, context.Context, string) error) func(http.ResponseWriter, *http.Request) error {
	act := func(r *http.Request, id string) error {
		ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
		defer cancel()
		return change(s.cfg.Bus, ctx, id)
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.PathValue("id") == "all" {
			return s.quarantineChangeAll(w, r, act)
		}
		if err := act(r, r.PathValue("id")); err != nil {
			return err
		}
		return answer(w, control.Changed{IDs: []string{r.PathValue("id")}})
	}
}

// quarantineChangeAll takes those that are there now, each once: what comes back meanwhile is a new message. What its step cannot take
// is left, and so are the others of that step; the first reason is told.
func (s *Server) quarantineChangeAll(w http.ResponseWriter, r *http.Request, act func(*http.Request, string) error) error {
	list, err := s.aside(r)
	if err != nil {
		return err
	}
	changed, refused := control.Changed{IDs: []string{}}, map[string]bool{}
	for _, q := range list {
		if refused[q.Step] {
			changed.Left++
			continue
		}
		err := act(r, q.ID)
		var told *bus.Error
		switch {
		case err == nil:
			changed.IDs = append(changed.IDs, q.ID)
		case bus.IsNotFound(err): // it was taken by somebody else, or gave room to a newer one
		case errors.As(err, &told) && told.Kind == bus.KindConflict:
			refused[q.Step] = true
			changed.Left++
			if changed.Why == "" {
				changed.Why = told.Text
			}
		default:
			return err
		}
	}
	return answer(w, changed)
}
