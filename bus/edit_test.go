package bus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// A payload in quarantine is replaced in the codec of its message, or left as it was.
func TestQuarantineEdit(t *testing.T) {
	for _, c := range []struct {
		name         string
		codec        wire.Codec
		written      string
		payload      string
		want, as     string
		shown, wrong string
	}{
		{name: "the same codec", codec: wire.JSON, payload: `{"a": 1}`, want: `{"a": 1}`, as: "json", shown: `{"a":1}`},
		{name: "json for cbor", codec: wire.CBOR, written: "json", payload: `[1]`, want: "\x81\x01", as: "cbor", shown: `[1]`},
		{name: "raw takes the codec", codec: wire.Raw, written: "json", payload: `[1]`, want: `[1]`, as: "json", shown: `[1]`},
		{name: "raw stays raw", codec: wire.Raw, payload: "\xff", want: "\xff", as: "raw", shown: `{"base64":"/w=="}`},
		{name: "broken json", codec: wire.JSON, payload: `{`, wrong: "cannot take this as the payload of message 7.9: it is not JSON"},
		{name: "raw takes no broken json", codec: wire.Raw, written: "json", payload: `{`, wrong: "it is not JSON"},
		{name: "text is no number", codec: wire.Text, written: "cbor", payload: "\xff", wrong: "cannot read it as cbor"},
		{name: "an unknown codec", codec: wire.Text, written: "yaml", payload: "x", wrong: `cannot use codec "yaml"`},
		{name: "nobody knows the format", codec: wire.Struct, written: "json", payload: "1", wrong: "nobody here knows the format"},
		{name: "bytes of a format nobody knows", codec: wire.Struct, payload: "1", want: "1", as: "struct", shown: `{"base64":"MQ==","text":"1","error":"nobody knows how it is written"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, sat("w"))
			was := &setAside{id: uint64(wire.NewID(7, 9)), step: "w", codec: uint16(c.codec), payload: []byte("old")}
			s.mail.post(func(o *orchester) { o.t.aside.add(was) })
			q, err := s.QuarantineEdit(t.Context(), "7.9", c.written, []byte(c.payload))
			if c.wrong != "" {
				if kindOf(err) != KindInvalid || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("%v, want %q", err, c.wrong)
				}
				if kept, err := s.QuarantineGet(t.Context(), "7.9"); err != nil || string(kept.Payload) != "old" || len(kept.Evidence) != 0 {
					t.Errorf("after a refusal it is %+v, %v", kept, err)
				}
				return
			}
			if err != nil || string(q.Payload) != c.want || q.Codec != c.as || string(q.JSON()) != c.shown {
				t.Errorf("%q of %s, shown as %s, %v", q.Payload, q.Codec, q.JSON(), err)
			}
			if len(q.Evidence) != 1 || !strings.Contains(q.Evidence[0], "replaced by hand") {
				t.Errorf("the evidence is %q", q.Evidence)
			}
		})
	}
	s := serve(t, sat("w"))
	if _, err := s.QuarantineEdit(t.Context(), "7.9", "", nil); kindOf(err) != KindNotFound {
		t.Error(err)
	}
	if _, err := s.QuarantineEdit(t.Context(), "7.9", "", make([]byte, wire.MaxBody+1)); kindOf(err) != KindInvalid {
		t.Error(err)
	}
}

// A retry never gives a message to a queue whose policy would lose it.
func TestQuarantineRetryWaitsForRoom(t *testing.T) {
	for _, full := range []topology.Full{topology.FullBlock, topology.FullDropNewest, topology.FullDropOldest, topology.FullQuarantine} {
		small := sat("w")
		small.Queue.MaxMessages, small.Queue.Full = 1, full
		s := serve(t, small)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.mail.post(func(o *orchester) {
			o.t.aside.add(&setAside{id: uint64(wire.NewID(7, 9)), step: "w", payload: []byte("kept")})
		})
		sent, err := s.Send(ctx, "w", "", []byte("fills it"), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.QuarantineRetry(ctx, "7.9"); kindOf(err) != KindConflict || !strings.Contains(err.Error(), "the queue of w is full") {
			t.Errorf("%s: %v", full, err)
		}
		if _, err := s.CancelTask(ctx, sent.Task); err != nil {
			t.Fatal(err)
		}
		if err := s.QuarantineRetry(ctx, "7.9"); err != nil {
			t.Errorf("%s, with room: %v", full, err)
		}
		if l := s.Ledger(); l.Held != 1 || !l.Balanced() {
			t.Errorf("%s: %+v", full, l)
		}
	}
}
