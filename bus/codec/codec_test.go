package codec

import (
	"encoding/hex"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func made(t interface{ Fatal(...any) }, s Spec) Codec {
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var bigs = cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })

func bigOf(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 0)
	return n
}

// What each codec makes of a payload.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		spec    Spec
		payload string
		want    any
	}{
		{Spec{Name: "raw"}, "\x00\xff", []byte{0, 255}},
		{Spec{Name: "text"}, "grün", "grün"},
		{Spec{Name: "json"}, ` {"a": [1, -1, 1.0, 1e3, 9223372036854775808, true, null, "\u00e9"]} `, map[string]any{"a": []any{int64(1), int64(-1), 1.0, 1000.0, uint64(1 << 63), true, nil, "é"}}},
		{Spec{Name: "json"}, `-123456789012345678901234567890`, bigOf("-123456789012345678901234567890")},
		{Spec{Name: "json"}, `{"a":1,"a":2}`, map[string]any{"a": int64(2)}},
		{Spec{Name: "struct", Format: "<Id", Fields: []string{"n", "load"}}, "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf8\x3f", map[string]any{"n": int64(7), "load": 1.5}},
		{Spec{Name: "struct", Format: ">3H2x?"}, "\x00\x01\x00\x02\xff\xff..\x01", []any{int64(1), int64(2), int64(65535), true}},
		{Spec{Name: "struct", Format: "<3Hb", Fields: []string{"xyz", "b"}}, "\x01\x00\x02\x00\x03\x00\xfe", map[string]any{"xyz": []any{int64(1), int64(2), int64(3)}, "b": int64(-2)}},
		{Spec{Name: "struct", Format: "<3Hb", Fields: []string{"x", "y", "z", "b"}}, "\x01\x00\x02\x00\x03\x00\xfe", map[string]any{"x": int64(1), "y": int64(2), "z": int64(3), "b": int64(-2)}},
		{Spec{Name: "struct", Format: "6s4p", Fields: []string{"name", "p"}}, "ab\x00\x00\x00\x00\x02xy!", map[string]any{"name": "ab", "p": "xy"}},
		{Spec{Name: "struct", Format: "3s"}, "\xffab", []any{[]byte("\xffab")}},
		{Spec{Name: "struct", Format: "@bI", Fields: []string{"b", "i"}}, "\x01\x00\x00\x00\x02\x00\x00\x00", map[string]any{"b": int64(1), "i": int64(2)}},
		{Spec{Name: "struct", Format: "<Q"}, "\xff\xff\xff\xff\xff\xff\xff\xff", []any{uint64(math.MaxUint64)}},
	} {
		got, err := made(t, c.spec).Decode([]byte(c.payload))
		if err != nil {
			t.Errorf("%v %q: %v", c.spec, c.payload, err)
		} else if diff := cmp.Diff(c.want, got, bigs); diff != "" {
			t.Errorf("%v %q:\n%s", c.spec, c.payload, diff)
		}
	}
}

// Payloads that are none of their codec, and what is said.
func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		spec          Spec
		payload, want string
	}{
		{Spec{Name: "text"}, "\xff", "it is not UTF-8"},
		{Spec{Name: "json"}, "", "it is empty"},
		{Spec{Name: "json"}, `{"a":`, "it ends too early, after 5 bytes"},
		{Spec{Name: "json"}, `{"a":1} x`, "something follows the JSON value, at byte 8"},
		{Spec{Name: "json"}, `{a}`, "at byte 2"},
		{Spec{Name: "json"}, "\"\xff\"", "it is not UTF-8"},
		{Spec{Name: "json"}, `1e999`, "the number 1e999 is too large"},
		{Spec{Name: "json"}, strings.Repeat("1", 1001), "an integer of 1001 digits"},
		{Spec{Name: "json"}, strings.Repeat("[", 65), "it nests more than 64 deep, at byte 64"},
		{Spec{Name: "json"}, strings.Repeat(" ", MaxPayload+1), "at most 4194304 are taken apart"},
		{Spec{Name: "cbor"}, "", "it is not CBOR"},
		{Spec{Name: "cbor"}, "\x01\x01", "it is not CBOR"},
		{Spec{Name: "cbor"}, strings.Repeat("\x81", 70) + "\x01", "it is not CBOR"},
		{Spec{Name: "cbor"}, "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "it is not CBOR"},
		{Spec{Name: "cbor"}, "\xa2\x61a\x01\x61a\x02", "duplicate"},
		{Spec{Name: "cbor"}, "\xa2\x611\x01\x01\x02", `two keys of a map are "1" as text`},
		{Spec{Name: "cbor"}, "\xa1\xf5\x01", "neither a text nor an integer"},
		{Spec{Name: "struct", Format: "<I"}, "abc", "it has 3 bytes, and the format says 4"},
	} {
		got, err := made(t, c.spec).Decode([]byte(c.payload))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %.20q gives %v, %v; want an error with %q", c.spec, c.payload, got, err, c.want)
		}
	}
}

