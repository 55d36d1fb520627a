package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// lasting are the states and stages one can wait for: an instance stays in them until something happens.
var lasting = map[string]func(supervisor.InstanceStatus) bool{
	"running": is(supervisor.Running), "stopped": is(supervisor.Stopped), "exited": is(supervisor.Exited), "fatal": is(supervisor.Fatal),
	"ready": func(in supervisor.InstanceStatus) bool { return in.State == supervisor.Running && !in.Unready },
	"healthy": func(in supervisor.InstanceStatus) bool {
		return in.State == supervisor.Running && (in.Health == supervisor.Healthy || in.Health == supervisor.Unchecked)
	},
	"done": func(in supervisor.InstanceStatus) bool { return in.State == supervisor.Exited && in.Success },
}

func is(state supervisor.State) func(supervisor.InstanceStatus) bool {
	return func(in supervisor.InstanceStatus) bool { return in.State == state }
}

// wait answers when all named instances are in the state of ?for=, or with an error after ?timeout=. It looks again when an
// event says that something has changed.
func (s *Server) wait(w http.ResponseWriter, r *http.Request) error {
	state := r.URL.Query().Get("for")
	met, ok := lasting[state]
	if !ok {
		return invalid("cannot wait for %q: want ?for= running, ready, healthy, done, stopped, exited or fatal", state)
	}
	refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
	if err != nil {
		return err
	}
	ctx, cancel, err := timeout(r)
	if err != nil {
		return err
	}
	defer cancel()
	for {
		changed := s.hub.Changed()
		now := s.states(refs)
		if settled(now, met) {
			return answer(w, changeOf(now))
		}
		select {
		case <-changed:
		case <-s.closing:
			return fail(control.KindUnavailable, "cannot wait longer: the daemon is ending")
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return unsettled(now, state, met)
			}
			return ctx.Err()
		}
	}
}

// states are the instances as they are. One that was scaled away meanwhile has stopped for good.
func (s *Server) states(refs []topology.Ref) []supervisor.InstanceStatus {
	known := make(map[topology.Ref]supervisor.InstanceStatus)
	for _, sat := range s.cfg.Supervisor.Snapshot() {
		for _, in := range sat.Instances {
			known[in.Ref] = in
		}
	}
	out := make([]supervisor.InstanceStatus, len(refs))
	for i, ref := range refs {
		out[i] = known[ref]
		out[i].Ref = ref
	}
	return out
}

func settled(now []supervisor.InstanceStatus, met func(supervisor.InstanceStatus) bool) bool {
	for _, in := range now {
		if !met(in) {
			return false
		}
	}
	return true
}

// unsettled names what the timeout did not leave the time for.
func unsettled(now []supervisor.InstanceStatus, state string, met func(supervisor.InstanceStatus) bool) error {
	const most = 5
	var open []string
	for _, in := range now {
		if !met(in) {
			what := in.State.String()
			if in.State == supervisor.Running && in.Health != supervisor.Unchecked {
				what += " and " + in.Health.String()
			}
			open = append(open, fmt.Sprintf("%s is %s", in.Ref, what))
		}
	}
	who := strings.Join(open[:min(len(open), most)], ", ")
	if len(open) > most {
		who += fmt.Sprintf(" and %d more are not there yet", len(open)-most)
	}
	return fail(control.KindTimeout, "cannot wait longer for %s: %s", state, who)
}

func changeOf(now []supervisor.InstanceStatus) control.Change {
	out := control.Change{Instances: make([]control.ChangedInstance, len(now))}
	for i, in := range now {
		out.Instances[i] = control.ChangedInstance{Name: in.Ref.Name, WID: in.Ref.WID, State: in.State.String(), PID: in.PID}
	}
	return out
}
