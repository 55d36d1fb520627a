package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsat/dsat/web/control"
)

// The user's editor gets what a codec makes of the payload, and what it makes of that goes back.
func TestQuarantineIsEditedInAnEditor(t *testing.T) {
	for _, c := range []struct {
		name, editor string
		message      control.Quarantined
		code         int
		posted, says string
	}{
		{"as JSON", `sed -i s/1/2/`, control.Quarantined{Codec: "cbor", Payload: &control.Body{Base64: []byte{1}, JSON: []byte(`{"a":1}`)}}, 0, "codec=json\n{\n  \"a\": 2\n}\n", "edited 7.9"},
		{"as text", `sed -i s/o/u/`, control.Quarantined{Codec: "raw", Payload: &control.Body{Text: "fool", JSON: []byte(`{}`)}}, 0, "codec=raw\nfuol", "edited 7.9"},
		{"not changed", "true", control.Quarantined{Codec: "text", Payload: &control.Body{Text: "x"}}, 1, "", "nothing was changed"},
		{"emptied", "truncate -s0", control.Quarantined{Codec: "text", Payload: &control.Body{Text: "x"}}, 1, "", "the file is empty"},
		{"given up", "false", control.Quarantined{Codec: "text", Payload: &control.Body{Text: "x"}}, 1, "", "exit status 1"},
		{"no text", "true", control.Quarantined{ID: "7.9", Codec: "raw", Payload: &control.Body{Base64: []byte{1}, JSON: []byte(`{"base64":"AQ=="}`)}}, 1, "", "cannot edit message 7.9 as a text"},
		{"not readable", "true", control.Quarantined{Codec: "json", Payload: &control.Body{Text: "{", JSON: []byte(`{"base64":"ew==","error":"it is not JSON"}`)}}, 1, "", "cannot edit"},
		{"no editor", "", control.Quarantined{Codec: "text", Payload: &control.Body{Text: "x"}}, 1, "", "neither $VISUAL nor $EDITOR is set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			posted := ""
			serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					body, _ := io.ReadAll(r.Body)
					posted = r.URL.RawQuery + "\n" + string(body)
					c.message.ID = "7.9"
				}
				answer(w, c.message)
			})
			t.Setenv("VISUAL", "")
			t.Setenv("EDITOR", c.editor)
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			got := dsatctl(t, "", "quarantine", "edit", "7.9")
			if got.code != c.code || posted != c.posted || !strings.Contains(got.out+got.errs, c.says) {
				t.Errorf("exit %d, posted %q, said %q %q", got.code, posted, got.out, got.errs)
			}
			if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
