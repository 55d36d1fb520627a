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

// readerOf returns what reads the payload of a message at the step of this name; nil: nobody here knows.
func (o *orchester) readerOf(_ string, c uint16) codec.Codec {
	if int(c) < len(plain) {
		return plain[c]
	}
	if c == codecVector {
		return vectorCodec{}
	}
	return nil
}
