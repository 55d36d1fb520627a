package codec

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// judge is Python's own struct: for each format and bytes, the values it unpacks, as texts that lose nothing, and what it packs of them.
const judge = `
import json, struct, sys
def say(v):
    if isinstance(v, bool): return "?" + str(v)
    if isinstance(v, int): return "i" + str(v)
    if isinstance(v, float): return "d" + v.hex()
    return "s" + v.hex()
out = []
for f, size, data in json.load(sys.stdin):
    if struct.calcsize(f) != size:
        out.append({"size": struct.calcsize(f)})
        continue
    values = struct.unpack(f, bytes.fromhex(data))
    out.append({"size": size, "values": [say(v) for v in values], "packed": struct.pack(f, *values).hex()})
json.dump(out, sys.stdout)
`

type verdict struct {
	Size   int
	Values []string
	Packed string
}

// Our reading of formats is Python's: sizes, alignment, values, and what is written.
func TestStructAgreesWithPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here to compare with")
	}
	var ask [][]any
	var codecs []*structCodec
	random := rand.New(rand.NewPCG(1, 2))
	for _, f := range append(knownFormats(), randomFormats(random, 2000)...) {
		c := made(t, Spec{Name: "struct", Format: f}).(*structCodec)
		p := make([]byte, c.size)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		ask, codecs = append(ask, []any{f, c.size, hex.EncodeToString(p)}), append(codecs, c)
	}
	question, _ := json.Marshal(ask)
	cmd := exec.Command(python, "-c", judge)
	cmd.Stdin = strings.NewReader(string(question))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v: %s", err, said.String())
	}
	var verdicts []verdict
	if err := json.Unmarshal(out, &verdicts); err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		compare(t, codecs[i], ask[i][2].(string), v)
	}
}

func compare(t *testing.T, c *structCodec, data string, want verdict) {
	t.Helper()
	if c.size != want.Size {
		t.Errorf("%q has %d bytes, Python says %d", c.spec.Format, c.size, want.Size)
		return
	}
	p, _ := hex.DecodeString(data)
	v, err := c.Decode(p)
	if err != nil {
		t.Errorf("%q: %v", c.spec.Format, err)
		return
	}
	list := v.([]any)
	if len(list) != len(want.Values) {
		t.Errorf("%q has %d values, Python %d", c.spec.Format, len(list), len(want.Values))
		return
	}
	for i, w := range want.Values {
		if !agree(list[i], w) {
			t.Errorf("%q of %s: value %d is %v, Python says %s", c.spec.Format, data, i, list[i], w)
		}
	}
	packed, err := c.Encode(v)
	if err != nil {
		t.Errorf("%q: %v", c.spec.Format, err)
	} else if hex.EncodeToString(packed) != want.Packed && !hasFloat(c) { // a NaN keeps no payload
		t.Errorf("%q is written as %x, by Python as %s", c.spec.Format, packed, want.Packed)
	}
}

func hasFloat(c *structCodec) bool { return strings.ContainsAny(c.spec.Format, "efd") }

// agree compares a value of ours with Python's text of its own.
func agree(ours any, python string) bool {
	rest := python[1:]
	switch v := ours.(type) {
	case bool:
		return python == "?"+map[bool]string{true: "True", false: "False"}[v]
	case int64, uint64:
		return python == fmt.Sprint("i", v)
	case float64:
		w, err := strconv.ParseFloat(rest, 64)
		return err == nil && (w == v || w != w && v != v)
	case []byte:
		return rest == hex.EncodeToString(v)
	case string:
		b, _ := hex.DecodeString(rest)
		s := string(b)
		return s == v || strings.TrimRight(s, "\x00") == v && utf8.ValidString(s)
	}
	return false
}

func knownFormats() []string {
	return []string{"", "@", "<", "bhilq", "@bhilqnNP", "=bhilq", "!bhilq", "<?x3xH", "@c3sI", "bi0q", "b0l", "10s0s", "5p1p", "e2f3d", "2x 3h\tb", "@?d?f?h?", "llh0l"}[1:]
}

func randomFormats(random *rand.Rand, n int) (all []string) {
	for range n {
		mark := []string{"", "@", "=", "<", ">", "!"}[random.IntN(6)]
		letters := "xcbB?hHiIlLqQefdsp"
		if mark == "" || mark == "@" {
			letters += "nNP"
		}
		var b strings.Builder
		b.WriteString(mark)
		for range 1 + random.IntN(6) {
			letter := letters[random.IntN(len(letters))]
			if n := random.IntN(6); random.IntN(3) == 0 && (n > 0 || letter != 'p') {
				fmt.Fprint(&b, n)
			}
			b.WriteByte(letter)
		}
		all = append(all, b.String())
	}
	return all
}

// Every half float is what Python says of it, and is written back the same.
func TestHalfFloats(t *testing.T) {
	for h := range 1 << 16 {
		f := half(uint16(h))
		if f != f {
			continue
		}
		if got := toHalf(f); got != uint16(h) {
			t.Fatalf("%#04x is %v and becomes %#04x", h, f, got)
		}
	}
	for in, want := range map[float64]uint16{1 + 0x1p-11: 0x3c00, 1 + 3*0x1p-11: 0x3c02, 65519: 0x7bff, 65520: 0x7c00, 0x1p-25: 0, 0x1.8p-25: 1, -2: 0xc000} {
		if got := toHalf(in); got != want {
			t.Errorf("%v becomes %#04x, want %#04x", in, got, want)
		}
	}
}
