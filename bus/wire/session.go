package wire

import (
	"encoding/json"
	"fmt"
)

// The bodies of the records that open and change a session are JSON: they are rare, and grow by new keys. A key that the
// other side does not know is ignored.

// HelloBody is the body of HELLO.
type HelloBody struct {
	Step        string   `json:"step"`                  // the satellite's name: DSAT_NAME
	WID         int      `json:"wid"`                   // DSAT_WID
	Incarnation uint64   `json:"incarnation,string"`    // DSAT_INCARNATION
	Token       string   `json:"token"`                 // DSAT_TOKEN
	PID         int      `json:"pid,omitempty"`         //
	Concurrency int      `json:"concurrency,omitempty"` // hops handled at the same time; 0 is 1
	Source      bool     `json:"source,omitempty"`      // it will emit; without input links it is given nothing to handle
	SDK         string   `json:"sdk,omitempty"`         // name and version, for people
	Topics      bool     `json:"topics,omitempty"`      // it understands TOPIC
	Direct      bool     `json:"direct,omitempty"`      // it knows of direct links
	Codecs      []string `json:"codecs,omitempty"`      // names of the codecs that its handlers can read; none: it does not say
	Accepted    uint64   `json:"accepted,omitempty"`    // of a source that had a session before: its last EMIT that was accepted
	Holds       []string `json:"holds,omitempty"`       // "EPOCH.N" of each dispatch of sessions before that it has begun, and not answered
}

// WelcomeBody is the body of WELCOME.
type WelcomeBody struct {
	Epoch        uint32      `json:"epoch"`
	InHand       int         `json:"in_hand"`           // DATA the daemon will leave unanswered at most
	Bytes        int         `json:"bytes"`             // the same in bytes of their bodies
	EmitMessages int         `json:"emit_messages"`     // EMITs that may be unaccepted at most
	EmitBytes    int         `json:"emit_bytes"`        // the same in bytes of their bodies
	Accepted     uint64      `json:"accepted"`          // last EMIT of this incarnation accepted so far: HELLO's, for a daemon that was not there
	Routes       []string    `json:"routes"`            // output links; a port is an index into it
	From         []string    `json:"from"`              // input links; the port of DATA is an index into it
	DeadlineMS   int64       `json:"deadline_ms"`       // of one running hop; 0: none
	MaxBody      int         `json:"max_body"`          // bytes of one payload
	Calls        []string    `json:"calls"`             // steps it may call; the port of CALL is an index into it. Missing: the daemon knows no CALL
	CallMessages int         `json:"call_messages"`     // CALLs that may wait for their end at most
	CallBytes    int         `json:"call_bytes"`        // the same in bytes of their bodies
	CallMS       int64       `json:"call_ms"`           // the deadline of a CALL that names none
	Session      uint64      `json:"session"`           // the number of this session: the id of what it sends along direct links
	Take         bool        `json:"take,omitempty"`    // as in ROUTES
	Direct       []string    `json:"direct,omitempty"`  // as in ROUTES
	Held         []string    `json:"held,omitempty"`    // of what it holds, "EPOCH.N NUMBER": to be answered here, as NUMBER; the others are not wanted any more
	Emits        *FormatBody `json:"emits,omitempty"`   // what the daemon takes its payloads for that are raw, or a struct; nil: nothing
	Accepts      *FormatBody `json:"accepts,omitempty"` // how the payloads of DATA and REPLY are written; nil: as their record says
}

// FormatBody is how payloads are written.
type FormatBody struct {
	Codec  string   `json:"codec"`            // its name
	Format string   `json:"format,omitempty"` // of struct: a format of Python's module struct
	Fields []string `json:"fields,omitempty"` // of struct: names of its items, or of its values
}

// RoutesBody is the body of ROUTES. In all lists a link keeps its place for the whole session; "" is a link that is gone.
type RoutesBody struct {
	Routes     []string `json:"routes"`
	From       []string `json:"from"`
	Calls      []string `json:"calls,omitempty"`
	InHand     int      `json:"in_hand,omitempty"`     // as in WELCOME; 0: as it was
	Take       bool     `json:"take,omitempty"`        // it may LISTEN: others may send to it directly
	Direct     []string `json:"direct,omitempty"`      // "PORT ORIGIN ENDPOINT" for each receiver of a direct link: the link's port, and the port of DATA by which the receiver knows the sender
	DeadlineMS int64    `json:"deadline_ms,omitempty"` // as in WELCOME
}

// TopicBody is the body of TOPIC.
type TopicBody struct {
	Session string `json:"session,omitempty"` // the name of the conversation it belongs to, all of which comes to this instance, in order
}

// AppendJSON appends body as JSON to b; body is one of those above.
func AppendJSON(b []byte, body any) []byte {
	j, err := json.Marshal(body)
	if err != nil { // none of them can fail
		panic(err)
	}
	return append(b, j...)
}

// ParseJSON reads the body of a record into one of those above.
func ParseJSON(rec *Record, body any) error {
	if err := json.Unmarshal(rec.Body, body); err != nil {
		return fmt.Errorf("cannot read %v: %w", rec.Kind, err)
	}
	return nil
}
