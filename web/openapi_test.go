package web

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOperationsAreThoseOfTheRoutes(t *testing.T) {
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) [^`]+)` \\| \\w+ \\| (.*) \\|$").FindAllStringSubmatch(apiPage(t), -1) {
		documented[m[1]] = m[2]
	}
	told := map[string]string{}
	for pattern, o := range operations() {
		told[strings.TrimSuffix(pattern, "{$}")] = o.what
	}
	if diff := cmp.Diff(documented, told); diff != "" {
		t.Errorf("operations() does not say what docs/api.md says:\n%s", diff)
	}
}

// What handlers read from a query is documented, and nothing else is.
func TestParametersAreThoseThatAreRead(t *testing.T) {
	var documented []string
	for _, o := range operations() {
		for _, p := range o.query {
			documented = append(documented, p.name)
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil {
			t.Fatal(err)
		} else if !strings.HasSuffix(f, "_test.go") && f != "operations.go" {
			source.Write(text)
		}
	}
	for _, m := range regexp.MustCompile(`(?:(?:Query\(\)|query|v)\.(?:Get|Has)\(|(?:isSet|duration|spanOf)\(r, )"(\w+)"`).FindAllStringSubmatch(source.String(), -1) {
		if !slices.Contains(documented, m[1]) {
			t.Errorf("a handler reads ?%s=, and operations() does not tell", m[1])
		}
	}
	for _, name := range documented {
		if !strings.Contains(source.String(), `"`+name+`"`) {
			t.Errorf("operations() tells of ?%s=, and no handler reads it", name)
		}
	}
}

// Answers of a running daemon are what the document says.
func TestAnswersFitTheirSchemas(t *testing.T) {
	h := lived(t, stage)
	doc := read[map[string]any](t, h.ask("tcp", "GET /v1/openapi.json", ""))
	if doc["openapi"] != "3.1.0" {
		t.Fatalf("%v", doc["openapi"])
	}
	task := read[map[string]any](t, h.ask("unix", "POST /v1/send/echo?wait=30s", "x"))["task"].(string)
	h.ask("unix", "POST /v1/send/nobody", "x")
	judge := schemas(doc["components"].(map[string]any)["schemas"].(map[string]any))
	for _, what := range []string{
		"GET /v1/status", "GET /v1/version", "GET /v1/boot", "GET /v1/sockets", "GET /v1/legacy", "GET /v1/queues", "GET /v1/routes",
		"GET /v1/streams", "GET /v1/quarantine", "GET /v1/tasks/" + task, "GET /v1/tasks/" + task + "/why", "GET /v1/satellites/*/why",
		"GET /v1/satellites/*/history", "GET /v1/satellites/*/stats", "GET /readyz?verbose", "POST /v1/queues/echo/pause",
		"POST /v1/send/echo", "POST /v1/quarantine/all/drop", "GET /v1/tasks/none", "GET /v1/journal",
	} {
		a := h.ask("unix", what, "")
		method, path, _ := strings.Cut(what, " ")
		path, _, _ = strings.Cut(path, "?")
		for _, name := range []string{task, "none"} {
			path = strings.Replace(path, "/tasks/"+name, "/tasks/{id}", 1)
		}
		path = strings.NewReplacer("*", "{names}", "/queues/echo", "/queues/{step}", "send/echo", "send/{step}", "/all/", "/{id}/").Replace(path)
		operation, ok := dig(doc, "paths", path, strings.ToLower(method)).(map[string]any)
		if !ok {
			t.Errorf("%s is not in the document", path)
			continue
		}
		code := "200"
		if a.status != 200 {
			code = "default"
		}
		schema := dig(operation, "responses", code, "content", "application/json", "schema").(map[string]any)
		var value any
		if err := json.Unmarshal([]byte(a.body), &value); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := judge.fits(value, schema, what); err != nil {
			t.Error(err)
		}
	}
}

func dig(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// schemas judges values by the few words of JSON Schema that the document uses.
type schemas map[string]any

func (all schemas) fits(v any, schema map[string]any, at string) error {
	if ref, ok := schema["$ref"].(string); ok {
		return all.fits(v, all[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any), at)
	}
	if either, ok := schema["anyOf"].([]any); ok {
		if v == nil {
			return nil
		}
		return all.fits(v, either[0].(map[string]any), at)
	}
	kind := map[string]string{"map[string]interface {}": "object", "[]interface {}": "array", "float64": "number", "string": "string", "bool": "boolean"}[fmt.Sprintf("%T", v)]
	if want, ok := schema["type"]; ok && want != kind && (want != "integer" || kind != "number") {
		return fmt.Errorf("%s is %T, want %v", at, v, want)
	}
	switch v := v.(type) {
	case []any:
		for i, x := range v {
			if err := all.fits(x, schema["items"].(map[string]any), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return all.fitsObject(v, schema, at)
	}
	return nil
}

func (all schemas) fitsObject(v, schema map[string]any, at string) error {
	fields, _ := schema["properties"].(map[string]any)
	for name, x := range v {
		s, known := fields[name].(map[string]any)
		if others, ok := schema["additionalProperties"].(map[string]any); !known && ok {
			s, known = others, true
		}
		if !known && fields != nil {
			return fmt.Errorf("%s has %q, which the document does not know", at, name)
		}
		if err := all.fits(x, s, at+"."+name); err != nil {
			return err
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s has no %q", at, name)
		}
	}
	return nil
}
