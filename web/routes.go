package web

import (
	"context"
	"net/http"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

// routeTable answers GET /v1/routes.
func (s *Server) routeTable(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	all, err := s.cfg.Bus.Routes(ctx)
	if err != nil {
		return err
	}
	origins := map[string]string{}
	if s.cfg.Change != nil {
		settings, err := s.cfg.Change.Config("*")
		if err != nil {
			return err
		}
		for _, o := range settings {
			if o.Key == "to" {
				origins[o.Satellite] = o.Origin
			}
		}
	}
	out := control.Routes{Version: all.Version, Steps: []control.Route{}}
	for _, st := range all.Steps {
		out.Steps = append(out.Steps, routeOf(st, origins[st.Step]))
	}
	return answer(w, out)
}

func routeOf(st bus.RouteStatus, origin string) control.Route {
	out := control.Route{Step: st.Step, Mode: string(st.Mode), By: st.By, Origin: origin, Unrouted: st.Unrouted, Failed: st.Failed, LastError: st.LastError,
		Links: []control.Link{}}
	for _, l := range st.Links {
		out.Links = append(out.Links, control.Link{To: l.To, When: l.When, OneIn: l.OneIn, Sample: l.Sample, Fallback: l.Fallback, Errors: l.Errors,
			Key: l.Key, MoveTo: l.Move.To, Percent: l.Move.Percent, Mirror: l.Mirror, Taken: l.Taken, Skipped: l.Skipped, Failed: l.Failed,
			LastError: l.LastError, Others: l.Others})
	}
	return out
}
