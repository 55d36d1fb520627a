package topology

import "fmt"

// direct notes which links to satellites with delivery = "direct" cannot be direct, and go through dsatd.
func (r *rules) direct() {
	for _, to := range r.t.Satellites {
		if to.Queue.Delivery != DeliveryDirect {
			continue
		}
		if why := to.notDirect(); why != "" {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s: delivery = \"direct\" is tracked here: %s", to.Name, why))
			continue
		}
		for _, from := range r.t.Satellites {
			if why := from.notDirectTo(to); why != "" {
				r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s -> %s goes through dsatd, tracked, although the delivery of %s is direct: %s", from.Name, to.Name, to.Name, why))
			}
		}
	}
}

// ownSockets reports whether the processes of s open ZeroMQ sockets themselves.
func (s *Satellite) ownSockets() bool { return s.Speaks == SpeaksBus && s.Plugin == "" }

// notDirect is why nothing can come to s directly; "" when it can.
func (s *Satellite) notDirect() string {
	switch {
	case s.Plugin != "":
		return s.Name + " is a plugin, whose only connection is the one to dsatd"
	case !s.ownSockets():
		return fmt.Sprintf("%s speaks %q, and opens no sockets itself", s.Name, s.Speaks)
	case s.Work.Key != "" || s.Work.Rate.N > 0 || s.Work.Concurrency > 0:
		return "work.key, work.rate and work.concurrency want a queue that dsatd gives from"
	}
	return ""
}

// notDirectTo is why messages of s to another satellite cannot go directly; "" when they can, or when there is no such link.
func (s *Satellite) notDirectTo(to *Satellite) string {
	linked := false
	for _, name := range s.Sends() {
		linked = linked || name == to.Name
	}
	switch {
	case !linked:
		return ""
	case s.Plugin != "":
		return s.Name + " is a plugin, whose only connection is the one to dsatd"
	case !s.ownSockets():
		return fmt.Sprintf("%s speaks %q, and opens no sockets itself", s.Name, s.Speaks)
	case s.Retain.Stream != "":
		return "what " + s.Name + " puts out is retained"
	case s.Process.User != to.Process.User:
		return "they are different users'"
	}
	if s.Converts(to) {
		return "what it sends has to be converted, which dsatd does"
	}
	for _, l := range s.To {
		if !l.Plain() {
			return "its links have conditions, which dsatd judges"
		}
	}
	if s.Route.Mode == RouteFirst || s.Route.Mode == RouteHash {
		return fmt.Sprintf("dsatd chooses among its links (route.mode = %q)", s.Route.Mode)
	}
	return ""
}
