package csv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Column is one value of a row.
type Column struct{ Name, Value string }

// The columns of payloads without names of their own.
const (
	columnValue   = "value"   // of a JSON payload that is no object
	columnPayload = "payload" // of one that is no JSON
)

// deepest is how many levels of a payload are told apart; below, a value is written as JSON.
const deepest = 16

// Flatten turns a payload into columns, in the payload's order. No two have the same name: of a repeated key the last
// value counts, as in JSON.
func Flatten(payload []byte) []Column {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	f := flattener{decoder: d, place: map[string]int{}}
	if err := f.value("", 0); err != nil {
		return []Column{{columnPayload, string(payload)}}
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // io.EOF is the promise of Token
		return []Column{{columnPayload, string(payload)}}
	}
	return f.columns
}

type flattener struct {
	decoder *json.Decoder
	columns []Column
	place   map[string]int
}

func (f *flattener) put(name, value string) {
	switch name {
	case "":
		name = columnValue
	case columnID, columnTime:
		name = "payload." + name
	}
	if i, ok := f.place[name]; ok {
		f.columns[i].Value = value
		return
	}
	f.place[name] = len(f.columns)
	f.columns = append(f.columns, Column{name, value})
}

// value reads one value and puts it under name.
func (f *flattener) value(name string, depth int) error {
	if depth == deepest {
		var raw json.RawMessage
		if err := f.decoder.Decode(&raw); err != nil {
			return err
		}
		f.put(name, string(raw))
		return nil
	}
	token, err := f.decoder.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		return f.nested(name, t, depth)
	case string:
		f.put(name, t)
	case json.Number:
		f.put(name, t.String())
	case bool:
		f.put(name, strconv.FormatBool(t))
	case nil:
		f.put(name, "")
	default:
		return fmt.Errorf("unexpected %T", token)
	}
	return nil
}

// nested reads the rest of an object or array. An empty one is a column of its own, so that its key is not lost.
func (f *flattener) nested(name string, open json.Delim, depth int) error {
	empty := true
	for i := 0; f.decoder.More(); i++ {
		empty = false
		key := strconv.Itoa(i)
		if open == '{' {
			token, err := f.decoder.Token()
			if err != nil {
				return err
			}
			key, _ = token.(string)
		}
		if err := f.value(join(name, key), depth+1); err != nil {
			return err
		}
	}
	if _, err := f.decoder.Token(); err != nil {
		return err
	}
	if empty && name != "" {
		f.put(name, "")
	}
	return nil
}

func join(name, key string) string {
	if name == "" {
		return key
	}
	return name + "." + key
}
