package wire

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type goldenOutput struct {
	Port    uint16
	Codec   Codec
	Payload string
}

type goldenRecord struct {
	Kind, Body string
	Flags      uint8
	Port, Hops uint16
	Epoch      uint32
	Codec      Codec
	N, M, ID   uint64
	Time       int64
	Outputs    []goldenOutput
}

type golden struct {
	Frames []struct {
		Name, Hex string
		Records   []goldenRecord
	}
	Refused []struct{ Name, Hex, Error string }
}

func readGolden(t testing.TB) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *goldenRecord) header() Header {
	h := Header{Flags: r.Flags, Port: r.Port, Epoch: r.Epoch, Codec: r.Codec, Hops: r.Hops, N: r.N, M: r.M, ID: r.ID, Time: r.Time}
	for k := Hello; k < kinds; k++ {
		if k.String() == r.Kind {
			h.Kind = k
		}
	}
	return h
}

func TestGoldenFramesEncodeAndDecode(t *testing.T) {
	for _, g := range readGolden(t).Frames {
		t.Run(g.Name, func(t *testing.T) {
			var b Builder
			for _, r := range g.Records {
				h := r.header()
				if r.Outputs == nil {
					b.Add(&h, unhex(t, r.Body))
					continue
				}
				b.Begin(&h)
				for _, o := range r.Outputs {
					b.Output(o.Port, o.Codec, unhex(t, o.Payload))
				}
				b.End()
			}
			if got := hex.EncodeToString(b.Frame()); got != g.Hex {
				t.Errorf("encoded\n%s, want\n%s", got, g.Hex)
			}
			decodeGolden(t, unhex(t, g.Hex), g.Records)
		})
	}
}

func decodeGolden(t *testing.T, frame []byte, want []goldenRecord) {
	t.Helper()
	r, err := Parse(frame)
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	for i, w := range want {
		if !r.Next(&rec) {
			t.Fatalf("only %d records", i)
		}
		if diff := cmp.Diff(w.header(), rec.Header); diff != "" {
			t.Errorf("record %d: %s", i, diff)
		}
		if w.Outputs == nil {
			if got := hex.EncodeToString(rec.Body); got != w.Body {
				t.Errorf("record %d: body %s, want %s", i, got, w.Body)
			}
			continue
		}
		var got []goldenOutput
		outs, out := rec.Outputs(), Output{}
		for outs.Next(&out) {
			got = append(got, goldenOutput{out.Port, out.Codec, hex.EncodeToString(out.Payload)})
		}
		if diff := cmp.Diff(w.Outputs, got); diff != "" {
			t.Errorf("record %d: %s", i, diff)
		}
	}
	if r.Next(&rec) {
		t.Error("more records than were put in")
	}
}

func TestGoldenRefusals(t *testing.T) {
	errs := map[string]error{"short": ErrShort, "magic": ErrMagic, "version": ErrOther, "padding": ErrPadding, "length": ErrLength,
		"too big": ErrTooBig, "kind": ErrKind, "outputs": ErrOutputs}
	for _, g := range readGolden(t).Refused {
		if _, err := Parse(unhex(t, g.Hex)); err == nil || !errors.Is(err, errs[g.Error]) {
			t.Errorf("%s: %v, want %v", g.Name, err, errs[g.Error])
		}
	}
}

func TestEveryFrameThatFitsIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		var want []Record
		for range rapid.IntRange(1, 40).Draw(t, "records") {
			h := Header{Kind: Kind(rapid.IntRange(1, int(kinds)-1).Draw(t, "kind")), Flags: rapid.Uint8().Draw(t, "flags"),
				Port: rapid.Uint16().Draw(t, "port"), Epoch: rapid.Uint32().Draw(t, "epoch"), Hops: rapid.Uint16().Draw(t, "hops"),
				Codec: Codec(rapid.Uint16().Draw(t, "codec")), N: rapid.Uint64().Draw(t, "n"), M: rapid.Uint64().Draw(t, "m"),
				ID: rapid.Uint64().Draw(t, "id"), Time: rapid.Int64().Draw(t, "time")}
			body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")
			if h.Kind == Done {
				body = nil
			}
			if !b.Fits(len(body)) {
				break
			}
			b.Add(&h, body)
			want = append(want, Record{h, body})
		}
		r, err := Parse(b.Frame())
		if err != nil {
			t.Fatal(err)
		}
		var rec Record
		for i := range want {
			if !r.Next(&rec) || rec.Header != want[i].Header || string(rec.Body) != string(want[i].Body) {
				t.Fatalf("record %d: %+v, want %+v", i, rec, want[i])
			}
		}
	})
}

