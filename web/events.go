package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/dsat/dsat/web/control"
)

// streamKeepAlive is how often an idle stream says that it is alive, so that a dead client is noticed.
const streamKeepAlive = 15 * time.Second

// events answers GET /events as server-sent events, resumable by Last-Event-ID or ?since=.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("since")
	}
	var seq uint64
	if from != "" {
		var err error
		if seq, err = s.hub.ParseID(from); err != nil {
			return invalid("%v", err)
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	more := s.writeEvents(w, &seq)
	if r.URL.Query().Get("follow") == "0" {
		return nil
	}
	for more != nil && s.waitStream(w, r, more) {
		more = s.writeEvents(w, &seq)
	}
	return nil
}

// writeEvents writes the kept events after seq, which it moves on. The channel is closed when there are more; nil means that
// the caller is gone.
func (s *Server) writeEvents(w http.ResponseWriter, seq *uint64) <-chan struct{} {
	events, more := s.hub.Since(*seq)
	for _, e := range events {
		if s.writeEvent(w, e) != nil {
			return nil
		}
		*seq = e.Seq
	}
	if http.NewResponseController(w).Flush() != nil {
		return nil
	}
	return more
}

func (s *Server) writeEvent(w http.ResponseWriter, e control.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", s.hub.ID(e.Seq), e.Kind, body)
	return err
}

// waitStream waits for more; false means that the stream is over.
func (s *Server) waitStream(w http.ResponseWriter, r *http.Request, more <-chan struct{}) bool {
	for {
		select {
		case <-more:
			return true
		case <-r.Context().Done():
			return false
		case <-s.closing:
			return false
		case <-time.After(streamKeepAlive):
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil || http.NewResponseController(w).Flush() != nil {
				return false
			}
		}
	}
}
