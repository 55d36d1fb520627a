package satellites

import (
	"fmt"
	"strings"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// Message is one unit of work. It may be used until the handler returns; copy what is to be kept, Payload too.
type Message struct {
	Payload []byte
	Codec   string    // how Payload is written: raw, text, json, cbor, struct
	ID      uint64    // the same in every delivery of this message
	Task    uint64    // of the message from outside or from a source that this one descends from
	From    string    // the step that emitted it; "" when it came from outside
	Attempt int       // 1 is the first
	Hops    int       // steps it has passed
	Time    time.Time // when it was admitted to the queue
	Session string    // name of the session it belongs to, all of whose messages come to this process, in order; "": none
}

// Output collects what one message gives rise to. It takes effect when the handler returns nil.
type Output struct {
	session *session // the message came by
	n       uint64   // its dispatch number
	link    *links
	codec   wire.Codec
	fixed   bool // codec was set by option
	items   []output
	bytes   []byte
	begun   int // items before this belong to messages handled earlier and not yet acknowledged
	err     error
}

// output is one emitted payload: bytes[from:to].
type output struct {
	from, to int
	port     uint16
	codec    wire.Codec
}

// links are the names that ports stand for.
type links struct{ to, from []string }

// name of the link a DATA came by.
func (l *links) name(port uint16) string {
	if int(port) < len(l.from) {
		return l.from[port]
	}
	return ""
}

// port of an output link.
func (l *links) port(name string) (uint16, error) {
	var links []string
	for i, to := range l.to {
		if to == "" { // the link is gone, and has kept its port
			continue
		}
		if to == name {
			return uint16(i), nil
		}
		links = append(links, to)
	}
	if len(links) == 0 {
		return 0, Permanent(fmt.Errorf("cannot emit to %q: this step has no links", name))
	}
	return 0, Permanent(fmt.Errorf("cannot emit to %q: the links are %s", name, strings.Join(links, ", ")))
}

// Emit sends payload, which is copied, along every link.
func (o *Output) Emit(payload []byte) { o.add(wire.AllLinks, payload) }

// EmitTo sends payload, which is copied, along the link to one step. If there is no such link the message fails for
// good: the topology does not fit the program.
func (o *Output) EmitTo(step string, payload []byte) {
	port, err := o.link.port(step)
	if err != nil {
		o.fail(err)
		return
	}
	o.add(port, payload)
}

// Progress tells dsatd that the message is alive: its heartbeat, or where there is none its deadline, starts anew.
func (o *Output) Progress() {
	o.session.out.say(wire.Header{Kind: wire.Progress, N: o.n}, nil)
}

func (o *Output) add(port uint16, payload []byte) {
	if len(payload) > o.session.maxBody {
		o.fail(tooLarge(len(payload), o.session.maxBody))
		return
	}
	from := len(o.bytes)
	o.bytes = append(o.bytes, payload...)
	o.items = append(o.items, output{from: from, to: len(o.bytes), port: port, codec: o.codec})
}

// fail keeps the first error: the handler cannot acknowledge any more.
func (o *Output) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func tooLarge(size, limit int) error {
	return Permanent(fmt.Errorf("cannot emit %d bytes: a payload may have %d", size, limit))
}

// begin makes it the output of the next message.
func (o *Output) begin(codec wire.Codec) {
	o.begun, o.err = len(o.items), nil
	if !o.fixed {
		o.codec = codec
	}
}

// drop forgets what the present message emitted.
func (o *Output) drop() {
	if o.begun < len(o.items) {
		o.bytes = o.bytes[:o.items[o.begun].from]
		o.items = o.items[:o.begun]
	}
}

// reset forgets everything and keeps the buffers, unless one message made them huge.
func (o *Output) reset() {
	if cap(o.bytes) > 1<<20 {
		o.bytes = nil
	}
	o.items, o.bytes, o.begun = o.items[:0], o.bytes[:0], 0
}
