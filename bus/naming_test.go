package bus

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

func TestCutMember(t *testing.T) {
	for _, test := range []struct{ object, value, rest string }{
		{`{"to":"a","n":1}`, `"a"`, `{"n":1}`},
		{` { "n" : 1.50 , "to" : ["a", "b"] } `, `["a", "b"]`, `{"n":1.50}`},
		{`{"x":{"to":1},"\u0074o":null}`, `null`, `{"x":{"to":1}}`},
		{`{"to":1,"y":"to","to":2}`, `2`, `{"y":"to"}`},
		{`{"n":123456789012345678901234567890}`, ``, `{"n":123456789012345678901234567890}`},
		{`{"to":"a"}`, `"a"`, `{}`},
		{`{}`, ``, `{}`},
	} {
		value, rest, err := cutMember([]byte(test.object), "to")
		if err != nil || string(value) != test.value || string(rest) != test.rest {
			t.Errorf("%s: %q and %q, %v", test.object, value, rest, err)
		}
	}
	for _, bad := range []string{"", "{", `{"to"`, `{"to":}`, `{"to":1`, `{1:2}`} {
		if _, _, err := cutMember([]byte(bad), "to"); err == nil {
			t.Errorf("%q is an object", bad)
		}
	}
}

func FuzzCutMember(f *testing.F) {
	for _, s := range []string{`{"to":"a","n":1}`, `{"a":[{"to":1}],"to":null}`, `{"\u0074o":1}`, `{"to":1,"to":2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, object string) {
		if !json.Valid([]byte(object)) || !strings.HasPrefix(object, "{") {
			return
		}
		var want, got map[string]json.RawMessage
		value, rest, err := cutMember([]byte(object), "to")
		if err != nil || json.Unmarshal([]byte(object), &want) != nil || json.Unmarshal(rest, &got) != nil {
			t.Fatalf("%q: %q, %q, %v", object, value, rest, err)
		}
		if string(want["to"]) != string(value) && value != nil {
			t.Fatalf("%q: the value is %q", object, value)
		}
		delete(want, "to")
		if len(want) != len(got) {
			t.Fatalf("%q without it is %q", object, rest)
		}
	})
}

// choosing is a bus with a filter that names the links a and b of its answers.
func choosing(t *testing.T, mode topology.Mode) (*served, *program) {
	f := filterSat(topology.SpeaksJSON, mode, "a", "b")
	f.Route.Member = "to"
	s := serve(t, f, sat("a"), sat("b"))
	return s, s.spawnFilter()
}

// admitted waits until a and b have got so many messages.
func (s *served) admitted(t *testing.T, a, b uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		st, err := s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Queues[1].Ledger.Admitted == a && st.Queues[2].Ledger.Admitted == b && st.Queues[0].InFlight == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a has %+v, b %+v", st.Queues[1].Ledger, st.Queues[2].Ledger)
		}
	}
}

func TestFilterNamesItsLinks(t *testing.T) {
	s, f := choosing(t, "")
	a, b := uint64(0), uint64(0)
	for _, test := range []struct {
		answer string
		a, b   uint64
	}{{`{"to":"a","n":1}`, 1, 0}, {`{"to":["b","a","b"],"n":1}`, 1, 1}, {`{"n":1}`, 1, 1}, {`{"to":null}`, 1, 1}, {`{"to":[]}`, 0, 0}, {`[1]`, 1, 1}, {`{"to":"b"}`, 0, 1}} {
		_ = s.send("{}")
		f.line()
		f.say(test.answer + "\n")
		a, b = a+test.a, b+test.b
		s.admitted(t, a, b)
	}
	for _, wrong := range []string{`{"to":"c"}`, `{"to":7}`, `{"to":["a",""]}`} {
		sent := s.send("{}")
		f.line()
		f.say(wrong + "\n")
		if got := <-sent; got.State != "failed" || !strings.Contains(got.Reason, "cannot tell where its answer goes") {
			t.Errorf("%s: %+v", wrong, got)
		}
	}
	s.admitted(t, a, b)
	f.exit(s, "exit code 0")
}

func TestFilterOfManyNamesItsLinks(t *testing.T) {
	s, f := choosing(t, topology.ModeMany)
	_ = s.send("{}")
	f.line()
	f.say(`{"to":"a"}` + "\n" + `{"to":["a","b"]}` + "\n{}\n\n")
	s.admitted(t, 3, 2)
	sent := s.send("{}")
	f.line()
	f.say(`{"to":"a"}` + "\n" + `{"to":"c"}` + "\n\n")
	if got := <-sent; got.State != "failed" {
		t.Errorf("%+v", got)
	}
	s.admitted(t, 3, 2) // an answer counts as a whole
	f.exit(s, "exit code 0")
}

func TestSourceNamesItsLinks(t *testing.T) {
	s, f := choosing(t, topology.ModeSource)
	f.say(`{"to":"a"}` + "\n" + `{"to":["a","b"],"n":1}` + "\n" + `{"to":"c"}` + "\n" + `{"to":[]}` + "\n" + `{"n":2}` + "\n")
	s.admitted(t, 4, 3) // what names no link goes to all
	f.exit(s, "exit code 0")
}
