package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

// callPatience is how long a call without ?timeout= may take.
const callPatience = 30 * time.Second

// call answers POST /v1/call/STEP: the body becomes a message, and the answer comes when its task has ended, or when the deadline is
// over. A caller that hangs up is forgotten.
func (s *Server) call(w http.ResponseWriter, r *http.Request) error {
	c, err := callOf(w, r)
	if err != nil {
		return err
	}
	if isSet(r, "detach") {
		return s.detach(w, r, c)
	}
	if isSet(r, "stream") {
		return s.streamCall(w, r, c)
	}
	sent, err := s.cfg.Bus.Call(r.Context(), c, nil)
	if err != nil {
		return s.suggest(err, c.To)
	}
	return answer(w, sentOf(sent))
}

func callOf(w http.ResponseWriter, r *http.Request) (bus.Call, error) {
	c := bus.Call{To: r.PathValue("step"), Codec: r.URL.Query().Get("codec"), Within: callPatience, Lasting: isSet(r, "lasting"), Session: r.Header.Get("Dsat-Session")}
	if name := r.URL.Query().Get("session"); name != "" {
		c.Session = name
	}
	d, err := duration(r, "timeout")
	if err != nil {
		return c, err
	}
	if d > 0 {
		c.Within = d
	}
	c.Payload, err = payloadOf(w, r)
	return c, err
}

func sentOf(sent bus.Sent) control.Sent {
	out := control.Sent{Task: sent.Task, State: sent.State, Reason: sent.Reason, Repeat: sent.Repeat, Omitted: sent.Omitted}
	for _, result := range sent.Results {
		out.Results = append(out.Results, resultOf(&result))
	}
	return out
}

// streamCall writes every output as it comes, one JSON value a line, and the end as the last one.
func (s *Server) streamCall(w http.ResponseWriter, r *http.Request, c bus.Call) error {
	out, stream, begun := json.NewEncoder(w), http.NewResponseController(w), false
	begin := func() {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", linesType)
			w.Header().Set("Cache-Control", "no-store")
		}
	}
	sent, err := s.cfg.Bus.Call(r.Context(), c, func(result bus.Result) error {
		begin()
		body := resultOf(&result)
		if err := out.Encode(control.CallPart{Result: &body}); err != nil {
			return err
		}
		return stream.Flush()
	})
	if err != nil {
		err = s.suggest(err, c.To)
		if !begun {
			return err
		}
		_ = out.Encode(control.CallPart{Error: kinded(err)}) // or the caller has gone
		return nil
	}
	begin()
	end := sentOf(sent)
	_ = out.Encode(control.CallPart{End: &end}) // likewise
	return nil
}

// detach sends a message and answers with the id of its reply.
func (s *Server) detach(w http.ResponseWriter, r *http.Request, c bus.Call) error {
	if r.URL.Query().Get("timeout") == "" {
		c.Within = 0
	}
	ctx, cancel := context.WithTimeout(r.Context(), admitPatience)
	defer cancel()
	sent, err := s.cfg.Bus.CallDetached(ctx, c)
	if err != nil {
		return s.suggest(err, c.To)
	}
	return answer(w, sentOf(sent))
}

// reply answers GET /v1/replies/ID: what came of a detached call. With ?wait=30s the answer comes when it has ended, or when the wait is
// over; then it is "running", which is no error.
func (s *Server) reply(w http.ResponseWriter, r *http.Request) error {
	wait, err := duration(r, "wait")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), max(wait, loopPatience))
	defer cancel()
	sent, err := s.cfg.Bus.Reply(ctx, r.PathValue("id"), wait > 0)
	if err != nil {
		return err
	}
	return answer(w, sentOf(sent))
}

// replyClose forgets a reply. That there is none is no error: it may have been forgotten already.
func (s *Server) replyClose(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	if err := s.cfg.Bus.CloseReply(ctx, r.PathValue("id")); err != nil {
		return err
	}
	return answer(w, struct{}{})
}
