package bus

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

var sample = codec.Spec{Name: "struct", Format: "<Id", Fields: []string{"n", "load"}}

// packed is a payload of sample.
func packed(n uint32, load float64) string {
	b := binary.LittleEndian.AppendUint32(nil, n)
	return string(binary.LittleEndian.AppendUint64(b, math.Float64bits(load)))
}

func emitting(s *topology.Satellite, spec codec.Spec) *topology.Satellite {
	s.Emits = spec
	return s
}

func accepting(s *topology.Satellite, spec codec.Spec) *topology.Satellite {
	s.Accepts = spec
	return s
}

// converted is what an actor is sent when its edge has done its work.
func (a *actor) converted(k wire.Kind) []wire.Record {
	a.st.t.Helper()
	a.st.turn()
	a.st.o.bus.group.Wait()
	a.st.turn() // what could not be converted
	a.st.o.bus.group.Wait()
	return a.only(k)
}

// as emits one payload with a codec.
func (a *actor) emitAs(c wire.Codec, body string) {
	a.seq++
	a.say(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: a.seq, Codec: c}, []byte(body))
}

// TestConversion sends one payload over links to satellites that read it in all ways.
func TestConversion(t *testing.T) {
	other := codec.Spec{Name: "struct", Format: ">Hf", Fields: []string{"n", "load"}}
	src := emitting(sat("sensor", "json", "cbor", "same", "other", "any", "text"), sample)
	st := newStage(t, src, accepting(sat("json"), codec.Spec{Name: "json"}), accepting(sat("cbor"), codec.Spec{Name: "cbor"}), accepting(sat("same"), sample),
		accepting(sat("other"), other), sat("any"), accepting(sat("text"), codec.Spec{Name: "text"}))
	a := st.join("sensor", 0, 1, wire.HelloBody{Source: true})
	want := map[string]struct {
		c    wire.Codec
		body string
	}{
		"json":  {wire.JSON, `{"load":1.5,"n":7}`},
		"cbor":  {wire.CBOR, "\xa2\x61n\x07\x64load\xf9\x3e\x00"},
		"same":  {wire.Struct, packed(7, 1.5)},
		"other": {wire.Struct, "\x00\x07\x3f\xc0\x00\x00"},
		"any":   {wire.Struct, packed(7, 1.5)},
		"text":  {wire.Text, `{"load":1.5,"n":7}`},
	}
	for _, said := range []wire.Codec{wire.Raw, wire.Struct} {
		a.emitAs(said, packed(7, 1.5))
	}
	for name, w := range want {
		b := st.join(name, 0, 2, wire.HelloBody{})
		_ = b
		recs := b.again(t)
		if len(recs) != 2 {
			t.Fatalf("%s was given %d messages", name, len(recs))
		}
		for _, r := range recs {
			if r.Codec != w.c || string(r.Body) != w.body {
				t.Errorf("%s was given %v %q, want %v %q", name, r.Codec, r.Body, w.c, w.body)
			}
			b.done(r.N)
		}
	}
	if l := st.ledger(); l.Done != 12 || l.InFlight != 0 {
		t.Errorf("%+v", l)
	}
}

// again returns the DATA that came with the WELCOME and after it.
func (a *actor) again(t *testing.T) []wire.Record {
	t.Helper()
	return append(a.came, a.converted(wire.Data)...)
}

// TestMisfits keeps every payload that cannot be converted, and says why.
func TestMisfits(t *testing.T) {
	tests := []struct {
		name          string
		emits, accept codec.Spec
		said          wire.Codec
		body          string
		want          string
	}{
		{"too short", sample, codec.Spec{Name: "json"}, wire.Raw, "short", "it has 5 bytes, and the format says 12"},
		{"no json", codec.Spec{Name: "json"}, codec.Spec{Name: "cbor"}, wire.Raw, `{"a":}`, "byte"},
		{"field missing", codec.Spec{Name: "json"}, sample, wire.Raw, `{"n":1}`, "field load is missing"},
		{"too large", codec.Spec{Name: "json"}, sample, wire.Raw, `{"n":4294967296,"load":1}`, "field n"},
		{"unknown struct", codec.Spec{}, codec.Spec{Name: "json"}, wire.Struct, packed(1, 1), "say how it is written"},
		{"raw", codec.Spec{}, codec.Spec{Name: "json"}, wire.Raw, "{}", "nobody knows what raw bytes mean"},
		{"unknown codec", codec.Spec{}, codec.Spec{Name: "json"}, wire.Codec(0xFE), "{}", "nobody knows what raw bytes mean"},
		{"another's format", codec.Spec{}, codec.Spec{Name: "json"}, wire.Codec(firstFormat), "{}", "nobody knows what raw bytes mean"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			to := accepting(sat("worker"), test.accept)
			to.Work.Then = topology.ThenDrop // whatever is wanted of messages that fail
			st := newStage(t, emitting(sat("sensor", "worker"), test.emits), to)
			a := st.join("sensor", 0, 1, wire.HelloBody{Source: true})
			b := st.join("worker", 0, 2, wire.HelloBody{})
			a.emitAs(test.said, test.body)
			if recs := b.converted(wire.Data); len(recs) != 0 {
				t.Fatalf("it was given %q", recs[0].Body)
			}
			st.turn()
			list := st.o.t.aside.list
			if len(list) != 1 || string(list[0].payload) != test.body || len(list[0].evidence) != 1 {
				t.Fatalf("quarantine: %+v", list)
			}
			for _, part := range []string{test.want, "sensor", "worker accepts", test.accept.String()} {
				if !strings.Contains(list[0].reason, part) {
					t.Errorf("the reason says nothing of %q: %s", part, list[0].reason)
				}
			}
			if l := st.ledger(); l.Quarantined != 1 || l.InFlight != 0 {
				t.Errorf("%+v", l)
			}
			a.emitAs(wire.Raw, map[string]string{"struct": packed(1, 2), "json": `{"n":1,"load":2}`}[test.emits.Name])
			if recs := b.converted(wire.Data); test.emits.Name != "" && len(recs) != 1 {
				t.Errorf("after it %d messages came", len(recs))
			}
		})
	}
}