// Values that do not fit, and what is said.
func TestEncodeRefuses(t *testing.T) {
	fields := Spec{Name: "struct", Format: "<hI2B4s", Fields: []string{"a", "b", "c", "d"}}
	fit := func(k string, v any) map[string]any {
		m := map[string]any{"a": int64(-1), "b": int64(1), "c": []any{int64(1), int64(2)}, "d": "abcd"}
		m[k] = v
		return m
	}
	for _, c := range []struct {
		spec  Spec
		value any
		want  string
	}{
		{fields, fit("a", int64(-40000)), "field a: -40000 does not fit: h takes -32768 to 32767"},
		{fields, fit("b", int64(-1)), "field b: -1 does not fit: I takes 0 to 4294967295"},
		{fields, fit("b", bigOf("0x10000000000000000")), "field b: 18446744073709551616 does not fit"},
		{fields, fit("b", 1.5), "field b: 1.5 is no integer"},
		{fields, fit("b", "1"), "field b: a string is no integer"},
		{fields, fit("c", []any{}), "field c: want a list of 2 values"},
		{fields, fit("d", "abcde"), "field d: 5 bytes do not fit into 4s"},
		{fields, fit("e", nil), "field e is none of the format"},
		{fields, map[string]any{"a": int64(1)}, "field b is missing"},
		{fields, []any{int64(1)}, "it has 1 values, and the format 5"},
		{fields, "x", "a string is neither an object nor a list"},
		{Spec{Name: "struct", Format: "f"}, []any{1e300}, "value 1: 1e+300 is too large for f"},
		{Spec{Name: "struct", Format: "e"}, []any{65520.0}, "value 1: 65520 is too large for e"},
		{Spec{Name: "struct", Format: "?"}, []any{int64(1)}, "value 1: a number is no boolean"},
		{Spec{Name: "struct", Format: "c"}, []any{"ab"}, "2 bytes do not fit into 1c"},
		{Spec{Name: "struct", Format: "I"}, map[string]any{"a": 1}, "no names of fields"},
		{Spec{Name: "raw"}, int64(1), "a number is not bytes"},
		{Spec{Name: "json"}, "\xff", "it is not UTF-8"},
		{Spec{Name: "cbor"}, []any{struct{}{}}, "none a codec makes"},
	} {
		_, err := made(t, c.spec).Encode(c.value)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v of %v: %v; want an error with %q", c.spec, c.value, err, c.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Name: "xml"}, `cannot use codec "xml": want one of raw, text, json, cbor, struct`},
		{Spec{Name: "json", Format: "<I"}, "only struct has one"},
		{Spec{Name: "struct"}, "without a format"},
		{Spec{Name: "struct", Format: "<Iy"}, `"y" at byte 2 is no letter`},
		{Spec{Name: "struct", Format: "<3"}, "a letter is missing after the count at byte 1"},
		{Spec{Name: "struct", Format: "<n"}, `"n" at byte 1 goes only with the native mark @`},
		{Spec{Name: "struct", Format: "99999999999999999999I"}, "the count at byte 0 is more than"},
		{Spec{Name: "struct", Format: "4000000Q"}, "more than 4194304 bytes"},
		{Spec{Name: "struct", Format: "100000b"}, "more than 65536 values"},
		{Spec{Name: "struct", Format: "I0p"}, "0p at byte 1 has no room"},
		{Spec{Name: "struct", Format: "I<I"}, `"<" at byte 1 is no letter`},
		{Spec{Name: "struct", Format: "2IH", Fields: []string{"a"}}, "it has 2 items with 3 values and there are 1 names"},
		{Spec{Name: "struct", Format: "IH", Fields: []string{"a"}}, "it has 2 values and there are 1 names"},
		{Spec{Name: "struct", Format: "IH", Fields: []string{"a", "a"}}, "there twice"},
	} {
		if _, err := New(c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v; want an error with %q", c.spec, err, c.want)
		}
	}
}

