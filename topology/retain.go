package topology

import (
	"regexp"
	"time"
)

// Retain is what is kept of what a satellite puts out, to be read again.
type Retain struct {
	Stream string        // path of the stream; "": nothing is kept
	Age    time.Duration // kept so long at least; 0: age does not matter
	Size   int64         // bytes kept at least
	Count  int           // messages kept at least
}

func retainKeys() *key {
	bounded := func(what string) string { return what + ", at least: what is older goes a segment at a time." }
	return &key{name: "retain", kind: tableKind{}, short: "age", own: true, applies: whenEmits, doc: "Keeps what it puts out on disk, as a stream that `dsatctl replay` reads again, by time or number. Of several bounds the narrowest holds.", aka: []string{"retention", "stream"}, keys: []*key{
		{name: "stream", kind: textKind{}, def: `""`, auto: "TOPOLOGY/NAME when there is a bound; else nothing is kept", doc: "Path of the stream, as in probe/host/cpu. With it and without a bound all is kept for ever.", aka: []string{"path", "name", "channel"},
			field: sat(func(s *Satellite) any { return &s.Retain.Stream })},
		{name: "age", kind: durationKind{}, def: `"0s"`, doc: bounded("How long"), aka: []string{"max_age", "for", "ttl"}, field: sat(func(s *Satellite) any { return &s.Retain.Age })},
		{name: "size", kind: sizeKind{}, def: `"0B"`, min: 0, max: 1 << 50, doc: bounded("How many bytes"), aka: []string{"max_bytes", "max_size"}, field: sat(func(s *Satellite) any { return &s.Retain.Size })},
		{name: "count", kind: wholeKind{}, def: "0", min: 0, max: 1 << 50, doc: bounded("How many messages"), aka: []string{"max_count", "messages", "max_messages"}, field: sat(func(s *Satellite) any { return &s.Retain.Count })},
	}}
}

// streamPath is a path of words.
var streamPath = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)

// retained checks the names of streams, and names those that have none.
func (r *rules) retained() {
	by := map[string]string{}
	for _, s := range r.t.Satellites {
		said := r.said[s.Name].find("retain")
		if said == nil {
			continue
		}
		at := orElse(said.find("stream"), said).pos
		if s.Retain.Stream == "" {
			if s.Retain == (Retain{}) {
				continue
			}
			s.Retain.Stream = r.t.Name + "/" + s.Name
		}
		name := s.Retain.Stream
		switch {
		case len(name) > 120 || !streamPath.MatchString(name):
			r.add(at, "as in probe/host/cpu", "retain.stream %q wants words of letters, digits, _, . and - with / between them, 120 characters at most", shorten(name))
		case by[name] != "":
			r.add(at, "", "stream %s is that of %s already", name, by[name])
		default:
			by[name] = s.Name
		}
	}
}
