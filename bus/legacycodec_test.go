package bus

import (
	"fmt"
	"strings"
	"testing"
)

// A whole vector is shown, and can be edited, by its fields.
func TestVectorCodec(t *testing.T) {
	for _, text := range []string{fmt.Sprintf(order, 1), "h:s:w:p:n|e:t:c:x:BOUNCE:3|str|a text", "h:s:w:p:n|e:t:c:x:BOUNCE:3|json|no json"} {
		value, err := vectorCodec{}.Decode([]byte(spell(text)))
		if err != nil {
			t.Fatal(err)
		}
		m := value.(map[string]any)
		if strings.HasSuffix(text, "no json") {
			if m["arg"] != "no json" {
				t.Errorf("%+v", m)
			}
			continue
		}
		if again, err := (vectorCodec{}).Encode(value); err != nil || string(again) != spell(text) {
			t.Errorf("%q became %+v, and that %q, %v", text, value, again, err)
		}
	}
	for _, bad := range []any{nil, "x", []any{}, map[string]any{"tpye": "cpu"}, map[string]any{"seq": int64(1)}, map[string]any{"where": "a:b"}, map[string]any{"arg": int64(1)},
		map[string]any{"arg": "a\x00b"}} {
		if b, err := (vectorCodec{}).Encode(bad); err == nil {
			t.Errorf("%+v became %q", bad, b)
		}
	}
}
