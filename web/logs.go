package web

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/web/control"
)

// logs answers with captured lines, from memory and from files, and with those to come when ?follow is set, one JSON object a line.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	refs, err := s.cfg.Supervisor.SelectLogs(r.PathValue("names"))
	if err != nil {
		return err
	}
	q, err := logQuery(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	q.Refs = refs
	if isSet(r, "follow") {
		s.followLogs(w, r, q)
		return nil
	}
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("Cache-Control", "no-store")
	buffered := bufio.NewWriterSize(w, 32<<10)
	out := json.NewEncoder(buffered)
	for line := range s.cfg.Supervisor.ReadLogs(r.Context(), q) {
		if out.Encode(lineOf(line)) != nil {
			return nil // the caller has gone
		}
	}
	_ = buffered.Flush() // or it has gone now
	return nil
}

const (
	defaultLines = 100
	longestGrep  = 1024
)

// logQuery reads what is asked for.
func logQuery(v url.Values, now time.Time) (q logs.Query, err error) {
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if *at, err = moment(v.Get(name), now); err != nil {
			return q, invalid("cannot read %s=%q: want a time like %s, or how long ago, like 10m", name, v.Get(name), now.UTC().Format(time.RFC3339))
		}
	}
	switch text := v.Get("n"); {
	case text == "" && v.Get("since") == "" && v.Get("until") == "":
		q.Newest = defaultLines
	case text == "" || text == "all":
		q.Newest = -1
	default:
		if q.Newest, err = strconv.Atoi(text); err != nil || q.Newest < 0 {
			return q, invalid("cannot show %q lines: want a number from 0, or all", text)
		}
	}
	if text := v.Get("grep"); text != "" {
		if q.Grep, err = regexp.Compile(text); err != nil || len(text) > longestGrep {
			return q, invalid("cannot search for %.80q: want a regular expression (RE2) of at most %d bytes", text, longestGrep)
		}
	}
	switch stream := logs.Stream(v.Get("stream")); stream {
	case "", logs.Stdout, logs.Stderr:
		q.Stream = stream
	default:
		return q, invalid("cannot show stream %q: want stdout or stderr", stream)
	}
	return q, nil
}

// moment is a time, or a duration before now; zero when nothing is said.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

// linesType is one JSON value a line.
const linesType = "application/x-ndjson"

// followLogs writes lines until the caller or the daemon goes. An empty line says that the stream is alive.
func (s *Server) followLogs(w http.ResponseWriter, r *http.Request, q logs.Query) {
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("Cache-Control", "no-store")
	out, stream := json.NewEncoder(w), http.NewResponseController(w)
	lines := s.cfg.Supervisor.Follow(r.Context(), q)
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
func moreLines(out *json.Encoder, lines <-chan logs.Line) bool {
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

func lineOf(l logs.Line) control.LogLine {
	return control.LogLine{Seq: l.Seq, Time: l.Time, Name: l.Ref.Name, WID: l.Ref.WID, Stream: string(l.Stream), Text: l.Text, Lost: uint64(l.Lost)}
}