func TestConvert(t *testing.T) {
	reading := Spec{Name: "struct", Format: "<Id4s", Fields: []string{"n", "load", "host"}}
	packed := "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf8\x3fpi\x00\x00"
	for _, c := range []struct {
		from, to Spec
		in, out  string
	}{
		{reading, Spec{Name: "json"}, packed, `{"host":"pi","load":1.5,"n":7}`},
		{Spec{Name: "json"}, reading, `{"host":"pi","load":1.5,"n":7}`, packed},
		{Spec{Name: "cbor"}, reading, "\xa3\x61n\x07\x64load\xf9\x3e\x00\x64host\x62pi", packed},
		{Spec{Name: "json"}, Spec{Name: "cbor"}, `[1, 1.0]`, "\x82\x01\xf9\x3c\x00"},
		{Spec{Name: "cbor"}, Spec{Name: "json"}, "\x82\x01\xf9\x7e\x00", `[1,null]`},
		{Spec{Name: "json"}, Spec{Name: "text"}, ` {"a" : 1}`, `{"a":1}`},
		{Spec{Name: "json"}, Spec{Name: "text"}, `"a"`, `a`},
		{Spec{Name: "text"}, Spec{Name: "json"}, `a<b`, `"a<b"`},
		{Spec{Name: "json"}, Spec{Name: "json"}, `not looked at`, `not looked at`},
		{Spec{Name: "cbor"}, Spec{Name: "raw"}, "\xff", "\xff"},
	} {
		got, err := Convert(made(t, c.from), made(t, c.to), []byte(c.in))
		if err != nil || string(got) != c.out {
			t.Errorf("%v to %v of %q gives %q, %v; want %q", c.from, c.to, c.in, got, err, c.out)
		}
		if err := Possible(c.from, c.to); err != nil {
			t.Errorf("%v to %v is said to be impossible: %v", c.from, c.to, err)
		}
	}
	_, err := Convert(made(t, Spec{Name: "json"}), made(t, reading), []byte(`{"n":1}`))
	if err == nil || !strings.Contains(err.Error(), `cannot write it as struct("<Id4s": n, load, host): field load is missing`) {
		t.Error(err)
	}
}

func TestPossible(t *testing.T) {
	list, object := Spec{Name: "struct", Format: "I"}, Spec{Name: "struct", Format: "I", Fields: []string{"n"}}
	for _, c := range []struct {
		from, to Spec
		want     string
	}{
		{Spec{Name: "raw"}, Spec{Name: "json"}, "nobody knows what raw bytes mean"},
		{Spec{Name: "text"}, list, "a text has no fields"},
		{list, object, "one has names of fields and the other has none"},
	} {
		if err := Possible(c.from, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v to %v: %v; want an error with %q", c.from, c.to, err, c.want)
		}
	}
}

