package bus

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// formats gives numbers to the formats of structs: the codec of a message says "struct", and its number here says which. So a message
// keeps the format it was written in, whatever its satellite emits since then. Numbers are those of one daemon; on disk and in an
// export the format itself is written down. Only the loop adds; anybody may read.
type formats struct {
	list atomic.Pointer[[]format] // by number - firstFormat; it only grows
}

// format is one of them.
type format struct {
	codec.Codec
	text string // codec.Spec.Text of it
}

// firstFormat is the least number of a format, beyond all of wire.Codec and codecVector.
const firstFormat = uint16(0x100)

// mostFormats bounds them. A topology has a few; many come only by applying ever new ones.
const mostFormats = 1 << 14

// number is that of a format, which gets one. Where there are too many it is that of a struct nobody knows.
func (f *formats) number(c codec.Codec) uint16 {
	var list []format
	if p := f.list.Load(); p != nil {
		list = *p
	}
	for i, known := range list {
		if known.Spec().Equal(c.Spec()) {
			return firstFormat + uint16(i)
		}
	}
	if len(list) >= mostFormats {
		return uint16(wire.Struct)
	}
	list = append(slices.Clone(list), format{c, c.Spec().Text()})
	f.list.Store(&list)
	return firstFormat + uint16(len(list)-1)
}

// of is the codec of a spec as messages have it; of one without a name raw.
func (f *formats) of(s codec.Spec) uint16 {
	c, err := wire.ParseCodec(s.Name)
	if err != nil || c != wire.Struct {
		return uint16(c)
	}
	made, err := codec.New(s)
	if err != nil {
		return uint16(c)
	}
	return f.number(made)
}

// reader is what reads the payload of a message with this codec; nil: nobody here knows.
func (f *formats) reader(c uint16) codec.Codec {
	switch {
	case int(c) < len(plain):
		return plain[c]
	case c == codecVector:
		return vectorCodec{}
	case c < firstFormat:
		return nil
	}
	if p := f.list.Load(); p != nil && int(c-firstFormat) < len(*p) {
		return (*p)[c-firstFormat].Codec
	}
	return nil
}

// text is the format with this number, as it is kept on disk; "" when it is none.
func (f *formats) text(c uint16) string {
	if c < firstFormat {
		return ""
	}
	if p := f.list.Load(); p != nil && int(c-firstFormat) < len(*p) {
		return (*p)[c-firstFormat].text
	}
	return ""
}

// parse is the codec of a format that was kept on disk.
func (f *formats) parse(text string) uint16 {
	spec, ok := codec.ParseText(text)
	if !ok {
		return uint16(wire.Struct)
	}
	return f.of(spec)
}

// texts are all formats, in the order of their numbers.
func (f *formats) texts() []string {
	var all []string
	if p := f.list.Load(); p != nil {
		for _, c := range *p {
			all = append(all, c.text)
		}
	}
	return all
}

// onWire is the codec as peers know it.
func onWire(c uint16) wire.Codec {
	if c >= firstFormat {
		return wire.Struct
	}
	return wire.Codec(c)
}

// writing is how a session writes what does not say so itself.
type writing struct {
	raw     uint16 // in place of raw
	structs uint16 // in place of struct
}

func (o *orchester) writingOf(sat *topology.Satellite) writing {
	w := writing{raw: o.t.formats.of(sat.Writes()), structs: uint16(wire.Struct)}
	if w.raw >= firstFormat {
		w.structs = w.raw
	}
	return w
}

// coded is the codec of a payload that a session sends. What this dsatd does not know is bytes.
func (s *session) coded(c wire.Codec) wire.Codec {
	switch {
	case c == wire.Raw || c > wire.Struct:
		return wire.Codec(s.writes.raw)
	case c == wire.Struct:
		return wire.Codec(s.writes.structs)
	}
	return c
}

// meant is the codec of a payload from outside: raw bytes and a struct, which do not say how they are written, are taken as what the
// step wants to read.
func (o *orchester) meant(to *step, c wire.Codec) wire.Codec {
	reads, strictly := to.sat.Reads()
	if strictly && (c == wire.Raw || c == wire.Struct && reads.Name == "struct") {
		return wire.Codec(o.t.formats.of(reads))
	}
	return c
}

// misread is why a peer that can read these codecs cannot be given what the topology says it accepts; "" when it can, or does not say.
func misread(i *instance, codecs []string) string {
	if a := i.sat.Accepts.Name; a != "" && a != "raw" && len(codecs) > 0 && !slices.Contains(codecs, a) {
		return fmt.Sprintf("HELLO of %v: it reads %s, and the topology has accepts = %q for it", i.ref, strings.Join(codecs, ", "), a)
	}
	return ""
}

func formatBody(s codec.Spec) *wire.FormatBody {
	if s.Name == "" {
		return nil
	}
	return &wire.FormatBody{Codec: s.Name, Format: s.Format, Fields: s.Fields}
}
