package web

import (
	"context"
	"net/http"
	"os"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	return answer(w, s.currentStatus(r.Context()))
}

// stats asks the bus, and waits as long as a loop that works may need.
func (s *Server) stats(ctx context.Context) (bus.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, loopPatience)
	defer cancel()
	return s.cfg.Bus.Stats(ctx)
}

// currentStatus joins what the rooms know, from their snapshots. Without an answer of the bus it tells the rest.
func (s *Server) currentStatus(ctx context.Context) control.Status {
	st := control.Status{
		Name: s.cfg.Supervisor.Topology().Name, Version: s.cfg.Version.Version, PID: os.Getpid(), Epoch: uint64(s.cfg.Epoch),
		Since: s.since, RunDir: s.cfg.RunDir, StateDir: s.cfg.StateDir, HTTP: s.HTTP(),
		State: s.State(), Ready: s.readiness().Ready, Satellites: []control.Satellite{},
	}
	stats, err := s.stats(ctx)
	if err != nil {
		st.Why = "queues and ledger are not known: " + err.Error()
	}
	queues := map[string]*control.Queue{}
	for _, q := range stats.Queues {
		queue := queueOf(q)
		queue.Ledger = control.Ledger{} // GET /v1/queues tells it; here it would double the answer
		queues[queue.Step] = &queue
	}
	st.Journal = journalBrief(stats.Journal)
	if len(queues) > 0 {
		ledger := ledgerOf(stats.Ledger)
		st.Ledger = &ledger
	}
	for _, sat := range s.cfg.Supervisor.Snapshot() {
		st.Satellites = append(st.Satellites, satelliteOf(sat, queues[sat.Name]))
	}
	return st
}

func satelliteOf(sat supervisor.SatelliteStatus, queue *control.Queue) control.Satellite {
	out := control.Satellite{
		Name: sat.Name, Want: sat.Want.String(), State: sat.State.String(), Speaks: string(sat.Speaks), Why: sat.Why, Group: sat.Group,
		Queue: queue, Instances: make([]control.Instance, len(sat.Instances)),
	}
	for _, e := range sat.Schedules {
		out.Schedules = append(out.Schedules, control.Schedule{
			Name: e.Name, Cron: e.Cron, Every: e.Every.Seconds(), Action: e.Action, Next: e.Next, Last: e.Last, Owed: e.Owed, Waiting: e.Waiting, Note: e.Note,
		})
	}
	if r := sat.LastRun; r != nil {
		out.LastRun = &control.Run{Began: r.Began, Ended: r.Ended, Well: r.Well, Result: r.Result}
	}
	for i, in := range sat.Instances {
		out.Instances[i] = control.Instance{
			WID: in.Ref.WID, State: in.State.String(), LogLost: in.LogLost, LogDropped: in.LogSuppressed, PID: in.PID, Incarnation: uint64(in.Inc), Restarts: in.Restarts, Recycles: in.Recycles,
			Since: in.Since, Why: in.Why, LastExit: in.LastExit, Said: in.Said, Reloading: in.Reloading, Health: in.Health.String(), Unready: in.Unready,
		}
	}
	return out
}
