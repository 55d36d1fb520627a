// Package v1 is the protocol of DSAT 0.6, as pure codecs: no sockets, no clocks, no goroutines.
//
// # Vector
//
// All that travels is a vector, one message of one part over PUSH/PULL or PUB/SUB. It is text, joined by NUL bytes and colons,
// without any escaping:
//
//	where ":" step ":" wid ":" pid ":" next
//	NUL emitter ":" type ":" channel ":" task_id ":" event ":" seq
//	NUL serialization
//	NUL payload
//
// The first bytes are the host, so that SUB filters by it. DSAT takes exactly four parts of exactly 5, 6, 1 and 1 fields and raises
// an exception for anything else. Parse takes what DSAT takes, and payloads with NUL bytes, which DSAT cannot; Check says whether
// DSAT would take what is to be sent.
//
//	where          host the vector belongs to or comes from
//	step, wid, pid who handled it last: step, number of the instance, process
//	next           the step announced next; "unset" for one that has outputs, "TERMINUS" for one that has none
//	emitter        free text of the source, such as clock(0)
//	type           the step that the orchester is to send it to
//	channel        free text: a stream of messages
//	task_id        free text; the orchester adds 1 where it is a number
//	event          state of the task (Event)
//	seq            a number; grows by one with each send that is no report
//	serialization  module that reads the payload (Read); by its name DSAT imports it, which is why not all are taken
//
// # Link names
//
// SCHEME_src_dst (ParseLink): SCHEME is the socket of src, dst has its mate; the end in capitals binds, the other connects; "any"
// stands for everybody. Lint finds the traps of a whole table of them.
package v1

import (
	"bytes"
	"fmt"
)

// Sizes in bytes.
const (
	MaxHeader = 4 << 10  // of all that is before the payload; DSAT has no bound
	MaxVector = 16 << 20 // of a whole vector
)

// Event is the state a vector announces.
type Event = string

// What DSAT 0.6 knows. Begin, End, Propagate, Timeout, OTimeout and Failure are known to its tracker, and sent by nobody.
const (
	Init      Event = "INIT"      // of a source: admit this. Of the orchester: handle this
	Bounce    Event = "BOUNCE"    // of a satellite: admit this anew
	Ack       Event = "ACK"       // received
	Begin     Event = "BEGIN"     //
	End       Event = "END"       //
	HappyEnd  Event = "HAPPY_END" // handled; outputs follow. Said twice by a step without outputs
	Send      Event = "SEND"      // of a worker: the output itself. Of the orchester: it was sent on
	Propagate Event = "PROPAGATE" //
	Failed    Event = "ERROR"     // an attempt failed; the worker may try again
	Timeout   Event = "TIMEOUT"   //
	OTimeout  Event = "O_TIMEOUT" //
	Failure   Event = "FAILURE"   //
	Resend    Event = "RESEND"    // replay a channel; of private code
)

// What next says when it is not the name of a step.
const (
	Terminus = "TERMINUS"
	Unset    = "unset"
)

// Vector is one message. Parse makes its fields views into what was read.
type Vector struct {
	Where, Step, WID, PID, Next                []byte
	Emitter, Type, Channel, TaskID, Event, Seq []byte
	Serialization                              []byte
	Payload                                    []byte
}

// Reason says in one word what is wrong with a vector, for counters.
type Reason string

// The closed set of Reason.
const (
	ReasonParts         Reason = "parts"         // not four parts, or not 5 and 6 fields in the first two
	ReasonSize          Reason = "size"          // larger than the bounds
	ReasonField         Reason = "field"         // a field holds what it must not
	ReasonNumber        Reason = "number"        // seq is no number
	ReasonSerialization Reason = "serialization" // not one of those that are read
	ReasonPayload       Reason = "payload"       // DSAT 0.6 could not read it
)

// Malformed is why a vector is not taken.
type Malformed struct {
	Reason Reason
	Text   string
}

func (m *Malformed) Error() string { return "cannot take the vector: " + m.Text }

func malformed(r Reason, format string, args ...any) error {
	return &Malformed{r, fmt.Sprintf(format, args...)}
}

