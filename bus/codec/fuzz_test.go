package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

// seeds are payloads of every kind, whole and broken.
func seeds(f *testing.F) {
	for _, e := range appendixA {
		p, _ := hex.DecodeString(e.hex)
		f.Add(p)
		f.Add([]byte(e.json))
	}
	for _, s := range []string{"", "{", `{"a":[1,2.5,"\ud800"]}`, "\x9f", "\xbf\x01", "\x5f\x01\xff", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\xff",
		strings.Repeat("[", 100), strings.Repeat("\x81", 100), strings.Repeat("\xc1", 100), "\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\xc0\x61x"} {
		f.Add([]byte(s))
	}
}

// stable: what a codec has read it writes, and reads as the same.
func stable(t *testing.T, c Codec, p []byte) {
	v, err := c.Decode(p)
	if err != nil {
		return
	}
	again, err := c.Encode(v)
	if err != nil {
		t.Fatalf("%v of %q cannot be written again: %v", c.Spec(), p, err)
	}
	w, err := c.Decode(again)
	if err != nil {
		t.Fatalf("%v of %q, written as %q: %v", c.Spec(), p, again, err)
	}
	last, err := c.Encode(w)
	if err != nil || !bytes.Equal(again, last) {
		t.Fatalf("%v of %q is written as %q and then as %q, %v", c.Spec(), p, again, last, err)
	}
	if shown := Render(c, p); !json.Valid(shown) {
		t.Fatalf("%v of %q is shown as %q", c.Spec(), p, shown)
	}
}

func FuzzJSON(f *testing.F) {
	seeds(f)
	c := made(f, Spec{Name: "json"})
	f.Fuzz(func(t *testing.T, p []byte) { stable(t, c, p) })
}

func FuzzCBOR(f *testing.F) {
	seeds(f)
	c, j := made(f, Spec{Name: "cbor"}), made(f, Spec{Name: "json"})
	f.Fuzz(func(t *testing.T, p []byte) {
		stable(t, c, p)
		if there, err := Convert(c, j, p); err == nil {
			if _, err := Convert(j, c, there); err != nil {
				t.Fatalf("%q is %s, which does not go back: %v", p, there, err)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	seeds(f)
	c, r := made(f, Spec{Name: "text"}), made(f, Spec{Name: "raw"})
	f.Fuzz(func(t *testing.T, p []byte) { stable(t, c, p); stable(t, r, p) })
}

func FuzzStruct(f *testing.F) {
	for _, s := range []string{"<Id", "@bI", "3s4p", "2x 3h", "0q", "99999999999I", "e", "<3I", "?c", "!Q"} {
		f.Add(s, "n,load", []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"))
		f.Add(s, "", []byte("\xff\xff\xff\xff"))
	}
	f.Fuzz(func(t *testing.T, format, fields string, p []byte) {
		s := Spec{Name: "struct", Format: format}
		if fields != "" {
			s.Fields = strings.Split(fields, ",")
		}
		c, err := New(s)
		if err != nil {
			return
		}
		if size := c.(*structCodec).size; len(p) < size { // so that it is long enough now and then
			p = append(p, make([]byte, size-len(p))...)
		} else {
			p = p[:size]
		}
		if _, err := c.Decode(p); err != nil {
			t.Fatalf("%q of %d bytes: %v", format, len(p), err)
		}
		stable(t, c, p)
	})
}

// FuzzConvertStruct takes structs through JSON and CBOR and back, and into another layout of the same fields: no crash, and what comes back is what was there.
func FuzzConvertStruct(f *testing.F) {
	for _, s := range []string{"<Id", "@bI", ">3sH", "<?c", "<qQ", "=ef", "<2h3s", "@lL", "<0I"} {
		f.Add(s, "<dq", []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xf0"))
	}
	j, b := made(f, Spec{Name: "json"}), made(f, Spec{Name: "cbor"})
	f.Fuzz(func(t *testing.T, format, layout string, p []byte) {
		c, err := New(Spec{Name: "struct", Format: format, Fields: []string{"n", "load"}})
		if err != nil {
			return
		}
		if size := c.(*structCodec).size; len(p) >= size {
			p = p[:size]
		}
		for _, via := range []Codec{j, b} {
			there, err := Convert(c, via, p)
			if err != nil {
				continue
			}
			back, err := Convert(via, c, there)
			if err != nil {
				if via == j { // a byte string that is no text has another form in JSON
					continue
				}
				t.Fatalf("%q of %q is %q, which does not go back: %v", p, format, there, err)
			}
			again, err := Convert(c, via, back)
			if err != nil || !bytes.Equal(there, again) {
				t.Fatalf("%q of %q is %q, and after its way back %q, %v", p, format, there, again, err)
			}
		}
		other, err := New(Spec{Name: "struct", Format: layout, Fields: []string{"n", "load"}})
		if err != nil {
			return
		}
		if moved, err := Convert(c, other, p); err == nil && !c.Spec().Equal(other.Spec()) && len(moved) != other.(*structCodec).size {
			t.Fatalf("%q as %q has %d bytes", p, layout, len(moved))
		}
		if spec, ok := ParseText(c.Spec().Text()); !ok || !spec.Equal(c.Spec()) {
			if strings.ToValidUTF8(format, "") == format {
				t.Fatalf("the text of %v is %v", c.Spec(), spec)
			}
		}
	})
}
