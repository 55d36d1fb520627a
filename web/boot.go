package web

import (
	"net/http"
	"time"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

func (s *Server) boot(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, bootOf(s.cfg.Supervisor.Booted()))
}

func bootOf(b supervisor.BootReport) control.Boot {
	out := control.Boot{Began: b.Began, Over: !b.Ended.IsZero(), StartConcurrency: b.Places, Chain: refs(b.Chain), Instances: []control.BootInstance{}}
	at := func(t time.Time) *float64 {
		if t.IsZero() {
			return nil
		}
		seconds := max(t.Sub(b.Began), 0).Seconds()
		return &seconds
	}
	for n := range b.Instances {
		e := &b.Instances[n]
		in := control.BootInstance{
			Name: e.Ref.String(), State: bootState(e), Asked: *at(e.Asked), Opened: at(e.Opened), Spawned: at(e.Spawned), Ready: at(e.Ready),
			Took: e.Took().Seconds(), Spawns: e.Spawns,
		}
		for _, w := range e.Waits {
			in.Waits = append(in.Waits, control.BootWait{For: waitedFor(&w), By: refs(w.By), From: *at(w.From), Until: at(w.Until)})
		}
		if in.Ready != nil {
			out.Total = max(out.Total, *in.Ready)
		}
		out.Instances = append(out.Instances, in)
	}
	return out
}

func bootState(e *supervisor.BootInstance) string {
	switch {
	case e.Adopted:
		return "taken back"
	case e.Done:
		return "done"
	case !e.Ready.IsZero():
		return "ready"
	case !e.Failed.IsZero():
		return "failed"
	case e.Opened.IsZero():
		return "waiting"
	}
	return "starting"
}

func waitedFor(w *supervisor.BootWait) string {
	switch {
	case w.Turn:
		return "place"
	case w.For == "":
		return "group"
	}
	return w.For + ":" + w.Stage
}