// TestConversionKeepsOrder sends what has to be converted between what has not, in frames of both.
func TestConversionKeepsOrder(t *testing.T) {
	st := newStage(t, sat("sensor", "worker"), accepting(sat("worker"), codec.Spec{Name: "json"}))
	a := st.join("sensor", 0, 1, wire.HelloBody{Source: true})
	b := st.join("worker", 0, 2, wire.HelloBody{})
	const n = 500
	a.b.Reset()
	for i := range n {
		a.seq++
		h := wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: a.seq, Codec: wire.JSON}
		body := fmt.Appendf(nil, "%d", i)
		if i%3 == 0 {
			h.Codec, body = wire.CBOR, binary.BigEndian.AppendUint16([]byte{0x19}, uint16(i))
		}
		a.b.Add(&h, body)
		if i%50 == 49 {
			a.frame(a.b.Frame())
			a.b.Reset()
		}
	}
	for i, r := range b.converted(wire.Data) {
		if r.Codec != wire.JSON || string(r.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d is %v %q", i, r.Codec, r.Body)
		}
		b.data = append(b.data, r.N)
	}
	if len(b.data) != n {
		t.Fatalf("%d of %d came", len(b.data), n)
	}
}

// TestConvertedAnswers converts what a caller is answered, and fails calls whose answer cannot be.
func TestConvertedAnswers(t *testing.T) {
	caller := accepting(emitting(sat("caller"), codec.Spec{Name: "json"}), codec.Spec{Name: "json"})
	caller.Calls = []string{"judge"}
	st := newStage(t, caller, accepting(emitting(sat("judge"), sample), sample))
	a := st.join("caller", 0, 1, wire.HelloBody{Source: true})
	b := st.join("judge", 0, 2, wire.HelloBody{})
	for n, answer := range []string{packed(2, 3), "short"} {
		a.say(&wire.Header{Kind: wire.Call, Epoch: 7, N: uint64(n + 1), Time: 1e9}, []byte(`{"n":1,"load":0.5}`))
		data := b.converted(wire.Data)
		if len(data) != 1 || string(data[0].Body) != packed(1, 0.5) || data[0].Codec != wire.Struct {
			t.Fatalf("the judge was given %+v", data)
		}
		b.b.Reset()
		b.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: data[0].N})
		b.b.Output(wire.AllLinks, wire.Raw, []byte(answer))
		b.b.End()
		b.frame(b.b.Frame())
	}
	replies := a.converted(wire.Reply)
	if len(replies) != 3 || string(replies[0].Body) != `{"load":3.0,"n":2}` && string(replies[0].Body) != `{"load":3,"n":2}` || replies[0].Codec != wire.JSON || replies[1].M != 0 {
		t.Fatalf("answers: %+v", replies)
	}
	if last := replies[2]; last.M != wire.EndFailed || !strings.Contains(string(last.Body), "it has 5 bytes") {
		t.Errorf("the second call ended with %d: %s", last.M, last.Body)
	}
}

// TestFormatsOutlive takes structs over a kill of dsatd and an exec in place; meanwhile the satellite emits another format.
func TestFormatsOutlive(t *testing.T) {
	src, dst := emitting(sat("sensor", "worker"), sample), accepting(sat("worker"), codec.Spec{Name: "json"})
	dst.Queue.Delivery = topology.DeliveryDurable
	st := newStage(t, src, dst)
	log := st.disk()
	a := st.join("sensor", 0, 1, wire.HelloBody{Source: true})
	a.emitAs(wire.Struct, packed(1, 0.5))
	a.emitAs(wire.JSON, `{"n":2}`)
	a.emitAs(wire.Struct, packed(3, 0.5))
	a.emitAs(wire.Struct, "short")
	st.sync(log)
	later := emitting(sat("sensor", "worker"), codec.Spec{Name: "struct", Format: "<H", Fields: []string{"n"}})
	next, log := st.killed(log, log.seq, later, dst)
	c := next.join("sensor", 0, 1, wire.HelloBody{Source: true})
	c.say(&wire.Header{Kind: wire.Emit, Epoch: 8, Port: wire.AllLinks, N: 5, Codec: wire.Struct}, []byte{9, 0})
	next.sync(log)
	third, log := next.killed(log, log.seq, later, dst)
	b := third.join("worker", 0, 2, wire.HelloBody{})
	var got []string
	for _, r := range b.again(t) {
		got = append(got, string(r.Body))
	}
	if want := []string{`{"load":0.5,"n":1}`, `{"n":2}`, `{"load":0.5,"n":3}`, `{"n":9}`}; !reflect.DeepEqual(got, want) {
		t.Errorf("it was given %q", got)
	}
	third.turn()
	third.sync(log)
	fourth, _ := third.killed(log, log.seq, later, dst)
	if list := fourth.o.t.aside.list; len(list) != 1 || fourth.o.t.formats.reader(list[0].codec) == nil || !fourth.o.t.formats.reader(list[0].codec).Spec().Equal(sample) {
		t.Errorf("quarantine: %+v", list)
	}
}

