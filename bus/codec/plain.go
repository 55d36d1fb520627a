package codec

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// raw is bytes nobody looks into.
type raw struct{}

func (raw) Spec() Spec { return Spec{Name: "raw"} }

func (raw) Decode(p []byte) (any, error) { return append([]byte{}, p...), nil }

func (raw) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return slices.Clone(v), nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("%s is not bytes", kindOf(v))
}

// text is UTF-8.
type text struct{}

var errUTF8 = errors.New("it is not UTF-8")

func (text) Spec() Spec { return Spec{Name: "text"} }

func (text) Decode(p []byte) (any, error) {
	if !utf8.Valid(p) {
		return nil, errUTF8
	}
	return string(p), nil
}

// Encode writes a string as it is and everything else as its JSON.
func (text) Encode(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		if !utf8.ValidString(s) {
			return nil, errUTF8
		}
		return []byte(s), nil
	}
	return jsonCodec{}.Encode(v)
}

// kindOf is what a value is, for people.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case []byte:
		return "a byte string"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}