func TestRender(t *testing.T) {
	for _, c := range []struct {
		codec   Codec
		payload string
		want    string
	}{
		{made(t, Spec{Name: "json"}), `{ "b": 1, "a": 2 }`, `{"b":1,"a":2}`},
		{made(t, Spec{Name: "json"}), `{`, `{"base64":"ew==","text":"{","error":"it is not JSON: it ends too early, after 1 bytes"}`},
		{made(t, Spec{Name: "cbor"}), "\x82\x01\xf9\x7e\x00", `[1,"NaN"]`},
		{made(t, Spec{Name: "raw"}), "abc\x00", `{"base64":"YWJjAA==","text":"abc."}`},
		{made(t, Spec{Name: "raw"}), "\x00\x01a", `{"base64":"AAFh"}`},
		{made(t, Spec{Name: "text"}), "a\nb", `"a\nb"`},
		{nil, "\x00", `{"base64":"AA==","error":"nobody knows how it is written"}`},
	} {
		if got := string(Render(c.codec, []byte(c.payload))); got != c.want {
			t.Errorf("%q is shown as %s, want %s", c.payload, got, c.want)
		}
	}
	long := Render(made(t, Spec{Name: "raw"}), make([]byte, 10<<10))
	if !strings.Contains(string(long), `"size":10240`) || len(long) > 6<<10 {
		t.Errorf("a long payload is shown as %d bytes", len(long))
	}
	if got, missing := Cut([]byte("aé"), 2); string(got) != "a" || !missing {
		t.Errorf("cut to %q", got)
	}
}

// values are all that codecs make.
func values() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.String().AsAny(),
		rapid.Custom(func(t *rapid.T) any { return rapid.Uint64Min(1<<63).Draw(t, "n") }),
		rapid.Custom(func(t *rapid.T) any {
			n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 9, 40).Draw(t, "digits"))
			n.SetBit(n, 70, 1)
			if rapid.Bool().Draw(t, "negative") {
				n.Neg(n)
			}
			return n
		}),
		rapid.Float64().AsAny(),
	)
	var deeper func(depth int) *rapid.Generator[any]
	deeper = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return leaf
		}
		below := deeper(depth - 1)
		return rapid.OneOf(leaf,
			rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(below, 0, 4).Draw(t, "list") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(rapid.String(), below, 0, 4).Draw(t, "object") }))
	}
	return deeper(3)
}

func same(a, b any) string { return cmp.Diff(a, b, bigs) }

// What is written is read as it was, through JSON and CBOR, in one and in the other.
func TestRoundTrip(t *testing.T) {
	j, c := made(t, Spec{Name: "json"}), made(t, Spec{Name: "cbor"})
	rapid.Check(t, func(t *rapid.T) {
		v := values().Draw(t, "value")
		for _, codec := range []Codec{j, c} {
			p, err := codec.Encode(v)
			if err != nil {
				t.Fatalf("%v: %v", codec.Spec(), err)
			}
			got, err := codec.Decode(p)
			if err != nil {
				t.Fatalf("%v of %q: %v", codec.Spec(), p, err)
			}
			if diff := same(v, got); diff != "" {
				t.Fatalf("%v, as %q:\n%s", codec.Spec(), p, diff)
			}
		}
		there, err := j.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := Convert(j, c, there)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Convert(c, j, packed)
		if err != nil || string(back) != string(there) {
			t.Fatalf("%s became %s, %v", there, back, err)
		}
	})
}

// What is as deep as allowed goes through both; time is in proportion to length at the limits.
func TestDepth(t *testing.T) {
	j, c := made(t, Spec{Name: "json"}), made(t, Spec{Name: "cbor"})
	deep := []byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))
	p, err := Convert(j, c, deep)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Convert(c, j, p); err != nil || string(back) != string(deep) {
		t.Errorf("%s, %v", back, err)
	}
}

// RFC 8949, appendix A: the encodings and what they mean; and what we write of it is the preferred form.
func TestRFC8949(t *testing.T) {
	c := made(t, Spec{Name: "cbor"})
	for _, e := range appendixA {
		p, err := hex.DecodeString(e.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(Render(c, p)); got != e.json {
			t.Errorf("%s is %s, want %s", e.hex, got, e.json)
		}
		if e.other {
			continue
		}
		v, err := c.Decode(p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.Encode(v); err != nil || hex.EncodeToString(again) != e.hex {
			t.Errorf("%s is written as %x, %v", e.hex, again, err)
		}
	}
}
