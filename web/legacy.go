package web

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

func (s *Server) legacy(w http.ResponseWriter, r *http.Request) error {
	st, err := s.cfg.Bus.Legacy(r.Context())
	if err != nil {
		return err
	}
	return answer(w, legacyOf(st))
}

func legacyOf(st *bus.LegacyStatus) control.Legacy {
	out := control.Legacy{Ports: []control.LegacyPort{}, Steps: []control.LegacyStep{}}
	if st == nil {
		return out
	}
	out.Where = st.Where
	for i := range st.Ports {
		p := &st.Ports[i]
		out.Ports = append(out.Ports, control.LegacyPort{Links: p.Links, Endpoint: p.Endpoint, Socket: p.Socket, Bound: p.Bound, End: p.End, In: p.In, Out: p.Out,
			Waiting: p.Waiting, Paused: p.Paused, Malformed: p.Malformed, Refused: p.Refused, Peers: p.Peers, Last: p.Last})
	}
	for _, e := range st.Steps {
		step := control.LegacyStep{Name: e.Name, Fed: e.Fed, Open: e.Open, Sent: e.Sent, Handled: e.Handled, Doubted: e.Doubted, Errors: e.Errors, Late: e.Late,
			Twice: e.Twice, Seen: e.Seen, Lives: []control.LegacyLife{}}
		for _, l := range e.Lives {
			pid, _ := strconv.Atoi(l.PID)
			step.Lives = append(step.Lives, control.LegacyLife{Instance: l.Instance, PID: pid, Handled: l.Handled, Silent: l.Silent.Seconds()})
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// legacyMetrics count what comes and goes by [bus.v1]. Their labels are names of links and steps, and the closed sets of reasons.
type legacyMetrics struct {
	in, out, malformed, refused, waiting, errors, late *prometheus.Desc
}

func describeLegacy(desc func(name, help string, labels ...string) *prometheus.Desc) legacyMetrics {
	return legacyMetrics{
		in:        desc("legacy_received_vectors_total", "Vectors of DSAT 0.6 that came through the link.", "link"),
		out:       desc("legacy_sent_vectors_total", "Vectors of DSAT 0.6 that were sent through the link.", "link"),
		malformed: desc("legacy_malformed_vectors_total", "Vectors that could not be read.", "link", "reason"),
		refused:   desc("legacy_refused_vectors_total", "Vectors that could be read and were not taken.", "link", "reason"),
		waiting:   desc("legacy_waiting_vectors", "Vectors that came and are not admitted, or are not sent yet.", "link"),
		errors:    desc("legacy_errors_total", "ERRORs that satellites of the step have reported.", "step"),
		late:      desc("legacy_late_reports_total", "Reports of satellites of the step about what nobody has in hand.", "step"),
	}
}

func (c *collector) legacyDoor(ch chan<- prometheus.Metric, st *bus.LegacyStatus) {
	if st == nil {
		return
	}
	m := &c.legacy
	for i := range st.Ports {
		p := &st.Ports[i]
		link := p.Links[0]
		counter(ch, m.in, float64(p.In), link)
		counter(ch, m.out, float64(p.Out), link)
		gauge(ch, m.waiting, float64(p.Waiting), link)
		for reason, n := range p.Malformed {
			counter(ch, m.malformed, float64(n), link, reason)
		}
		for reason, n := range p.Refused {
			counter(ch, m.refused, float64(n), link, reason)
		}
	}
	for _, e := range st.Steps {
		counter(ch, m.errors, float64(e.Errors), e.Name)
		counter(ch, m.late, float64(e.Late), e.Name)
	}
}
