package bus

import (
	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/wire"
)

// plain are the codecs that are the same everywhere; struct is not, for its format belongs to a satellite.
var plain = [...]codec.Codec{wire.Raw: plainCodec(wire.Raw), wire.Text: plainCodec(wire.Text), wire.JSON: plainCodec(wire.JSON), wire.CBOR: plainCodec(wire.CBOR)}

func plainCodec(c wire.Codec) codec.Codec {
	made, _ := codec.New(codec.Spec{Name: c.String()}) // those four need nothing
	return made
}

// readerOf returns what reads the payload of a message at a step; nil: nobody here knows. A struct that does not say of which format it
// is has that of the step.
func (o *orchester) readerOf(step string, c uint16) codec.Codec {
	if s := o.byName[step]; s != nil && c == uint16(wire.Struct) {
		c = uint16(o.meant(s, wire.Struct))
	}
	return o.t.formats.reader(c)
}
