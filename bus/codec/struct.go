package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// structCodec is a C struct by a format of Python's module struct (docs.python.org/3/library/struct.html): a mark of byte order
// (@ = < > !; none is @, the native one with C's alignment for this machine), then items, each a count and a letter; spaces
// between items are ignored.
//
//	x    a byte of padding          c    one character           b B  8 bits, signed and not
//	?    a boolean                  h H  16 bits                 i I  32 bits
//	l L  32 bits, with @ a C long   q Q  64 bits                 n N  ssize_t and size_t, @ only
//	e f d  floats of 16, 32, 64 bits
//	s p  with its count the length: char[n], and a Pascal string  P  a pointer, @ only
//
// A payload is exactly as long as the format says. Its value without names is the list of all values, as Python has it. With as many
// names as items it is an object in which an item with a count ("3I") is a list; with as many names as values each value has
// its own name. A char[n] is the text before its trailing zero bytes; where that is no UTF-8, all n bytes.
type structCodec struct {
	spec  Spec
	order binary.ByteOrder
	items []item
	size  int
	flat  bool // names are of values, not of items
}

// item is a count and a letter at its place.
type item struct {
	letter byte
	at     int // offset in bytes
	count  int // values; of s and p: 1
	size   int // bytes of one value
}

// maxValues bounds the values of one format.
const maxValues = 1 << 16

// letters is the size of one value of each letter, in the standard form and in the native one of a 64-bit Unix; 0: it has none.
var letters = map[byte]struct{ standard, native int }{
	'x': {1, 1}, 'c': {1, 1}, 'b': {1, 1}, 'B': {1, 1}, '?': {1, 1}, 'h': {2, 2}, 'H': {2, 2}, 'i': {4, 4}, 'I': {4, 4},
	'l': {4, 8}, 'L': {4, 8}, 'q': {8, 8}, 'Q': {8, 8}, 'n': {0, 8}, 'N': {0, 8}, 'e': {2, 2}, 'f': {4, 4}, 'd': {8, 8},
	's': {1, 1}, 'p': {1, 1}, 'P': {0, 8},
}

func newStruct(s Spec) (Codec, error) {
	c := &structCodec{spec: s}
	if s.Format == "" {
		return nil, fmt.Errorf("cannot use codec struct without a format, for example %q", "<Id")
	}
	if err := c.parse(s.Format); err != nil {
		return nil, fmt.Errorf("cannot read the format %q: %w", cut(s.Format), err)
	}
	if err := c.name(); err != nil {
		return nil, fmt.Errorf("cannot name the fields of the format %q: %w", cut(s.Format), err)
	}
	return c, nil
}

func (c *structCodec) Spec() Spec { return c.spec }

// parse reads the mark and the items.
func (c *structCodec) parse(f string) error {
	c.order = binary.ByteOrder(binary.NativeEndian)
	native, at := true, 0
	switch f[0] {
	case '@':
		at = 1
	case '=':
		native, at = false, 1
	case '<':
		native, at, c.order = false, 1, binary.LittleEndian
	case '>', '!':
		native, at, c.order = false, 1, binary.BigEndian
	}
	values := 0
	for at < len(f) {
		if strings.IndexByte(" \t\r\n\v\f", f[at]) >= 0 {
			at++
			continue
		}
		it, next, err := readItem(f, at, native)
		if err != nil {
			return err
		}
		at = next
		if err := c.place(it, native); err != nil {
			return err
		}
		if values += it.values(); values > maxValues {
			return fmt.Errorf("it has more than %d values", maxValues)
		}
	}
	return nil
}

// readItem reads a count and a letter at f[at:] and returns where the next one begins.
func readItem(f string, at int, native bool) (it item, next int, err error) {
	begin, count := at, 0
	for ; at < len(f) && f[at] >= '0' && f[at] <= '9'; at++ {
		if count = 10*count + int(f[at]-'0'); count > MaxPayload {
			return it, at, fmt.Errorf("the count at byte %d is more than %d", begin, MaxPayload)
		}
	}
	if at == len(f) {
		return it, at, fmt.Errorf("a letter is missing after the count at byte %d", begin)
	}
	if at == begin {
		count = 1
	}
	sizes, known := letters[f[at]]
	size := sizes.standard
	if native {
		size = sizes.native
	}
	switch {
	case !known:
		return it, at, fmt.Errorf("%q at byte %d is no letter of it: want one of x c b B ? h H i I l L q Q n N e f d s p P", f[at:at+1], at)
	case size == 0:
		return it, at, fmt.Errorf("%q at byte %d goes only with the native mark @", f[at:at+1], at)
	}
	if count == 0 && f[at] == 'p' {
		return it, at, fmt.Errorf("0p at byte %d has no room for its own length", begin)
	}
	it = item{letter: f[at], count: count, size: size}
	if it.letter == 's' || it.letter == 'p' {
		it.count, it.size = 1, count
	}
	return it, at + 1, nil
}

// place puts an item behind the others. In the native form it begins where C would put it; a count of 0 only aligns.
func (c *structCodec) place(it item, native bool) error {
	if native && it.letter != 's' && it.letter != 'p' {
		c.size += -c.size & (it.size - 1)
	}
	it.at = c.size
	if c.size += it.count * it.size; c.size > MaxPayload {
		return fmt.Errorf("it describes more than %d bytes", MaxPayload)
	}
	if it.values() > 0 {
		c.items = append(c.items, it)
	}
	return nil
}

func (it *item) values() int {
	if it.letter == 'x' {
		return 0
	}
	return it.count
}

// name checks the names of the fields and finds what they are of.
func (c *structCodec) name() error {
	if len(c.spec.Fields) == 0 {
		return nil
	}
	values, seen := 0, map[string]bool{}
	for i := range c.items {
		values += c.items[i].values()
	}
	c.flat = len(c.spec.Fields) != len(c.items)
	if c.flat && len(c.spec.Fields) != values {
		if values == len(c.items) {
			return fmt.Errorf("it has %d values and there are %d names", values, len(c.spec.Fields))
		}
		return fmt.Errorf("it has %d items with %d values and there are %d names: name the items, or every value", len(c.items), values, len(c.spec.Fields))
	}
	for _, f := range c.spec.Fields {
		if _, err := (text{}).Encode(f); f == "" || err != nil || seen[f] {
			return fmt.Errorf("the name %q is empty, no UTF-8, or there twice", cut(f))
		}
		seen[f] = true
	}
	return nil
}

// bounds are the least and the greatest integer of a letter and size.
func (it *item) bounds() (low int64, high uint64) {
	bits := uint(8 * it.size)
	if strings.IndexByte("bhilqn", it.letter) >= 0 {
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, math.MaxUint64 >> (64 - bits)
}
