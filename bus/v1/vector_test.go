package v1

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func vector(fields ...string) Vector {
	b := func(i int) []byte { return []byte(fields[i]) }
	return Vector{b(0), b(1), b(2), b(3), b(4), b(5), b(6), b(7), b(8), b(9), b(10), b(11), b(12)}
}

// golden are vectors as DSAT 0.6.5 puts them on the wire: where:step:wid:pid:next NUL emitter:type:channel:task_id:event:seq NUL
// serialization NUL payload.
var golden = []struct {
	name string
	wire string
	v    Vector
}{
	{"an order of the clock", "localhost:master:0:4711:cpu\x00clock(0):cpu::1:INIT:1\x00simplejson\x00{\"load\" : 0, \"5min\" : 0}",
		vector("localhost", "master", "0", "4711", "cpu", "clock(0)", "cpu", "", "1", "INIT", "1", "simplejson", `{"load" : 0, "5min" : 0}`)},
	{"what the orchester makes of it", "localhost:orchester:0:99:cpu\x00clock(0):cpu::2:INIT:2\x00simplejson\x00{\"load\" : 0, \"5min\" : 0}",
		vector("localhost", "orchester", "0", "99", "cpu", "clock(0)", "cpu", "", "2", "INIT", "2", "simplejson", `{"load" : 0, "5min" : 0}`)},
	{"a worker has it", "localhost:cpu:3:815:unset\x00clock(0):cpu:load:2:ACK:2\x00simplejson\x00{}",
		vector("localhost", "cpu", "3", "815", "unset", "clock(0)", "cpu", "load", "2", "ACK", "2", "simplejson", "{}")},
	{"the last step is done", "localhost:csvw:0:816:TERMINUS\x00clock(0):cpu:load:2:HAPPY_END:3\x00str\x00None",
		vector("localhost", "csvw", "0", "816", "TERMINUS", "clock(0)", "cpu", "load", "2", "HAPPY_END", "3", "str", "None")},
	{"all empty", "::::\x00:::::\x00\x00", vector("", "", "", "", "", "", "", "", "", "", "", "", "")},
	{"a colon in the payload, and a task that is no number", "h:s:w:p:n\x00e:t:c:job-7:BOUNCE:49\x00str\x00a:b:c",
		vector("h", "s", "w", "p", "n", "e", "t", "c", "job-7", "BOUNCE", "49", "str", "a:b:c")},
	{"NUL in the payload, which DSAT cannot read", "h:s:w:p:n\x00e:t:c:1:INIT:1\x00str\x00\x00\x01\x00",
		vector("h", "s", "w", "p", "n", "e", "t", "c", "1", "INIT", "1", "str", "\x00\x01\x00")},
	{"bytes that are no text", "h:s:w:p:n\x00e:t:c:1:INIT:1\x00str\x00\xff\xfe", vector("h", "s", "w", "p", "n", "e", "t", "c", "1", "INIT", "1", "str", "\xff\xfe")},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			v, err := Parse([]byte(g.wire))
			if err != nil {
				t.Fatal(err)
			}
			if !equal(v, g.v) {
				t.Errorf("parsed %q, want %q", v, g.v)
			}
			if got := string(g.v.Append(nil)); got != g.wire {
				t.Errorf("wrote %q, want %q", got, g.wire)
			}
		})
	}
}

func equal(a, b Vector) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }

func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		wire   string
		reason Reason
	}{
		{"", ReasonParts},
		{"hello", ReasonParts},
		{"a:b:c:d:e", ReasonParts},
		{"a:b:c:d:e\x00a:b:c:d:e:f", ReasonParts},
		{"a:b:c:d:e\x00a:b:c:d:e:f\x00str", ReasonParts},
		{"a:b:c:d\x00a:b:c:d:e:f\x00str\x00x", ReasonParts},
		{"a:b:c:d:e:f\x00a:b:c:d:e:f\x00str\x00x", ReasonParts},
		{"a:b:c:d:e\x00a:b:c:d:e\x00str\x00x", ReasonParts},
		{"a:b:c:d:e\x00a:b:c:d:e:f:g\x00str\x00x", ReasonParts},
		{strings.Repeat("a", MaxHeader) + ":b:c:d:e\x00a:b:c:d:e:f\x00str\x00x", ReasonSize},
		{strings.Repeat("a", MaxVector+1), ReasonSize},
	} {
		_, err := Parse([]byte(c.wire))
		var m *Malformed
		if !errors.As(err, &m) || m.Reason != c.reason {
			t.Errorf("%.40q: %v, want a reason %q", c.wire, err, c.reason)
		}
		if Detect([]byte(c.wire)) {
			t.Errorf("%.40q was taken for a vector", c.wire)
		}
	}
}

