package v1

// Form says how a payload is written, in words of dsat.
type Form uint8

// The closed set of Form.
const (
	Text    Form = iota // bytes as they are; DSAT calls it str
	JSON                // one JSON value
	MsgPack             // carried as bytes, read by nobody here
)

// Read says how a payload of this serialization is written. DSAT imports the module of that name, whatever a stranger has written
// there; only those of a list are taken here. Errors are *Malformed.
func Read(serialization string) (Form, error) {
	switch serialization {
	case "str", "raw", "":
		return Text, nil
	case "json", "simplejson", "ujson":
		return JSON, nil
	case "msgpack", "umsgpack":
		return MsgPack, nil
	case "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve":
		return 0, malformed(ReasonSerialization, "%s is refused: who reads it runs whatever the sender wants; write json", serialization)
	case "yaml":
		return 0, malformed(ReasonSerialization, "yaml is refused: its loads may build any object; write json")
	}
	return 0, malformed(ReasonSerialization, "serialization %.60q is refused: str, raw, json, simplejson, ujson, msgpack and umsgpack are taken; DSAT would import a module of that name", serialization)
}

// Write is the serialization of a form.
func Write(f Form) string {
	switch f {
	case JSON:
		return "simplejson"
	case MsgPack:
		return "msgpack"
	}
	return "str"
}