func TestBuilderFillsFramesToTheLimitAndNotBeyond(t *testing.T) {
	var b Builder
	h := Header{Kind: Emit}
	for b.Fits(0) {
		b.Add(&h, nil)
	}
	if b.Count() != MaxRecords {
		t.Errorf("%d empty records, want %d", b.Count(), MaxRecords)
	}
	b.Reset()
	body := make([]byte, 1000)
	for b.Fits(len(body)) {
		b.Add(&h, body)
	}
	if _, err := Parse(b.Frame()); err != nil || b.Len() > MaxFrame || b.Len() < MaxFrame-2000 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
	b.Reset()
	if big := make([]byte, MaxBody); !b.Fits(len(big)) || b.Fits(len(big)+1) {
		t.Error("one record of 16 MiB must fit, and no larger one")
	} else if b.Add(&h, big); b.Fits(0) {
		t.Error("a huge record travels alone")
	} else if _, err := Parse(b.Frame()); err != nil {
		t.Error(err)
	}
}

func TestNothingIsAllocatedPerRecord(t *testing.T) {
	var b Builder
	h := Header{Kind: Data}
	done := Header{Kind: Done}
	body := make([]byte, 64)
	var rec Record
	var out Output
	n := testing.AllocsPerRun(100, func() {
		b.Reset()
		for b.Fits(256) {
			b.Add(&h, body)
			b.Begin(&done)
			b.Output(0, JSON, body)
			b.End()
		}
		r, err := Parse(b.Frame())
		if err != nil {
			t.Fatal(err)
		}
		for r.Next(&rec) {
			if rec.Kind == Done {
				for o := rec.Outputs(); o.Next(&out); {
				}
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCodecNames(t *testing.T) {
	for c := range codecs {
		if got, err := ParseCodec(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if c, err := ParseCodec(""); err != nil || c != Raw {
		t.Error("no name is raw")
	}
	if _, err := ParseCodec("yaml"); err == nil || !strings.Contains(err.Error(), "json") {
		t.Errorf("unknown codec: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	g := readGolden(f)
	for _, x := range g.Frames {
		f.Add(unhex(f, x.Hex))
	}
	for _, x := range g.Refused {
		f.Add(unhex(f, x.Hex))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := Parse(frame)
		if err != nil {
			return
		}
		var b Builder
		var rec Record
		for r.Next(&rec) {
			for o, out := rec.Outputs(), (Output{}); rec.Kind == Done && o.Next(&out); {
				_ = out.Payload
			}
			b.Add(&rec.Header, rec.Body)
		}
		if string(b.Frame()) != string(frame) {
			t.Errorf("%x was read and written as %x", frame, b.Frame())
		}
	})
}

func BenchmarkFrameOf64Bytes(b *testing.B) {
	var fb Builder
	var rec Record
	h, body := Header{Kind: Data}, make([]byte, 64)
	for i := 0; i < b.N; {
		fb.Reset()
		for fb.Fits(64) && i < b.N {
			fb.Add(&h, body)
			i++
		}
		r, err := Parse(fb.Frame())
		if err != nil {
			b.Fatal(err)
		}
		for r.Next(&rec) {
		}
	}
}

func TestIDsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.Uint64().Draw(t, "id"))
		if got, err := ParseID(id.String()); err != nil || got != id {
			t.Fatalf("%v: %v, %v", id, got, err)
		}
	})
	if got, err := ParseID("2199023255576"); err != nil || got.String() != "2.24" {
		t.Errorf("the whole number: %v, %v", got, err)
	}
	for _, s := range []string{"", "7.", ".7", "a.b", "1.2.3", "-1.2", "99999999999.1"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}
