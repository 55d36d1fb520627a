package satellites

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// EnvOptions is the environment variable that carries a satellite's options: a JSON object.
const EnvOptions = "DSAT_OPTIONS"

// Duration is an option such as "1m30s". A bare number is refused: nobody can tell its unit.
type Duration time.Duration

// UnmarshalJSON reads a string in the manner of time.ParseDuration.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("cannot read %s as a duration: write it as \"1m30s\"", text)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("cannot read %q as a duration: write it as \"1m30s\"", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Options decodes DSAT_OPTIONS into v, a pointer to a struct whose json tags name the options. What is not given keeps
// the value it has in v. A key that v does not know is an error which names it; case matters.
func Options(v any) error {
	text := os.Getenv(EnvOptions)
	if text == "" {
		return nil
	}
	return decodeOptions([]byte(text), v)
}

// DecodeOptions is Options for values that are at hand, such as those of a topology file that is being checked.
func DecodeOptions(options map[string]any, v any) error {
	if len(options) == 0 {
		return nil
	}
	text, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("cannot read the options: %w", err)
	}
	return decodeOptions(text, v)
}

func decodeOptions(text []byte, v any) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil {
		return fmt.Errorf("cannot read the options: %w", err)
	}
	fields := optionFields(v)
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		field, known := fields[name]
		if !known {
			return fmt.Errorf("unknown option %q: %s", name, knownOptions(fields))
		}
		if err := json.Unmarshal(given[name], field.Addr().Interface()); err != nil {
			return fmt.Errorf("cannot read option %q: %w", name, err)
		}
	}
	return nil
}

// optionFields maps the json tags of the struct that v points to onto its fields: encoding/json alone would match
// names in any case.
func optionFields(v any) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = s.Field(i)
		}
	}
	return fields
}

func knownOptions(fields map[string]reflect.Value) string {
	if len(fields) == 0 {
		return "it takes none"
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return "it takes " + strings.Join(names, ", ")
}
