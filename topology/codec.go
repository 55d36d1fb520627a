package topology

import (
	"fmt"
	"slices"

	"github.com/dsat/dsat/bus/codec"
)

// emitsKey and acceptsKey say how a satellite writes what it puts out, and how it wants to read what it gets.
func emitsKey() *key {
	return &key{name: "emits", kind: tableKind{}, short: "codec", own: true, applies: whenEmits, aka: []string{"produces", "writes", "encoding", "serialization", "content_type"},
		doc:  "How it writes what it puts out: what it emits, its outputs and its calls. It counts where a payload does not say so itself: bytes that an SDK calls raw or struct, and what filters put out. Receivers that accept something else get it converted.",
		keys: formatKeys(func(s *Satellite) *codec.Spec { return &s.Emits })}
}

func acceptsKey() *key {
	return &key{name: "accepts", kind: tableKind{}, short: "codec", own: true, applies: whenFed, aka: []string{"consumes", "reads", "decoding"},
		doc: "How it wants to read what it gets, answers to its calls too. What is written otherwise is converted on its way there, and what cannot be converted goes to quarantine, with both formats and the place in it. " +
			"Without it a satellite gets payloads as they were written; but filters that speak json or lines get cbor and struct as JSON.",
		keys: formatKeys(func(s *Satellite) *codec.Spec { return &s.Accepts })}
}

func formatKeys(of func(*Satellite) *codec.Spec) []*key {
	return []*key{
		{name: "codec", kind: enumKind{}, auto: "struct where there is a format", choices: []choice{
			{value: "raw", doc: "bytes that mean nothing to dsat"}, {value: "text", doc: "UTF-8"}, {value: "json", doc: "one JSON value"},
			{value: "cbor", doc: "one CBOR item (RFC 8949)"}, {value: "struct", doc: "a C struct, by its format"},
		}, doc: "The codec.", aka: []string{"type", "encoding"}, field: sat(func(s *Satellite) any { return &of(s).Name }), dropped: whenSet},
		{name: "format", kind: textKind{}, doc: "Of struct: a format of Python's module struct, as \"<Id\". Without a mark, or with @, it is the C layout of this machine.", aka: []string{"fmt", "layout", "struct"},
			field: sat(func(s *Satellite) any { return &of(s).Format }), dropped: whenSet},
		{name: "fields", kind: stepsKind{}, doc: "Of struct: the names of its items, or of its values, in their order: payload.load in conditions and JSON. Without names a struct is a list.", aka: []string{"names", "members", "columns"},
			field: sat(func(s *Satellite) any { return &of(s).Fields }), dropped: whenSet},
	}
}

// Writes is how s writes what does not say so itself; its Name is "" where nobody knows.
func (s *Satellite) Writes() codec.Spec {
	switch {
	case s.Emits.Name != "":
		return s.Emits
	case s.Speaks == SpeaksJSON:
		return codec.Spec{Name: "json"}
	case s.Speaks == SpeaksLines:
		return codec.Spec{Name: "text"}
	}
	return codec.Spec{}
}

// Reads is how s wants to read what it gets; its Name is "" where that does not matter. Strictly: it gets nothing else. A filter that
// says nothing gets what no filter can read in the form of its lines, and all else as it is.
func (s *Satellite) Reads() (spec codec.Spec, strictly bool) {
	switch {
	case s.Accepts.Name == "raw":
		return codec.Spec{}, false
	case s.Accepts.Name != "":
		return s.Accepts, true
	case s.Speaks == SpeaksJSON:
		return codec.Spec{Name: "json"}, false
	case s.Speaks == SpeaksLines:
		return codec.Spec{Name: "text"}, false
	}
	return codec.Spec{}, false
}

// Converts reports whether what s sends to another may have to be written anew on its way, which dsatd does.
func (s *Satellite) Converts(to *Satellite) bool {
	reads, strictly := to.Reads()
	switch {
	case reads.Name == "" || s.Writes().Equal(reads):
		return false
	case strictly:
		return true
	}
	w := s.Writes().Name
	return w == "cbor" || w == "struct"
}

