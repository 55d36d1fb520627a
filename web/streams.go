package web

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

// streams answers GET /v1/streams?pattern=.
func (s *Server) streams(w http.ResponseWriter, r *http.Request) error {
	list, err := s.cfg.Bus.Streams(r.Context(), r.URL.Query().Get("pattern"))
	if err != nil {
		return err
	}
	out := []control.Stream{}
	for _, st := range list {
		x := control.Stream{
			Name: st.Name, Satellite: st.Satellite, First: st.First, Last: st.Last, Bytes: st.Bytes, Lost: st.Lost, Full: st.Full, Fault: st.Fault,
			Rate10s: st.Short, Rate1m: st.Long, Readers: st.Readers, Age: st.Retain.Age.Seconds(), Size: st.Retain.Size, Count: st.Retain.Count,
		}
		if st.Last >= st.First && !st.Oldest.IsZero() {
			x.Messages, x.Oldest, x.Newest = st.Last-st.First+1, &st.Oldest, &st.Newest
		}
		out = append(out, x)
	}
	return answer(w, out)
}

// streamMessages answers GET /v1/streams/messages with kept messages, one JSON object a line. An answer that is cut off is no whole one.
func (s *Server) streamMessages(w http.ResponseWriter, r *http.Request) error {
	q, err := streamQuery(r, time.Now())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("Cache-Control", "no-store")
	buffered := bufio.NewWriterSize(w, 64<<10)
	out := json.NewEncoder(buffered)
	begun := false
	_, err = s.cfg.Bus.ReadStreams(r.Context(), q, func(e *bus.StreamEntry) error {
		begun = true
		return out.Encode(control.StreamMessage{
			Stream: e.Stream, Seq: e.Seq, Time: e.Time, Step: e.Step, Task: e.TaskID(), Codec: e.CodecName(), Format: e.Format, Payload: e.JSON(), Raw: e.Payload,
		})
	})
	if err != nil && !begun {
		return err
	}
	if err != nil || buffered.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func streamQuery(r *http.Request, now time.Time) (q bus.StreamQuery, err error) {
	v := r.URL.Query()
	q = bus.StreamQuery{Pattern: v.Get("pattern"), Where: v.Get("where")}
	for name, at := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if *at, err = moment(v.Get(name), now); err != nil {
			return q, invalid("cannot read %s=%q: want a time like %s, or how long ago, like 10m", name, v.Get(name), now.UTC().Format(time.RFC3339))
		}
	}
	if text := v.Get("seq"); text != "" {
		if q.Seq, err = strconv.ParseUint(text, 10, 64); err != nil {
			return q, invalid("cannot read seq=%q: want the number of a message", text)
		}
	}
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 0 {
			return q, invalid("cannot read limit=%q: want a number from 0", text)
		}
	}
	if len(q.Where) > longestWhere {
		return q, invalid("cannot use a condition of %d bytes: at most %d", len(q.Where), longestWhere)
	}
	return q, nil
}

const longestWhere = 4 << 10

// streamDescs are the metrics of the retained streams.
type streamDescs struct{ messages, bytes, lost, full, written *prometheus.Desc }

func newStreamDescs(desc func(name, help string, labels ...string) *prometheus.Desc) streamDescs {
	return streamDescs{
		messages: desc("stream_messages", "Messages kept in the stream.", "stream"),
		bytes:    desc("stream_bytes", "Bytes of records kept in the stream.", "stream"),
		lost:     desc("stream_lost_messages_total", "Messages not kept, because the disk was full or too slow.", "stream"),
		written:  desc("stream_written_messages_total", "Messages that were ever written to the stream: the number of its newest.", "stream"),
		full:     desc("stream_full", "1 while the stream keeps nothing.", "stream"),
	}
}

func (d *streamDescs) collect(ch chan<- prometheus.Metric, all []bus.StreamGauge) {
	for _, s := range all {
		gauge(ch, d.messages, float64(s.Messages), s.Name)
		gauge(ch, d.bytes, float64(s.Bytes), s.Name)
		counter(ch, d.lost, float64(s.Lost), s.Name)
		counter(ch, d.written, float64(s.Last), s.Name)
		gauge(ch, d.full, one(s.Full), s.Name)
	}
}