func TestCheckSaysWhatDSATCannotRead(t *testing.T) {
	ok := vector("h", "s", "0", "1", "n", "e", "t", "c", "1", "INIT", "1", "str", "payload")
	for _, c := range []struct {
		reason Reason
		change func(*Vector)
	}{
		{"", func(*Vector) {}},
		{ReasonPayload, func(v *Vector) { v.Payload = []byte("a\x00b") }},
		{ReasonField, func(v *Vector) { v.Emitter = []byte("a:b") }},
		{ReasonField, func(v *Vector) { v.Where = []byte("::1") }},
		{ReasonField, func(v *Vector) { v.Channel = []byte("a\x00b") }},
		{ReasonField, func(v *Vector) { v.Serialization = []byte("a\x00b") }},
		{ReasonNumber, func(v *Vector) { v.Seq = []byte("one") }},
		{ReasonNumber, func(v *Vector) { v.Seq = nil }},
	} {
		v := ok
		c.change(&v)
		err := v.Check()
		var m *Malformed
		if errors.As(err, &m); (m == nil) != (c.reason == "") || m != nil && m.Reason != c.reason {
			t.Errorf("%q: %v, want a reason %q", v.Append(nil), err, c.reason)
		}
	}
}

func TestForwarded(t *testing.T) {
	for _, c := range []struct{ in, ack, out, sent string }{
		{
			"localhost:master:0:4711:cpu\x00clock(0):cpu:load:41:INIT:1\x00simplejson\x00{}",
			"localhost:master:0:99:cpu\x00clock(0):cpu:load:41:ACK:1\x00simplejson\x00{}",
			"localhost:orchester:0:99:cpu\x00clock(0):cpu:load:42:INIT:2\x00simplejson\x00{}",
			"localhost:orchester:0:99:cpu\x00clock(0):cpu:load:42:SEND:2\x00simplejson\x00{}",
		},
		{ // a bounce becomes an INIT, next is what type says, and a task that is no number stays
			"h:cpu:3:815:unset\x00me:proc:c:job-9:BOUNCE:7\x00str\x00x",
			"h:cpu:3:99:unset\x00me:proc:c:job-9:ACK:7\x00str\x00x",
			"h:orchester:3:99:proc\x00me:proc:c:job-9:INIT:8\x00str\x00x",
			"h:orchester:3:99:proc\x00me:proc:c:job-9:SEND:8\x00str\x00x",
		},
		{ // Python's integers have no end, and know no leading zeros
			"h:s:0:1:n\x00e:t:c:009999999999999999999999:INIT:-1\x00str\x00",
			"h:s:0:99:n\x00e:t:c:009999999999999999999999:ACK:-1\x00str\x00",
			"h:orchester:0:99:t\x00e:t:c:10000000000000000000000:INIT:0\x00str\x00",
			"h:orchester:0:99:t\x00e:t:c:10000000000000000000000:SEND:0\x00str\x00",
		},
		{
			"h:s:0:1:n\x00e:t:c::INIT:9223372036854775807\x00str\x00",
			"h:s:0:99:n\x00e:t:c::ACK:9223372036854775807\x00str\x00",
			"h:orchester:0:99:t\x00e:t:c::INIT:9223372036854775808\x00str\x00",
			"h:orchester:0:99:t\x00e:t:c::SEND:9223372036854775808\x00str\x00",
		},
	} {
		v, err := Parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Routable(); err != nil {
			t.Errorf("%q: %v", c.in, err)
		}
		pid := []byte("99")
		ack, out := Acknowledged(v, pid), Forwarded(v, pid)
		sent := Reported(out)
		for _, x := range []struct {
			got  Vector
			want string
		}{{ack, c.ack}, {out, c.out}, {sent, c.sent}, {v, c.in}} {
			if got := string(x.got.Append(nil)); got != x.want {
				t.Errorf("got  %q\nwant %q", got, x.want)
			}
		}
	}
}