// codecs checks what satellites emit and accept, each by itself and both ends of each link.
func (r *rules) codecs() {
	for _, s := range r.t.Satellites {
		said := r.said[s.Name]
		r.format(s, "emits", said.find("emits"), &s.Emits)
		r.format(s, "accepts", said.find("accepts"), &s.Accepts)
	}
	for _, s := range r.t.Satellites {
		said := r.said[s.Name]
		for i, l := range s.To {
			for _, name := range l.Ends() {
				r.converts(s, r.built[name], "to", said.find("to").item(i))
			}
		}
		if s.Breaker.Fallback != "" {
			r.falls(s, r.built[s.Breaker.Fallback], orElse(said.find("breaker").find("fallback"), said).pos)
		}
		for i, name := range s.Calls {
			at := said.find("calls").item(i)
			if to := r.built[name]; to != nil {
				r.converts(s, to, "calls", at)
				r.converts(to, s, "is answered by", at)
			}
		}
	}
}

// format checks one of them.
func (r *rules) format(s *Satellite, name string, f *setting, spec *codec.Spec) {
	if f == nil || f.key.applies(s) != "" || slices.ContainsFunc(f.fields, func(m *setting) bool { return m.bad }) {
		*spec = codec.Spec{}
		return
	}
	if spec.Name == "" && (spec.Format != "" || len(spec.Fields) > 0) {
		spec.Name = "struct"
	}
	at := orElse(orElse(f.find("format"), f.find("codec")), f).pos
	if spec.Name == "" {
		r.add(f.pos, `as in `+name+` = "json", or `+name+` = { format = "<Id", fields = ["n", "load"] }`, "%s says nothing", name)
		return
	}
	if _, err := codec.New(*spec); err != nil {
		if fields := f.find("fields"); fields != nil && spec.Name == "struct" {
			if _, plain := codec.New(codec.Spec{Name: "struct", Format: spec.Format}); plain == nil {
				at = fields.pos
			}
		}
		r.add(at, "", "%s: %v", name, err)
		*spec = codec.Spec{}
		return
	}
	switch at := orElse(f.find("codec"), f).pos; {
	case s.Speaks == SpeaksV1:
		r.add(at, "", "%s means nothing where speaks = \"v1\": a vector says itself how its payload is written", name)
	case s.Speaks == SpeaksJSON && spec.Name != "json":
		r.add(at, `say speaks = "frames"`, "%s: a filter that speaks json has JSON on both sides, and no %s", name, spec.Name)
	case s.Speaks == SpeaksLines && !slices.Contains([]string{"raw", "text", "json"}, spec.Name):
		r.add(at, `say speaks = "frames"`, "%s: %s may have any bytes in it, and a filter that speaks lines ends a payload at each newline", name, spec.Name)
	}
}

// converts checks the two ends of a link, or of a call.
func (r *rules) converts(from, to *Satellite, how string, at place) {
	if from == nil || to == nil || !from.Converts(to) {
		if from != nil && to != nil && to.Speaks == SpeaksV1 {
			r.unread(from, to, at)
		}
		return
	}
	writes := from.Writes()
	reads, _ := to.Reads()
	if writes.Name == "" {
		if from.Speaks != SpeaksV1 {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s -> %s: %s accepts %s, and what %s emits is not said (emits = ...): what its payloads say of themselves counts, and one that is raw is set aside", from.Name, to.Name, to.Name, reads, from.Name))
		}
		return
	}
	if err := codec.Possible(writes, reads); err != nil {
		if how == "to" {
			how = "link to " + to.Name
		} else {
			how = from.Name + " " + how + " " + to.Name
		}
		r.add(at, "", "%s: %v", how, err)
	}
}

// falls checks a fallback: it gets what all those before s write.
func (r *rules) falls(s, to *Satellite, at place) {
	for _, from := range r.t.Satellites {
		if slices.Contains(from.Sends(), s.Name) {
			r.converts(from, to, "falls back to", at)
		}
	}
}

// unread refuses what DSAT 0.6 cannot read: nothing is converted on the way to it.
func (r *rules) unread(from, to *Satellite, at place) {
	if w := from.Writes().Name; w == "cbor" || w == "struct" {
		r.add(at, "put a filter that speaks json between them", "link to %s: it speaks v1, whose vectors carry text and JSON, and %s emits %s", to.Name, from.Name, w)
	}
}
