package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/web/control"
)

// How much of a payload's JSON a viewer gets, in bytes.
const (
	tapCut     = 1 << 10
	mostTapCut = 64 << 10
)

// tap answers GET /v1/tap with messages on their way as server-sent events, or with counts of them every second.
func (s *Server) tap(w http.ResponseWriter, r *http.Request) error {
	q, cut, err := tapQuery(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	view, err := s.cfg.Bus.Tap(ctx, q)
	cancel()
	if err != nil {
		return s.suggestLink(err, q)
	}
	defer view.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if http.NewResponseController(w).Flush() != nil { // the viewer sees that it is on
		panic(http.ErrAbortHandler)
	}
	if q.Count {
		s.tapCounts(w, r, view)
	} else {
		s.tapMessages(w, r, view, cut)
	}
	return nil
}

func tapQuery(r *http.Request) (q bus.TapQuery, cut int, err error) {
	query := r.URL.Query()
	q = bus.TapQuery{From: query.Get("from"), To: query.Get("to"), Count: isSet(r, "count")}
	cut = tapCut
	for name, into := range map[string]*int{"sample": &q.Sample, "cut": &cut} {
		if text := query.Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 1 {
				return q, 0, invalid("cannot read %s %q: want a number from 1", name, text)
			}
		}
	}
	if text := query.Get("rate"); text != "" {
		if q.Rate, err = strconv.ParseFloat(text, 64); err != nil || !(q.Rate > 0) {
			return q, 0, invalid("cannot read rate %q: want messages a second, more than 0", text)
		}
	}
	return q, min(cut, mostTapCut), nil
}

// suggestLink adds the names close to the one that is none.
func (s *Server) suggestLink(err error, q bus.TapQuery) error {
	for _, name := range []string{q.From, q.To} {
		if name != "" && s.cfg.Supervisor.Topology().Satellite(name) == nil {
			return s.suggest(err, name)
		}
	}
	return err
}

func (s *Server) tapMessages(w http.ResponseWriter, r *http.Request, view *bus.Tap, cut int) {
	alive := time.NewTicker(streamKeepAlive)
	defer alive.Stop()
	for {
		var err error
		select {
		case m := <-view.C():
			err = writeSSE(w, "message", tappedOf(&m, cut))
		case <-alive.C:
			_, err = fmt.Fprint(w, ": alive\n\n")
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
		if err != nil || len(view.C()) == 0 && http.NewResponseController(w).Flush() != nil {
			return
		}
	}
}

func (s *Server) tapCounts(w http.ResponseWriter, r *http.Request, view *bus.Tap) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for last := time.Now(); ; {
		select {
		case <-second.C:
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
		counts, err := view.Counts(r.Context())
		if err != nil {
			return
		}
		now, rates := time.Now(), []control.LinkRate{}
		for _, c := range counts {
			rates = append(rates, control.LinkRate{From: c.From, To: c.To, Messages: c.Messages, Bytes: c.Bytes, Rate: float64(c.Messages) / now.Sub(last).Seconds()})
		}
		last = now
		if writeSSE(w, "count", rates) != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
	}
}

func writeSSE(w http.ResponseWriter, event string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, body)
	return err
}

func tappedOf(m *bus.Tapped, cut int) control.Tapped {
	out := control.Tapped{
		Time: m.Time, ID: m.ID, Task: m.Task, From: m.From, To: m.To, Instance: m.Instance, Attempt: m.Attempt, Age: m.Age.Seconds(),
		Codec: m.Codec, Size: m.Size, Skipped: m.Skipped, Lost: m.Lost,
	}
	shown, missing := codec.Cut(m.JSON(), cut)
	if missing {
		out.Cut = string(shown)
	} else {
		out.Payload = shown
	}
	return out
}
