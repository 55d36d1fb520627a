package web

import (
	"net/http"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

func (s *Server) sockets(w http.ResponseWriter, _ *http.Request) error {
	out := control.Sockets{Sockets: []control.Socket{}, Stored: []control.Stored{}}
	for _, k := range s.cfg.Supervisor.Sockets() {
		out.Sockets = append(out.Sockets, socketOf(k))
	}
	for _, d := range s.cfg.Supervisor.Stored() {
		out.Stored = append(out.Stored, control.Stored{Instance: d.Ref.String(), Names: d.Names})
	}
	return answer(w, out)
}

func socketOf(k supervisor.SocketStatus) control.Socket {
	out := control.Socket{
		Name: k.Name, Network: k.Network, Address: k.Address, State: "closed", FD: k.FD, Satellites: append([]string{}, k.Satellites...),
		Holders: refs(k.Holders), Listening: refs(k.Listening), Waiting: k.Waiting, Backlog: k.Backlog,
	}
	if k.Of != (topology.Ref{}) {
		out.Instance = k.Of.String()
	}
	switch {
	case len(k.Listening) > 0:
		out.State = "on-demand"
	case k.Open:
		out.State = "open"
	}
	return out
}

func refs(all []topology.Ref) []string {
	out := make([]string, 0, len(all))
	for _, r := range all {
		out = append(out, r.String())
	}
	return out
}
