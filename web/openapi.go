package web

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dsat/dsat/web/control"
)

// operation is what the OpenAPI document tells of a route beside its pattern and who may use it.
type operation struct {
	what    string      // as in docs/api.md
	query   []parameter // beside those of the path
	body    any         // a value of the type that is sent as JSON; octets: any bytes
	answer  any         // a value of the type that is answered
	content string      // how; "": JSON
}

// parameter is one of a query.
type parameter struct{ name, kind, what string }

// octets is a body of any bytes.
type octets struct{}

// Kinds of parameters.
const (
	kindText     = "string"
	kindNumber   = "number"
	kindWhole    = "integer"
	kindFlag     = "flag"     // on without a value, off with 0 or false
	kindDuration = "duration" // 30s, 1m30s
)

const (
	contentText   = "text/plain"
	contentHTML   = "text/html"
	contentEvents = "text/event-stream"
)

// openAPI answers GET /v1/openapi.json: the table of routes in the words of OpenAPI 3.1, with schemas of the types that are written.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	d := describer{schemas: map[string]any{}}
	paths, all := map[string]map[string]any{}, operations()
	for _, r := range s.routes() {
		method, path, _ := strings.Cut(strings.TrimSuffix(r.pattern, "{$}"), " ")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(method)] = d.operation(r, path, all[r.pattern])
	}
	return answer(w, map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "dsatd", "version": s.cfg.Version.Version,
			"description": "x-access: read and send are allowed at both doors, operate at the unix socket only. docs/api.md tells more.",
		},
		"paths":      paths,
		"components": map[string]any{"schemas": d.schemas},
	})
}

// describer collects the schemas of the types it comes by.
type describer struct{ schemas map[string]any }

func (d *describer) operation(r route, path string, o operation) map[string]any {
	kind := o.content
	if kind == "" {
		kind = "application/json"
	}
	good := map[string]any{"description": o.what}
	if o.answer != nil {
		good["content"] = map[string]any{kind: map[string]any{"schema": d.schema(reflect.TypeOf(o.answer))}}
	}
	out := map[string]any{
		"summary":    o.what,
		"x-access":   r.need.String(),
		"parameters": parameters(path, o.query),
		"responses": map[string]any{
			"200": good,
			"default": map[string]any{"description": "an error, with its kind and a sentence", "content": map[string]any{
				"application/json": map[string]any{"schema": d.schema(reflect.TypeFor[control.ErrorAnswer]())},
			}},
		},
	}
	if o.body != nil {
		media := map[string]any{"application/json": map[string]any{"schema": d.schema(reflect.TypeOf(o.body))}}
		if o.body == (octets{}) {
			media = map[string]any{"application/octet-stream": map[string]any{}}
		}
		out["requestBody"] = map[string]any{"content": media}
	}
	return out
}

// parameters lists those of a path and of a query.
func parameters(path string, query []parameter) []any {
	list := []any{}
	for part := range strings.SplitSeq(path, "/") {
		if name := strings.Trim(part, "{}"); name != part {
			list = append(list, map[string]any{"name": name, "in": "path", "required": true, "schema": map[string]any{"type": kindText}})
		}
	}
	for _, q := range query {
		p := map[string]any{"name": q.name, "in": "query", "description": q.what}
		switch q.kind {
		case kindFlag:
			p["allowEmptyValue"], p["schema"] = true, map[string]any{"type": kindText, "enum": []string{"", "0", "1", "false", "true"}}
		case kindDuration:
			p["schema"] = map[string]any{"type": kindText, "examples": []string{"30s", "1m30s"}}
		default:
			p["schema"] = map[string]any{"type": q.kind}
		}
		list = append(list, p)
	}
	return list
}

// schema is the JSON Schema of what encoding/json makes of a type.
func (d *describer) schema(t reflect.Type) map[string]any {
	switch {
	case t.Kind() == reflect.Pointer:
		return d.schema(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Interface:
		return map[string]any{} // any value
	case t == reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.object(t)
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": kindNumber}
	case reflect.String:
		return map[string]any{"type": kindText}
	}
	return map[string]any{"type": kindWhole}
}

// object is a struct: by its name, and once.
func (d *describer) object(t reflect.Type) map[string]any {
	if t.Name() == "" {
		return map[string]any{"type": "object"}
	}
	ref := map[string]any{"$ref": "#/components/schemas/" + t.Name()}
	if d.schemas[t.Name()] != nil {
		return ref
	}
	s := map[string]any{"type": "object"}
	d.schemas[t.Name()] = s // before its fields: a type may have itself
	fields, required := map[string]any{}, []string{}
	d.fields(t, fields, &required)
	s["properties"] = fields
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return ref
}

// fields are those that encoding/json writes, with those of embedded structs.
func (d *describer) fields(t reflect.Type, into map[string]any, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			d.fields(f.Type, into, required)
		case f.IsExported() && name != "-":
			if name == "" {
				name = f.Name
			}
			into[name] = d.schema(f.Type)
			if f.Type.Kind() == reflect.Slice && !strings.Contains(options, "omitempty") {
				into[name] = map[string]any{"anyOf": []any{into[name], map[string]any{"type": "null"}}} // a nil slice
			}
			if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
				*required = append(*required, name)
			}
		}
	}
}
