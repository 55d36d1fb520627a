package csv

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func quote(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return text
}

func TestFlatten(t *testing.T) {
	tests := map[string]struct {
		payload string
		want    []Column
	}{
		"scalar":       {`4.50`, []Column{{"value", "4.50"}}},
		"array":        {`[1,[true]]`, []Column{{"0", "1"}, {"1.0", "true"}}},
		"repeated key": {`{"a":1,"b":2,"a":3}`, []Column{{"a", "3"}, {"b", "2"}}},
		"our names":    {`{"message_id":1,"message_time":2}`, []Column{{"payload.message_id", "1"}, {"payload.message_time", "2"}}},
		"empty object": {`{}`, nil},
		"trailing":     {`{"a":1} x`, []Column{{"payload", `{"a":1} x`}}},
		"torn":         {`{"a":1`, []Column{{"payload", `{"a":1`}}},
		"empty":        {``, []Column{{"payload", ""}}},
		"deep": {strings.Repeat(`{"k":`, 18) + "1" + strings.Repeat("}", 18),
			[]Column{{strings.TrimSuffix(strings.Repeat("k.", 16), "."), `{"k":{"k":1}}`}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Flatten([]byte(tt.payload))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzFlatten(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,2,{"c":null}]},"a.b":"x"}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		seen := map[string]bool{}
		for _, c := range Flatten(payload) {
			if seen[c.Name] {
				t.Errorf("column %q twice", c.Name)
			}
			seen[c.Name] = true
		}
	})
}

func FuzzMend(f *testing.F) {
	f.Add("message_id,message_time,a\n1,2,\"x\ny\"\n3,")
	f.Fuzz(func(t *testing.T, text string) {
		_, size, err := Mend(strings.NewReader(text))
		if err != nil {
			return
		}
		if size > int64(len(text)) || size > 0 && text[size-1] != '\n' {
			t.Errorf("size %d of %q", size, text)
		}
		if _, again, err := Mend(strings.NewReader(text[:size])); err != nil || again != size {
			t.Errorf("mended twice: %d, then %d, %v", size, again, err)
		}
	})
}
