package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// logs answers with the newest captured lines, and with those to come when ?follow is set, one JSON object a line.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
	if err != nil {
		return err
	}
	n := 100
	if text := r.URL.Query().Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return invalid("cannot show %q lines: want a number from 0", text)
		}
	}
	if isSet(r, "follow") {
		s.followLogs(w, r, refs, n)
		return nil
	}
	var body bytes.Buffer
	out := json.NewEncoder(&body)
	for _, line := range s.cfg.Supervisor.Logs(refs, n) {
		if err := out.Encode(lineOf(line)); err != nil {
			return fmt.Errorf("cannot write the lines: %w", err)
		}
	}
	write(w, http.StatusOK, linesType, body.Bytes())
	return nil
}

// linesType is one JSON value a line.
const linesType = "application/x-ndjson"

// followLogs writes lines until the caller or the daemon goes. An empty line says that the stream is alive.
func (s *Server) followLogs(w http.ResponseWriter, r *http.Request, refs []topology.Ref, n int) {
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("Cache-Control", "no-store")
	out, stream := json.NewEncoder(w), http.NewResponseController(w)
	lines := s.cfg.Supervisor.Follow(r.Context(), refs, n)
	alive := time.NewTicker(streamKeepAlive)
	defer alive.Stop()
	for {
		if stream.Flush() != nil {
			return
		}
		select {
		case line, ok := <-lines:
			if !ok || out.Encode(lineOf(line)) != nil || !moreLines(out, lines) {
				return
			}
		case <-alive.C:
			if _, err := w.Write([]byte{'\n'}); err != nil {
				return
			}
		case <-s.closing:
			return
		}
	}
}

// linesPerFlush is how many lines that are there already go out together.
const linesPerFlush = 256

// moreLines writes what is there without waiting; false means that the stream is over.
func moreLines(out *json.Encoder, lines <-chan supervisor.Line) bool {
	for range linesPerFlush {
		select {
		case line, ok := <-lines:
			if !ok || out.Encode(lineOf(line)) != nil {
				return false
			}
		default:
			return true
		}
	}
	return true
}

func lineOf(l supervisor.Line) control.LogLine {
	return control.LogLine{Seq: l.Seq, Time: l.Time, Name: l.Ref.Name, WID: l.Ref.WID, Stream: string(l.Stream), Text: l.Text, Lost: uint64(l.Lost)}
}
