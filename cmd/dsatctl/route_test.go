package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/web/control"
)

// routed is a table of routes with everything.
var routed = control.Routes{Version: 3, Steps: []control.Route{
	{Step: "cpu", Mode: "first", Origin: "dsat.toml:7", Unrouted: 1234, Links: []control.Link{
		{To: "csv", MoveTo: "csv2", Percent: 12.5, Mirror: []string{"audit"}, Taken: 900, Others: map[string]uint64{"csv2": 100, "audit": 1000}},
		{To: "alarm", When: `payload.x == "\x1b"`, OneIn: 30, Sample: 10, Errors: true, Key: "payload.host", Taken: 1, Skipped: 2345, Failed: 6, LastError: "no JSON"},
		{To: "rest", Fallback: true}}},
	{Step: "net", Mode: "hash", By: "payload.host", Origin: "run time", Failed: 2, LastError: "no host", Links: []control.Link{{To: "csv"}}},
}}

func TestRouteVerbsAskForEdits(t *testing.T) {
	ten, all := 10.0, 100.0
	for line, want := range map[string][]control.Edit{
		"route set cpu alarm.one_in=3 to=csv mode=hash": {{Op: "link", Satellite: "cpu", Key: "alarm.one_in", Value: "3"},
			{Op: "set", Satellite: "cpu", Key: "to", Value: "csv"}, {Op: "set", Satellite: "cpu", Key: "route.mode", Value: "hash"}},
		"route drop cpu a b":                   {{Op: "unlink", Satellite: "cpu", Key: "a"}, {Op: "unlink", Satellite: "cpu", Key: "b"}},
		"route move cpu csv csv2 --percent 10": {{Op: "move", Satellite: "cpu", Key: "csv", Value: "csv2", Percent: &ten}},
		"route move cpu csv csv2":              {{Op: "move", Satellite: "cpu", Key: "csv", Value: "csv2", Percent: &all}},
		"route mirror net audit":               {{Op: "mirror", Satellite: "net", Key: "csv", Value: "audit"}},
		"route mirror cpu alarm audit --stop":  {{Op: "unmirror", Satellite: "cpu", Key: "alarm", Value: "audit"}},
		"route reset cpu,net":                  {{Op: "relink", Satellite: "cpu"}, {Op: "relink", Satellite: "net"}},
	} {
		t.Run(line, func(t *testing.T) {
			var got control.ChangeRequest
			serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == control.PathRoutes {
					answer(w, routed)
					return
				}
				body, _ := io.ReadAll(r.Body)
				if err := json.Unmarshal(body, &got); err != nil || r.URL.Path != control.PathApply {
					t.Errorf("%s: %v", r.URL.Path, err)
				}
				answer(w, control.Applied{})
			})
			if res := dsatctl(t, "", strings.Fields(line)...); res.code != 0 {
				t.Fatalf("%d: %s", res.code, res.errs)
			}
			if diff := cmp.Diff(want, got.Edits); diff != "" {
				t.Error(diff)
			}
		})
	}
}