// TestFormatsAreExported does the same with an export.
func TestFormatsAreExported(t *testing.T) {
	src, dst := emitting(sat("sensor", "worker"), sample), accepting(sat("worker"), codec.Spec{Name: "json"})
	st := newStage(t, src, dst)
	a := st.join("sensor", 0, 1, wire.HelloBody{Source: true})
	a.emitAs(wire.Struct, packed(1, 0.5))
	b, err := st.o.keep().encode()
	if err != nil {
		t.Fatal(err)
	}
	k, err := decodeKept(b)
	if err != nil {
		t.Fatal(err)
	}
	next := newStage(t, emitting(sat("sensor", "worker"), codec.Spec{Name: "struct", Format: "<H"}), dst)
	next.join("sensor", 0, 1, wire.HelloBody{Source: true}) // takes the first number
	next.o.goOn(next.o.restore(k))
	w := next.join("worker", 0, 2, wire.HelloBody{})
	if recs := w.again(t); len(recs) != 1 || string(recs[0].Body) != `{"load":0.5,"n":1}` {
		t.Errorf("it was given %+v", recs)
	}
}

// TestHelloCodecs refuses a worker that cannot read what it is said to accept.
func TestHelloCodecs(t *testing.T) {
	st := newStage(t, accepting(sat("worker"), codec.Spec{Name: "cbor"}))
	a := st.join("worker", 0, 1, wire.HelloBody{Codecs: []string{"json", "struct"}})
	if !a.p.refused || len(st.hellos) > 0 {
		t.Error("it was welcomed")
	}
	if b := st.join("worker", 1, 2, wire.HelloBody{Codecs: []string{"json", "cbor"}}); b.p.refused {
		t.Error("it was refused")
	}
}

// TestRepliesKeepTheirFormat keeps what a step answered as a struct over a kill of dsatd, and shows it.
func TestRepliesKeepTheirFormat(t *testing.T) {
	judge := emitting(sat("judge"), sample)
	judge.Queue.Delivery = topology.DeliveryDurable
	st := newStage(t, judge)
	log := st.disk()
	b := st.join("judge", 0, 1, wire.HelloBody{})
	told := make(chan Sent, 1)
	k := &keptReply{step: "judge", state: "running", accepted: func(s Sent, _ error) { told <- s }}
	k.call = &sending{wait: true, lasting: true, by: k}
	st.o.send(k.call, "judge", wire.Raw, []byte("?"))
	st.sync(log)
	_, n := b.bodies()
	b.b.Reset()
	b.b.Begin(&wire.Header{Kind: wire.Done, Epoch: 7, N: n[0]})
	b.b.Output(wire.AllLinks, wire.Raw, []byte(packed(1, 0.5)))
	b.b.End()
	b.frame(b.b.Frame())
	st.sync(log)
	next, _ := st.killed(log, log.seq, judge)
	for _, k := range next.o.replies.by {
		if len(k.results) != 1 || k.results[0].Codec != "struct" || string(k.results[0].JSON()) != `{"load":0.5,"n":1}` {
			t.Errorf("kept: %+v", k.results)
		}
		return
	}
	t.Error("the reply is gone")
}

// TestEdgeBeforeAFilter converts, in a bus that runs, what a filter cannot read, between lines that it can.
func TestEdgeBeforeAFilter(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksJSON, topology.ModePipelined))
	f := s.spawnFilter()
	const n = 300
	for i := range n {
		payload, written := fmt.Appendf(nil, "[%d]", i), "json"
		if i%2 == 0 {
			payload, written = binary.BigEndian.AppendUint16([]byte{0x81, 0x19}, uint16(i)), "cbor"
		}
		if _, err := s.Send(t.Context(), "f", written, payload, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Send(t.Context(), "f", "cbor", []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if l := f.line(); l != fmt.Sprintf("[%d]", i) {
			t.Fatalf("line %d is %s", i, l)
		}
		f.say("null\n")
	}
	s.until("all but one are done", func(l Ledger) bool { return l.Done == n && l.Quarantined == 1 })
	f.exit(s, "exit code 0")
}
