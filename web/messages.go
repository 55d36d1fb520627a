package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

// maxPayload bounds what POST /v1/send/STEP takes: the wire's own limit for one message.
const maxPayload = 16 << 20

// admitPatience is how long a message without ?wait= may stand before a full queue.
const admitPatience = 5 * time.Second

func queueOf(q bus.QueueStatus) control.Queue {
	return control.Queue{
		Step: q.Step, Delivery: q.Delivery, Waiting: q.Waiting, Bytes: q.Bytes, InFlight: q.InFlight, Held: q.Held,
		OldestAge: q.OldestAge.Seconds(), Workers: q.Workers, Quarantine: q.Quarantine, Blocked: q.Blocked, Stuck: q.Stuck, Spilled: q.Spilled, SpillBytes: q.SpillBytes, Spills: q.Spills,
		Delayed: q.Delayed, Repeated: q.Repeated, Paused: q.Paused, Draining: q.Draining, Breaker: q.Breaker, OpenFor: q.OpenFor.Seconds(), OpenedBy: q.OpenedBy, Opened: q.Opened, Starved: q.Starved, Direct: directOf(q.Direct), Ledger: ledgerOf(q.Ledger),
	}
}

// wholeQueue is a queue with what the status of all satellites leaves out.
func wholeQueue(q bus.QueueStatus) control.Queue {
	out := queueOf(q)
	out.Limit = &control.QueueLimit{Messages: q.MaxMessages, Bytes: q.MaxBytes, Full: q.Full}
	out.Rate = &control.QueueRate{In10s: q.Short.In, Out10s: q.Short.Out, In1m: q.Long.In, Out1m: q.Long.Out}
	out.Converted, out.Misfits = q.Converted, q.Misfits
	out.BlockedBy, out.Blocks = q.BlockedBy, q.Blocks
	return out
}

func directOf(d *bus.DirectStatus) *control.Direct {
	if d == nil {
		return nil
	}
	return &control.Direct{Receivers: d.Receivers, Sent: d.Sent, Bytes: d.Bytes, Received: d.Received, Missed: d.Missed}
}

func ledgerOf(l bus.Ledger) control.Ledger {
	return control.Ledger{
		Admitted: l.Admitted, Done: l.Done, Quarantined: l.Quarantined, Expired: l.Expired, Cancelled: l.Cancelled, Dropped: l.Dropped, Diverted: l.Diverted,
		Held: l.Held, InFlight: l.InFlight, Redelivered: l.Redelivered, Balanced: l.Balanced(),
	}
}

func bodyOf(codec string, payload []byte) control.Body {
	if utf8.Valid(payload) {
		return control.Body{Codec: codec, Text: string(payload)}
	}
	return control.Body{Codec: codec, Base64: payload}
}

// resultOf is an output; what is not for people to read is there as JSON too.
func resultOf(r *bus.Result) control.Body {
	b := bodyOf(r.Codec, r.Payload)
	if r.Codec == "cbor" || r.Codec == "struct" {
		b = control.Body{Codec: r.Codec, Base64: r.Payload, JSON: r.JSON()}
	}
	return b
}

func (s *Server) queues(w http.ResponseWriter, r *http.Request) error {
	stats, err := s.stats(r.Context())
	if err != nil {
		return err
	}
	out := []control.Queue{}
	for _, q := range stats.Queues {
		out = append(out, wholeQueue(q))
	}
	return answer(w, out)
}

// send answers POST /v1/send/STEP: the body becomes a message. With ?wait=30s the answer comes when its task has ended, or
// when the wait is over; then the task is "running", which is no error.
func (s *Server) send(w http.ResponseWriter, r *http.Request) error {
	wait, err := duration(r, "wait")
	if err != nil {
		return err
	}
	payload, err := payloadOf(w, r)
	if err != nil {
		return err
	}
	patience := wait
	if wait == 0 {
		patience = admitPatience
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	opt, err := sendOptions(r)
	if err != nil {
		return err
	}
	opt.Wait = wait > 0
	sent, err := s.cfg.Bus.SendWith(ctx, r.PathValue("step"), r.URL.Query().Get("codec"), payload, opt)
	if sent.Task != "" && isTimeout(err) {
		return answer(w, control.Sent{Task: sent.Task, State: "running"})
	}
	if err != nil {
		return s.suggest(err, r.PathValue("step"))
	}
	return answer(w, sentOf(sent))
}

// suggest adds the names that are close to a step nobody knows.
func (s *Server) suggest(err error, step string) error {
	var missing *supervisor.NotFound
	if !bus.IsNotFound(err) {
		return err
	}
	if _, known := s.cfg.Supervisor.Select(step); errors.As(known, &missing) {
		return &control.Error{Kind: control.KindNotFound, Message: err.Error(), Suggest: missing.Suggest}
	}
	return err
}

func isTimeout(err error) bool {
	var carried *bus.Error
	return errors.As(err, &carried) && carried.Kind == bus.KindTimeout
}

// payloadOf reads the whole body, whose sender has a deadline only until it is read.
func payloadOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, invalid("cannot send more than %d bytes in one message", maxPayload)
	}
	if err != nil {
		return nil, invalid("cannot read the payload: %v", err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a connection that cannot do this any more is gone
	return payload, nil
}

// taskCancel ends a task and answers what became of it.
func (s *Server) taskCancel(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	if _, err := s.cfg.Bus.CancelTask(ctx, r.PathValue("id")); err != nil {
		return err
	}
	return s.task(w, r)
}

func (s *Server) task(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	t, err := s.cfg.Bus.Task(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, taskOf(&t))
}

func taskOf(t *bus.TaskStatus) control.Task {
	out := control.Task{ID: t.ID, State: t.State, Open: t.Open, Began: t.Began, Hops: []control.Hop{}}
	for _, h := range t.Hops {
		hop := control.Hop{
			ID: h.ID, Step: h.Step, State: h.State, Instance: h.Instance, Attempts: h.Attempts, Age: h.Age.Seconds(), Reason: h.Reason,
			From: h.From, Admitted: h.Admitted.Seconds(), Ended: h.Ended.Seconds(),
		}
		for _, t := range h.Tries {
			hop.Tries = append(hop.Tries, control.Try{Instance: t.Instance, Sent: t.Sent.Seconds(), Ended: t.Ended.Seconds(), Failed: t.Reason})
		}
		out.Hops = append(out.Hops, hop)
	}
	return out
}
