package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

func (c *structCodec) Decode(p []byte) (any, error) {
	if len(p) != c.size {
		return nil, fmt.Errorf("it has %d bytes, and the format says %d", len(p), c.size)
	}
	if len(c.spec.Fields) == 0 || c.flat {
		values := []any{}
		for i := range c.items {
			values = c.items[i].appendValues(values, c.order, p)
		}
		if !c.flat {
			return values, nil
		}
		m := make(map[string]any, len(values))
		for i, f := range c.spec.Fields {
			m[f] = values[i]
		}
		return m, nil
	}
	m := make(map[string]any, len(c.items))
	for i := range c.items {
		it := &c.items[i]
		if it.count == 1 {
			m[c.spec.Fields[i]] = it.value(c.order, p[it.at:])
			continue
		}
		m[c.spec.Fields[i]] = it.appendValues(make([]any, 0, it.count), c.order, p)
	}
	return m, nil
}

func (it *item) appendValues(to []any, order binary.ByteOrder, p []byte) []any {
	for k := range it.count {
		to = append(to, it.value(order, p[it.at+k*it.size:]))
	}
	return to
}

// value reads one value at the beginning of p, which is long enough.
func (it *item) value(order binary.ByteOrder, p []byte) any {
	p = p[:it.size]
	switch it.letter {
	case '?':
		return p[0] != 0
	case 'c':
		if p[0] < utf8.RuneSelf {
			return string(p)
		}
		return []byte{p[0]}
	case 's':
		return chars(p)
	case 'p':
		return chars(p[1:min(1+int(p[0]), len(p))])
	case 'e':
		return half(order.Uint16(p))
	case 'f':
		return float64(math.Float32frombits(order.Uint32(p)))
	case 'd':
		return math.Float64frombits(order.Uint64(p))
	}
	n := uintOf(order, p)
	if low, _ := it.bounds(); low < 0 {
		shift := 64 - 8*it.size
		return int64(n<<shift) >> shift
	}
	return small(n)
}

func uintOf(order binary.ByteOrder, p []byte) uint64 {
	switch len(p) {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(order.Uint16(p))
	case 4:
		return uint64(order.Uint32(p))
	}
	return order.Uint64(p)
}

// chars is the text in a char[n].
func chars(p []byte) any {
	s := strings.TrimRight(string(p), "\x00")
	if utf8.ValidString(s) {
		return s
	}
	return append([]byte{}, p...)
}

// Encode takes a list of all values, or an object with all names and no other. Integers must fit; a float is rounded to its size.
func (c *structCodec) Encode(v any) ([]byte, error) {
	p := make([]byte, c.size)
	switch v := v.(type) {
	case map[string]any:
		return p, c.putObject(p, v)
	case []any:
		return p, c.putList(p, v)
	}
	return nil, fmt.Errorf("%s is neither an object nor a list", kindOf(v))
}

func (c *structCodec) putObject(p []byte, m map[string]any) error {
	if len(c.spec.Fields) == 0 {
		return errors.New("it is an object, and the format has no names of fields")
	}
	for _, f := range c.spec.Fields {
		if _, ok := m[f]; !ok {
			return fmt.Errorf("field %s is missing", f)
		}
	}
	if len(m) > len(c.spec.Fields) {
		return fmt.Errorf("field %s is none of the format", other(m, c.spec.Fields))
	}
	if c.flat {
		list := make([]any, len(c.spec.Fields))
		for i, f := range c.spec.Fields {
			list[i] = m[f]
		}
		return c.putList(p, list)
	}
	for i := range c.items {
		it, f := &c.items[i], c.spec.Fields[i]
		values := []any{m[f]}
		if it.count != 1 {
			list, ok := m[f].([]any)
			if !ok || len(list) != it.count {
				return fmt.Errorf("field %s: want a list of %d values", f, it.count)
			}
			values = list
		}
		for k, e := range values {
			if err := it.put(c.order, p[it.at+k*it.size:], e); err != nil {
				return fmt.Errorf("field %s: %w", f, err)
			}
		}
	}
	return nil
}

// other is the first key of m that is no field.
func other(m map[string]any, fields []string) string {
	known := make(map[string]bool, len(fields))
	for _, f := range fields {
		known[f] = true
	}
	first := ""
	for k := range m {
		if !known[k] && (first == "" || k < first) {
			first = k
		}
	}
	return cut(first)
}

func (c *structCodec) putList(p []byte, list []any) error {
	n := 0
	for i := range c.items {
		n += c.items[i].count
	}
	if n != len(list) {
		return fmt.Errorf("it has %d values, and the format %d", len(list), n)
	}
	n = 0
	for i := range c.items {
		it := &c.items[i]
		for k := range it.count {
			if err := it.put(c.order, p[it.at+k*it.size:], list[n]); err != nil {
				return fmt.Errorf("%s: %w", c.called(n), err)
			}
			n++
		}
	}
	return nil
}

// called is the name of value n for people.
func (c *structCodec) called(n int) string {
	if c.flat {
		return "field " + c.spec.Fields[n]
	}
	return fmt.Sprintf("value %d", n+1)
}

func (it *item) put(order binary.ByteOrder, p []byte, v any) error {
	p = p[:it.size]
	switch it.letter {
	case '?':
		b, ok := v.(bool)
		if !ok {
			return fmt.Errorf("%s is no boolean", kindOf(v))
		}
		if b {
			p[0] = 1
		}
		return nil
	case 'c', 's', 'p':
		return it.putChars(p, v)
	case 'e', 'f', 'd':
		return it.putFloat(order, p, v)
	}
	return it.putInteger(order, p, v)
}

func (it *item) putChars(p []byte, v any) error {
	var b []byte
	switch v := v.(type) {
	case string:
		b = []byte(v)
	case []byte:
		b = v
	default:
		return fmt.Errorf("%s is no text", kindOf(v))
	}
	room := len(p)
	if it.letter == 'p' {
		room = min(room-1, 255)
	}
	if len(b) > room || it.letter == 'c' && len(b) != 1 {
		return fmt.Errorf("%d bytes do not fit into %d%c", len(b), it.size, it.letter)
	}
	if it.letter == 'p' {
		p[0] = byte(len(b))
		p = p[1:]
	}
	copy(p, b)
	return nil
}
