package bus

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/bus/wire"
)

// vectorCodec shows a whole vector of DSAT 0.6 as an object with the names that DSAT has for its fields, and reads such an object. arg is
// the payload: a value where the serialization is JSON, else text.
type vectorCodec struct{}

// fieldsOf are the fields of a vector by their names in DSAT.
func fieldsOf(v *v1.Vector) map[string]*[]byte {
	return map[string]*[]byte{"where": &v.Where, "step": &v.Step, "wid": &v.WID, "pid": &v.PID, "next": &v.Next, "emitter": &v.Emitter, "type": &v.Type,
		"channel": &v.Channel, "task_id": &v.TaskID, "event": &v.Event, "seq": &v.Seq, "serialization": &v.Serialization}
}

// Spec implements codec.Codec.
func (vectorCodec) Spec() codec.Spec { return codec.Spec{Name: "v1"} }

// Decode implements codec.Codec.
func (vectorCodec) Decode(payload []byte) (any, error) {
	v, err := v1.Parse(payload)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name, field := range fieldsOf(&v) {
		out[name] = string(*field)
	}
	out["arg"] = string(v.Payload)
	if codecOf(&v) == wire.JSON {
		if arg, err := plain[wire.JSON].Decode(v.Payload); err == nil {
			out["arg"] = arg
		}
	}
	return out, nil
}

// Encode implements codec.Codec. Fields that are not there are empty, but seq.
func (vectorCodec) Encode(value any) ([]byte, error) {
	in, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("cannot make a vector of it: it is no object with the fields of one")
	}
	v := v1.Vector{Seq: []byte{'0'}}
	fields := fieldsOf(&v)
	var arg any
	for _, name := range slices.Sorted(maps.Keys(in)) {
		text, isText := in[name].(string)
		switch field := fields[name]; {
		case name == "arg":
			arg = in[name]
		case field == nil:
			return nil, fmt.Errorf("cannot make a vector of it: %.60q is none of its fields (%s)", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case !isText:
			return nil, fmt.Errorf("cannot make a vector of it: %s is no string", name)
		default:
			*field = []byte(text)
		}
	}
	var err error
	if v.Payload, err = argument(&v, arg); err != nil {
		return nil, err
	}
	if err := v.Check(); err != nil {
		return nil, err
	}
	return v.Append(nil), nil
}

// argument writes arg as the serialization says.
func argument(v *v1.Vector, arg any) ([]byte, error) {
	if codecOf(v) == wire.JSON {
		return plain[wire.JSON].Encode(arg)
	}
	switch arg := arg.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(arg), nil
	case []byte:
		return bytes.Clone(arg), nil
	}
	return nil, fmt.Errorf("cannot make a vector of it: arg is no string, and serialization %.60q is no JSON", v.Serialization)
}
