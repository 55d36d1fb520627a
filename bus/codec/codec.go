// Package codec reads and writes the payloads of messages: raw, text, json, cbor and struct. It is pure, and it does not trust
// what it reads: every payload gives a value or an error, in time proportional to its length, whoever wrote it.
//
// # Values
//
// Decode makes values of these types, and Encode takes them; all codecs meet here, so that anything one of them can say is
// converted by Decode and Encode:
//
//	nil, bool, string, []byte
//	int64     every integer that fits
//	uint64    integers from 2^63 to 2^64-1
//	*big.Int  larger ones, up to MaxDigits decimal digits: integers never lose a digit
//	float64   numbers with a fraction or an exponent (RFC 8259 section 6: what others can be expected to keep of them)
//	[]any, map[string]any
//
// # Limits
//
// A payload that is taken apart has at most MaxPayload bytes and nests at most MaxDepth deep. raw and text are not taken apart.
package codec

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Limits of what is taken apart.
const (
	MaxPayload = 4 << 20 // bytes
	MaxDepth   = 64      // of arrays and objects in each other
	MaxDigits  = 1000    // of one integer
)

// Names are the names of all codecs, as topologies and dsatctl have them.
func Names() []string { return []string{"raw", "text", "json", "cbor", "struct"} }

// Spec says how payloads are written.
type Spec struct {
	Name   string   `json:"codec"`            // one of Names
	Format string   `json:"format,omitempty"` // struct only: a format of Python's module struct
	Fields []string `json:"fields,omitempty"` // struct only: names of its items or of its values; none: values are a list
}

// String is the spec in one line: struct("<Id": n, load).
func (s Spec) String() string {
	switch {
	case s.Name != "struct":
		return s.Name
	case len(s.Fields) == 0:
		return fmt.Sprintf("struct(%q)", s.Format)
	}
	return fmt.Sprintf("struct(%q: %s)", s.Format, strings.Join(s.Fields, ", "))
}

// Text is the spec as it is kept on disk, for ParseText: the name alone, or JSON.
func (s Spec) Text() string {
	if s.Name != "struct" {
		return s.Name
	}
	b, _ := json.Marshal(s) // strings
	return string(b)
}

// ParseText reads what Text has written; ok is false when it is no spec.
func ParseText(text string) (s Spec, ok bool) {
	if !strings.HasPrefix(text, "{") {
		return Spec{Name: text}, slices.Contains(Names(), text)
	}
	err := json.Unmarshal([]byte(text), &s)
	return s, err == nil && slices.Contains(Names(), s.Name)
}

// Equal reports whether both write alike.
func (s Spec) Equal(o Spec) bool {
	return s.Name == o.Name && s.Format == o.Format && slices.Equal(s.Fields, o.Fields)
}

// Codec reads and writes payloads of one kind. It has no state and may be used by several goroutines.
type Codec interface {
	// Decode takes a payload apart. The value holds no view of it.
	Decode(payload []byte) (any, error)
	// Encode writes a value of the types the package names.
	Encode(value any) ([]byte, error)
	// Spec is what the codec was made from.
	Spec() Spec
}

// New returns the codec of a spec; an error says what is wrong with it and where.
func New(s Spec) (Codec, error) {
	if s.Name != "struct" && (s.Format != "" || len(s.Fields) > 0) {
		return nil, fmt.Errorf("cannot use a format with codec %q: only struct has one", s.Name)
	}
	switch s.Name {
	case "raw":
		return raw{}, nil
	case "text":
		return text{}, nil
	case "json":
		return jsonCodec{}, nil
	case "cbor":
		return cborCodec{}, nil
	case "struct":
		return newStruct(s)
	}
	return nil, fmt.Errorf("cannot use codec %q: want one of %s", s.Name, strings.Join(Names(), ", "))
}

// Possible says why payloads of one kind can never become those of another; nil: they may, though a single payload may still
// not fit.
func Possible(from, to Spec) error {
	switch {
	case from.Equal(to) || to.Name == "raw":
		return nil
	case from.Name == "raw":
		return fmt.Errorf("cannot convert raw to %s: nobody knows what raw bytes mean; say how they are written, for example emits = \"json\" or emits = { codec = \"struct\", format = \"<Id\" }", to.Name)
	case from.Name == "text" && to.Name == "struct":
		return fmt.Errorf("cannot convert text to %s: a text has no fields", to)
	case from.Name == "struct" && to.Name == "struct" && (len(from.Fields) == 0) != (len(to.Fields) == 0):
		return fmt.Errorf("cannot convert %s to %s: one has names of fields and the other has none", from, to)
	}
	return nil
}

// Convert writes anew in one codec what is written in another. What is written as wanted already, and all that becomes raw, is
// returned as it is.
func Convert(from, to Codec, payload []byte) ([]byte, error) {
	if to.Spec().Name == "raw" || from.Spec().Equal(to.Spec()) {
		return payload, nil
	}
	v, err := from.Decode(payload)
	if err != nil {
		return nil, fmt.Errorf("cannot read it as %s: %w", from.Spec(), err)
	}
	p, err := to.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("cannot write it as %s: %w", to.Spec(), err)
	}
	return p, nil
}

func tooLong(n int) error {
	return fmt.Errorf("it has %d bytes, and at most %d are taken apart", n, MaxPayload)
}