// Parse reads a vector; its fields are views into b. Errors are *Malformed.
func Parse(b []byte) (v Vector, err error) {
	if len(b) > MaxVector {
		return v, malformed(ReasonSize, "it has %d bytes, and at most %d are read", len(b), MaxVector)
	}
	where, rest, ok1 := bytes.Cut(b, nul)
	what, rest, ok2 := bytes.Cut(rest, nul)
	serialization, payload, ok3 := bytes.Cut(rest, nul)
	if !ok1 || !ok2 || !ok3 {
		return v, malformed(ReasonParts, "it wants 4 parts joined by NUL and has %d: %.60q", bytes.Count(b, nul)+1, b)
	}
	if n := len(b) - len(payload); n > MaxHeader {
		return v, malformed(ReasonSize, "its header has %d bytes, and at most %d are read", n, MaxHeader)
	}
	if !fields(where, &v.Where, &v.Step, &v.WID, &v.PID, &v.Next) {
		return Vector{}, malformed(ReasonParts, "where:step:wid:pid:next wants 5 fields and has %d: %.60q", bytes.Count(where, colon)+1, where)
	}
	if !fields(what, &v.Emitter, &v.Type, &v.Channel, &v.TaskID, &v.Event, &v.Seq) {
		return Vector{}, malformed(ReasonParts, "emitter:type:channel:task_id:event:seq wants 6 fields and has %d: %.60q", bytes.Count(what, colon)+1, what)
	}
	v.Serialization, v.Payload = serialization, payload
	return v, nil
}

var (
	nul   = []byte{0}
	colon = []byte{':'}
)

// fields cuts at colons into exactly as many fields.
func fields(b []byte, to ...*[]byte) bool {
	for _, f := range to[:len(to)-1] {
		field, rest, ok := bytes.Cut(b, colon)
		if !ok {
			return false
		}
		*f, b = field, rest
	}
	*to[len(to)-1] = b
	return bytes.IndexByte(b, ':') < 0
}

// Detect reports whether b could be a vector: for those who are shown bytes and have to guess.
func Detect(b []byte) bool {
	v, err := Parse(b)
	return err == nil && len(v.Event) > 0 && v.check() == nil
}

// Append appends the vector as DSAT writes it.
func (v *Vector) Append(b []byte) []byte {
	b = join(b, v.Where, v.Step, v.WID, v.PID, v.Next)
	b = append(b, 0)
	b = join(b, v.Emitter, v.Type, v.Channel, v.TaskID, v.Event, v.Seq)
	b = append(b, 0)
	b = append(b, v.Serialization...)
	b = append(b, 0)
	return append(b, v.Payload...)
}

func join(b []byte, parts ...[]byte) []byte {
	for i, f := range parts {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, f...)
	}
	return b
}

// Check says why DSAT 0.6 would not take this vector, or nil. Errors are *Malformed.
func (v *Vector) Check() error {
	if err := v.check(); err != nil {
		return err
	}
	if i := bytes.IndexByte(v.Payload, 0); i >= 0 {
		return malformed(ReasonPayload, "a DSAT 0.6 satellite cannot read a payload with a NUL byte (at %d): the protocol is text", i)
	}
	return nil
}

// check looks at all but the payload.
func (v *Vector) check() error {
	for _, f := range [...]struct {
		name  string
		value []byte
	}{
		{"where", v.Where}, {"step", v.Step}, {"wid", v.WID}, {"pid", v.PID}, {"next", v.Next}, {"emitter", v.Emitter}, {"type", v.Type},
		{"channel", v.Channel}, {"task_id", v.TaskID}, {"event", v.Event}, {"seq", v.Seq},
	} {
		if bytes.ContainsAny(f.value, ":\x00") {
			return malformed(ReasonField, "%s holds a colon or a NUL, which separate fields: %.60q", f.name, f.value)
		}
	}
	if bytes.IndexByte(v.Serialization, 0) >= 0 {
		return malformed(ReasonField, "serialization holds a NUL, which separates fields: %.60q", v.Serialization)
	}
	if _, ok := number(v.Seq); !ok {
		return malformed(ReasonNumber, "seq is no number: %.60q", v.Seq)
	}
	return nil
}
