package topology

import (
	"slices"
	"strings"
)

// socketKey takes "socket.web.listen" apart.
func socketKey(label string) (name, key string, ok bool) {
	parts := strings.Split(label, ".")
	if len(parts) != 3 || parts[0] != "socket" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// firmSocket reports that a key of a socket which is there before and after cannot change while it is open.
func firmSocket(p *Plan, label string) bool {
	name, key, ok := socketKey(label)
	return ok && p.Old.Socket(name) != nil && p.New.Socket(name) != nil &&
		slices.Contains([]string{"per_instance", "reuse_port", "ipv6_only", "free_bind", "transparent", "start"}, key)
}

// elsewhere lists the granted sockets of a satellite that will listen on another address, as changes of the satellite: its processes
// have to be started anew to be given them.
func (p *Plan) elsewhere(s *Satellite) []KeyChange {
	var out []KeyChange
	for _, name := range s.Sockets {
		if old, now := p.Old.Socket(name), p.New.Socket(name); old != nil && now != nil && old.Listen != now.Listen {
			out = append(out, KeyChange{Key: "socket." + name + ".listen", Old: quote(old.Listen, true), New: quote(now.Listen, true), Restart: true})
		}
	}
	return out
}

// allSockets are those of New, and those of Old that it does not have: for the time in which both are in use.
func (p *Plan) allSockets() []*Socket {
	out := slices.Clone(p.New.Sockets)
	for _, s := range p.Old.Sockets {
		if p.New.Socket(s.Name) == nil {
			out = append(out, s)
		}
	}
	return out
}
