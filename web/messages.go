package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

// maxPayload bounds what POST /v1/send/STEP takes: the wire's own limit for one message.
const maxPayload = 16 << 20

func queueOf(q bus.QueueStatus) control.Queue {
	return control.Queue{
		Step: q.Step, Delivery: q.Delivery, Waiting: q.Waiting, Bytes: q.Bytes, InFlight: q.InFlight, Held: q.Held,
		OldestAge: q.OldestAge.Seconds(), Workers: q.Workers, Quarantine: q.Quarantine, Blocked: q.Blocked, Ledger: ledgerOf(q.Ledger),
	}
}

func ledgerOf(l bus.Ledger) control.Ledger {
	return control.Ledger{
		Admitted: l.Admitted, Done: l.Done, Quarantined: l.Quarantined, Expired: l.Expired, Cancelled: l.Cancelled, Dropped: l.Dropped,
		Held: l.Held, InFlight: l.InFlight, Redelivered: l.Redelivered, Balanced: l.Balanced(),
	}
}

func bodyOf(codec string, payload []byte) control.Body {
	if utf8.Valid(payload) {
		return control.Body{Codec: codec, Text: string(payload)}
	}
	return control.Body{Codec: codec, Base64: payload}
}

func (s *Server) queues(w http.ResponseWriter, _ *http.Request) error {
	out := []control.Queue{}
	for _, q := range s.cfg.Bus.Queues() {
		out = append(out, queueOf(q))
	}
	return answer(w, out)
}

// send answers POST /v1/send/STEP: the body becomes a message. With ?wait=30s the answer comes when its task has ended.
func (s *Server) send(w http.ResponseWriter, r *http.Request) error {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return invalid("cannot send more than %d bytes in one message", maxPayload)
		}
		return invalid("cannot read the payload: %v", err)
	}
	ctx, wait := r.Context(), false
	if text := r.URL.Query().Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return invalid("cannot wait for %q: want a duration like 30s", text)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
		wait = true
	}
	sent, err := s.cfg.Bus.Send(ctx, r.PathValue("step"), r.URL.Query().Get("codec"), payload, wait)
	if err != nil {
		return err
	}
	out := control.Sent{Task: sent.Task, State: sent.State, Reason: sent.Reason}
	for _, result := range sent.Results {
		out.Results = append(out.Results, bodyOf(result.Codec, result.Payload))
	}
	return answer(w, out)
}

func (s *Server) task(w http.ResponseWriter, r *http.Request) error {
	t, err := s.cfg.Bus.Task(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	out := control.Task{ID: t.ID, State: t.State, Open: t.Open, Hops: []control.Hop{}}
	for _, h := range t.Hops {
		out.Hops = append(out.Hops, control.Hop{
			ID: h.ID, Step: h.Step, State: h.State, Instance: h.Instance, Attempts: h.Attempts, Age: h.Age.Seconds(), Reason: h.Reason,
		})
	}
	return answer(w, out)
}

func quarantinedOf(q bus.Quarantined) control.Quarantined {
	out := control.Quarantined{
		ID: strconv.FormatUint(q.ID, 10), Step: q.Step, Task: q.Task, Time: q.Time, Reason: q.Reason, Attempts: q.Attempts, Crashes: q.Crashes,
		Size: q.Size, Evidence: q.Evidence,
	}
	if q.Payload != nil {
		body := bodyOf(q.Codec, q.Payload)
		out.Payload = &body
	}
	return out
}

func (s *Server) quarantineList(w http.ResponseWriter, r *http.Request) error {
	out := []control.Quarantined{}
	list, err := s.cfg.Bus.Quarantine(r.Context(), r.URL.Query().Get("step"))
	if err != nil {
		return err
	}
	for _, q := range list {
		out = append(out, quarantinedOf(q))
	}
	return answer(w, out)
}

func (s *Server) quarantineShow(w http.ResponseWriter, r *http.Request) error {
	id, err := quarantineID(r)
	if err != nil {
		return err
	}
	q, err := s.cfg.Bus.QuarantineGet(r.Context(), id)
	if err != nil {
		return err
	}
	return answer(w, quarantinedOf(q))
}

func quarantineID(r *http.Request) (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, invalid("cannot read %q as the number of a message in quarantine", r.PathValue("id"))
	}
	return id, nil
}

// quarantineChange answers retry and drop, of one id or of "all" (of one step with ?step=).
func (s *Server) quarantineChange(w http.ResponseWriter, r *http.Request) error {
	verbs := map[string]func(context.Context, uint64) error{"retry": s.cfg.Bus.QuarantineRetry, "drop": s.cfg.Bus.QuarantineDrop}
	act := verbs[r.PathValue("verb")]
	if act == nil {
		return fail(control.KindNotFound, "cannot %s what is in quarantine: retry and drop are the verbs", r.PathValue("verb"))
	}
	ids, err := s.quarantineIDs(r)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := act(r.Context(), id); err != nil {
			return err
		}
	}
	return answer(w, struct{}{})
}

func (s *Server) quarantineIDs(r *http.Request) ([]uint64, error) {
	if r.PathValue("id") != "all" {
		id, err := quarantineID(r)
		return []uint64{id}, err
	}
	list, err := s.cfg.Bus.Quarantine(r.Context(), r.URL.Query().Get("step"))
	ids := make([]uint64, len(list))
	for i, q := range list {
		ids[i] = q.ID
	}
	return ids, err
}
