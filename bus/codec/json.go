package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonCodec is RFC 8259. Values JSON has no word for are written as RFC 8949 section 6.1 has it: a byte string as base64url
// without padding, and what is no finite number as null.
type jsonCodec struct{}

func (jsonCodec) Spec() Spec { return Spec{Name: "json"} }

func (jsonCodec) Decode(p []byte) (any, error) {
	if len(p) > MaxPayload {
		return nil, tooLong(len(p))
	}
	if !utf8.Valid(p) {
		return nil, errUTF8
	}
	if err := checkNesting(p); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, sayJSON(err, p)
	}
	if rest := bytes.TrimLeft(p[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("something follows the JSON value, at byte %d", len(p)-len(rest))
	}
	return settle(v)
}

// sayJSON says what is wrong in our words, with the place.
func sayJSON(err error, p []byte) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not JSON: %w, at byte %d", syntax, syntax.Offset)
	case len(bytes.TrimSpace(p)) == 0:
		return errors.New("it is not JSON: it is empty")
	}
	return fmt.Errorf("it is not JSON: it ends too early, after %d bytes", len(p))
}

// checkNesting looks at the depth before anything is built.
func checkNesting(p []byte) error {
	depth, inside := 0, false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("it nests more than %d deep, at byte %d", MaxDepth, i)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

// settle replaces the texts of numbers by numbers, in place.
func settle(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return number(string(v))
	case []any:
		for i := range v {
			if v[i], err = settle(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k, e := range v {
			if v[k], err = settle(e); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func number(s string) (any, error) {
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("the number %s is too large", cut(s))
		}
		return f, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	if len(s) > MaxDigits {
		return nil, fmt.Errorf("an integer of %d digits: at most %d are taken", len(s), MaxDigits)
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, fmt.Errorf("cannot read the number %s", cut(s))
	}
	return n, nil
}

func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func (jsonCodec) Encode(v any) ([]byte, error) { return jsonWriter{}.value(nil, v, 0) }

// jsonWriter writes values in one line, the keys of objects in order. A float64 is written so that it is read as one.
type jsonWriter struct {
	people bool // write "NaN" for what JSON has no word for
}

func (w jsonWriter) value(b []byte, v any, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("it nests more than %d deep", MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case uint64:
		return strconv.AppendUint(b, v, 10), nil
	case *big.Int:
		return v.Append(b, 10), nil
	case float64:
		return w.float(b, v), nil
	case string:
		return appendString(b, v)
	case []byte:
		b = append(b, '"')
		return append(base64.RawURLEncoding.AppendEncode(b, v), '"'), nil
	case []any:
		return w.list(b, v, depth)
	case map[string]any:
		return w.object(b, v, depth)
	}
	return nil, fmt.Errorf("a value of type %T is none a codec makes", v)
}

func (w jsonWriter) list(b []byte, list []any, depth int) (_ []byte, err error) {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = w.value(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (w jsonWriter) object(b []byte, m map[string]any, depth int) (_ []byte, err error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendString(b, k); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = w.value(b, m[k], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func (w jsonWriter) float(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		if w.people {
			return strconv.AppendQuote(b, strconv.FormatFloat(f, 'g', -1, 64))
		}
		return append(b, "null"...)
	}
	start, form := len(b), byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	b = strconv.AppendFloat(b, f, form, -1, 64)
	if form == 'f' && !bytes.Contains(b[start:], []byte{'.'}) {
		b = append(b, ".0"...)
	}
	return b
}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errUTF8
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte{'\n'})...), nil
}
