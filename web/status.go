package web

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, s.currentStatus())
}

// currentStatus joins what the rooms know, from their snapshots.
func (s *Server) currentStatus() control.Status {
	st := control.Status{
		Name: s.cfg.Topology.Name, Version: s.cfg.Version.Version, PID: os.Getpid(), Epoch: uint64(s.cfg.Epoch),
		Since: s.since, RunDir: s.cfg.RunDir, StateDir: s.cfg.StateDir, HTTP: s.HTTP(),
		State: s.getState(), Ready: s.readiness().Ready, Satellites: []control.Satellite{},
	}
	queues := map[string]*control.Queue{}
	for _, q := range s.cfg.Bus.Queues() {
		queue := queueOf(q)
		queue.Ledger = control.Ledger{} // GET /v1/queues tells it; here it would double the answer
		queues[queue.Step] = &queue
	}
	if len(queues) > 0 {
		ledger := ledgerOf(s.cfg.Bus.Ledger())
		st.Ledger = &ledger
	}
	for _, sat := range s.cfg.Supervisor.Snapshot() {
		st.Satellites = append(st.Satellites, satelliteOf(sat, queues[sat.Name]))
	}
	return st
}

func satelliteOf(sat supervisor.SatelliteStatus, queue *control.Queue) control.Satellite {
	out := control.Satellite{
		Name: sat.Name, Want: sat.Want.String(), State: sat.State.String(), Speaks: string(sat.Speaks), Why: sat.Why,
		Queue: queue, Instances: make([]control.Instance, len(sat.Instances)),
	}
	for i, in := range sat.Instances {
		out.Instances[i] = control.Instance{
			WID: in.Ref.WID, State: in.State.String(), PID: in.PID, Incarnation: uint64(in.Inc), Restarts: in.Restarts,
			Since: in.Since, Why: in.Why, LastExit: in.LastExit,
		}
	}
	return out
}

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
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	if !flag(r, "follow") {
		for _, line := range s.cfg.Supervisor.Logs(refs, n) {
			if out.Encode(lineOf(line)) != nil {
				return nil
			}
		}
		return nil
	}
	stream := http.NewResponseController(w)
	lines := s.cfg.Supervisor.Follow(r.Context(), refs, n)
	for {
		if len(lines) == 0 && stream.Flush() != nil {
			return nil
		}
		select {
		case line, ok := <-lines:
			if !ok || out.Encode(lineOf(line)) != nil {
				return nil
			}
		case <-s.closing:
			return nil
		}
	}
}

func lineOf(l supervisor.Line) control.LogLine {
	return control.LogLine{Seq: l.Seq, Time: l.Time, Name: l.Ref.Name, WID: l.Ref.WID, Stream: string(l.Stream), Text: l.Text, Lost: uint64(l.Lost)}
}
