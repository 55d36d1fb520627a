package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/wire"
)

// QuarantineEdit gives a message in quarantine another payload and returns it as it is then; evidence says that it was done. The new
// payload is written in the named codec ("": the message's own) and is brought into that of the message; a message that was
// raw bytes takes the codec of its new payload. Errors are *Error; after one the message is as it was.
func (b *Bus) QuarantineEdit(ctx context.Context, id, written string, payload []byte) (Quarantined, error) {
	if len(payload) > wire.MaxBody {
		return Quarantined{}, &Error{KindInvalid, fmt.Sprintf("cannot give message %s %d bytes: a message has at most %d", id, len(payload), wire.MaxBody)}
	}
	var in wire.Codec
	if written != "" {
		var err error
		if in, err = wire.ParseCodec(written); err != nil {
			return Quarantined{}, &Error{KindInvalid, err.Error()}
		}
	}
	var edited Quarantined
	err := b.withAside(ctx, id, func(o *orchester, m *setAside) error {
		if written == "" {
			in = wire.Codec(m.codec)
		}
		if err := o.edit(m, in, payload); err != nil {
			return err
		}
		edited = o.shown(m)
		return nil
	})
	return edited, err
}

// edit changes the payload of a message in the loop; it is bounded by what codecs take apart.
func (o *orchester) edit(m *setAside, in wire.Codec, payload []byte) error {
	if m.onDisk { // its place there is counted by the size it had
		return &Error{KindConflict, fmt.Sprintf("cannot edit message %s: the journal has it; export it, send the corrected one to %s, and drop it", formatID(m.id), m.step)}
	}
	if in == wire.Struct && m.codec >= firstFormat {
		in = wire.Codec(m.codec)
	} else if s := o.byName[m.step]; s != nil && in == wire.Struct {
		in = o.meant(s, in)
	}
	from, to := o.readerOf(m.step, uint16(in)), o.readerOf(m.step, m.codec)
	if m.codec == uint16(wire.Raw) {
		to = from
	}
	switch {
	case from == nil || to == nil:
		if uint16(in) != m.codec && m.codec != uint16(wire.Raw) {
			return &Error{KindInvalid, fmt.Sprintf("cannot bring %s into %s: nobody here knows the format", codecName(uint16(in)), codecName(m.codec))}
		}
	default:
		converted, err := codec.Convert(from, to, payload)
		if err == nil {
			_, err = to.Decode(converted) // so that it is not tried in vain
		}
		if err != nil {
			return &Error{KindInvalid, fmt.Sprintf("cannot take this as the payload of message %s: %v", formatID(m.id), err)}
		}
		payload = converted
	}
	if m.codec == uint16(wire.Raw) {
		m.codec = uint16(in)
	}
	o.t.aside.bytes += len(payload) - len(m.payload)
	m.evidence = append(m.evidence, fmt.Sprintf("its payload was replaced by hand at %s: %d bytes before, %d now", o.wall().Format(time.RFC3339), len(m.payload), len(payload)))
	m.payload = append([]byte(nil), payload...)
	return nil
}

// shown is all that is known of a message in quarantine.
func (o *orchester) shown(m *setAside) Quarantined {
	q := m.public(true)
	q.reader = o.readerOf(m.step, m.codec)
	return q
}

// JSON is the payload as one line of JSON, for people; only of QuarantineGet and QuarantineEdit.
func (q *Quarantined) JSON() []byte { return codec.Render(q.reader, q.Payload) }