func TestRoutable(t *testing.T) {
	for _, c := range []struct {
		wire   string
		reason Reason
	}{
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:1\x00str\x00x", ""},
		{"h:s:0:1:n\x00e:cpu:c:1:BOUNCE:+1\x00msgpack\x00x", ""},
		{"h:s:0:1:n\x00e:cpu:c:1:RESEND:1\x00str\x00x", ReasonField},
		{"h:s:0:1:n\x00e::c:1:INIT:1\x00str\x00x", ReasonField},
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:\x00str\x00x", ReasonNumber},
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:0x1\x00str\x00x", ReasonNumber},
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:1\x00pickle\x00x", ReasonSerialization},
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:1\x00marshal\x00x", ReasonSerialization},
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:1\x00os\x00x", ReasonSerialization},
		{"h:s:0:1:n\x00e:cpu:c:1:INIT:1\x00yaml\x00x", ReasonSerialization},
	} {
		v, err := Parse([]byte(c.wire))
		if err != nil {
			t.Fatal(err)
		}
		err = v.Routable()
		var m *Malformed
		if errors.As(err, &m); (m == nil) != (c.reason == "") || m != nil && m.Reason != c.reason {
			t.Errorf("%q: %v, want a reason %q", c.wire, err, c.reason)
		}
	}
}

func TestSerializations(t *testing.T) {
	for _, f := range []Form{Text, JSON, MsgPack} {
		if got, err := Read(Write(f)); got != f || err != nil {
			t.Errorf("%d is written as %s, which is read as %d: %v", f, Write(f), got, err)
		}
	}
}

// What is parsed is written again byte for byte, and what is written without forbidden characters is read as it was.
func TestRoundTrip(t *testing.T) {
	field := rapid.StringMatching(`[^:\x00]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		var f [13]string
		for i := range f {
			f[i] = field.Draw(t, "field")
		}
		f[10] = rapid.StringMatching(`[-+]?[0-9]{1,30}`).Draw(t, "seq")
		f[12] = string(rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		want := vector(f[:]...)
		wire := want.Append(nil)
		got, err := Parse(wire)
		if err != nil {
			t.Fatalf("%q: %v", wire, err)
		}
		if !bytes.Equal(got.Append(nil), wire) || !equal(got, want) || !bytes.Equal(got.Payload, want.Payload) {
			t.Fatalf("%q became %q", wire, got.Append(nil))
		}
		if err := got.Check(); (err == nil) != !bytes.Contains(got.Payload, nul) {
			t.Fatalf("%q: %v", wire, err)
		}
		out := Forwarded(got, []byte("1"))
		again, err := Parse(out.Append(nil))
		if err != nil || !bytes.Equal(again.Next, got.Type) || again.Routable() != nil && string(got.Event) == Init && got.Routable() == nil {
			t.Fatalf("%q was forwarded as %q: %v", wire, out.Append(nil), err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, g := range golden {
		f.Add([]byte(g.wire))
	}
	f.Add([]byte("a:b:c:d:e\x00a:b:c:d:e:f:g\x00str\x00x"))
	f.Add([]byte("\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Parse(b)
		if err != nil {
			var m *Malformed
			if !errors.As(err, &m) || m.Reason == "" {
				t.Fatalf("%q: %v is no *Malformed", b, err)
			}
			return
		}
		if got := v.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("%q was written again as %q", b, got)
		}
		if v.Routable() == nil {
			out := Forwarded(v, []byte("7"))
			if _, err := Parse(out.Append(nil)); err != nil {
				t.Fatalf("%q was forwarded as %q: %v", b, out.Append(nil), err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	wire := []byte(golden[0].wire)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(wire); err != nil {
			b.Fatal(err)
		}
	}
}
