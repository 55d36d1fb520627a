package codec

import (
	"bytes"
	"testing"
)

// BenchmarkConvert is what an edge pays for a payload, from the smallest to the largest that is taken apart.
func BenchmarkConvert(b *testing.B) {
	sample := made(b, Spec{Name: "struct", Format: "<Id", Fields: []string{"n", "load"}})
	j, c := made(b, Spec{Name: "json"}), made(b, Spec{Name: "cbor"})
	large := append(append([]byte{'['}, bytes.Repeat([]byte(`{"n":1,"load":0.5},`), (4<<20)/19-1)...), "{}]"...)
	for _, way := range []struct {
		name     string
		from, to Codec
		payload  []byte
	}{{"struct12-json", sample, j, make([]byte, 12)}, {"json-struct12", j, sample, []byte(`{"n":1,"load":0.5}`)}, {"struct12-cbor", sample, c, make([]byte, 12)}, {"json4MiB-cbor", j, c, large}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(way.payload)))
			for b.Loop() {
				if _, err := Convert(way.from, way.to, way.payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
