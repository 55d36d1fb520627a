package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// renderedBytes is how much of a payload that cannot be taken apart is shown.
const renderedBytes = 4 << 10

// Render is a payload as one line of JSON, for people: what json, cbor and struct say, a text as a string, and raw bytes as
// {"base64": ..., "text": what of it is UTF-8}. What cannot be taken apart is shown like raw, with the error. The result is always valid JSON.
// c may be nil: then nobody knows how the payload is written.
func Render(c Codec, payload []byte) []byte {
	if c == nil {
		return unread(payload, errors.New("nobody knows how it is written"))
	}
	if c.Spec().Name == "raw" {
		return unread(payload, nil)
	}
	v, err := c.Decode(payload)
	if err != nil {
		return unread(payload, err)
	}
	if c.Spec().Name == "json" { // as its writer has ordered it
		var line bytes.Buffer
		if json.Compact(&line, payload) == nil {
			return line.Bytes()
		}
	}
	b, err := jsonWriter{people: true}.value(nil, v, 0)
	if err != nil {
		return unread(payload, err)
	}
	return b
}

// unread shows bytes as they are.
func unread(p []byte, err error) []byte {
	shown := struct {
		Base64 string `json:"base64"`
		Text   string `json:"text,omitempty"`
		Size   int    `json:"size,omitempty"` // of all, where not all is shown
		Error  string `json:"error,omitempty"`
	}{}
	if len(p) > renderedBytes {
		shown.Size = len(p)
		p = p[:renderedBytes]
	}
	shown.Base64 = base64.StdEncoding.EncodeToString(p)
	shown.Text = readable(p)
	if err != nil {
		shown.Error = err.Error()
	}
	b, _ := json.Marshal(shown) // strings and a number
	return b
}

// readable is the text in bytes that are mostly one, with a dot for each byte that is none; "" when it says nothing.
func readable(p []byte) string {
	out, letters := make([]byte, 0, len(p)), 0
	for i := 0; i < len(p); {
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			out = append(out, '.')
		} else {
			out = append(out, p[i:i+n]...)
			letters += n
		}
		i += n
	}
	if 2*letters < len(p) || letters == 0 {
		return ""
	}
	return string(out)
}

// Cut shortens a text to at most limit bytes, at the end of a character, and reports whether something is missing.
func Cut(text []byte, limit int) ([]byte, bool) {
	if len(text) <= limit {
		return text, false
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit], true
}
