package satellites

import (
	"strings"
	"testing"
	"time"
)

type options struct {
	Every Duration `json:"every"`
	N     int      `json:"n,omitempty"`
}

func TestOptionsFromTheEnvironment(t *testing.T) {
	tests := map[string]struct {
		env, err string
		want     options
	}{
		"none":       {"", "", options{N: 3}},
		"empty":      {"{}", "", options{N: 3}},
		"some":       {`{"every":"2s"}`, "", options{Every: Duration(2 * time.Second), N: 3}},
		"all":        {`{"every":"2s","n":5}`, "", options{Every: Duration(2 * time.Second), N: 5}},
		"unknown":    {`{"evry":"2s"}`, `unknown option "evry": it takes every, n`, options{}},
		"case":       {`{"N":5}`, `unknown option "N"`, options{}},
		"wrong type": {`{"n":"five"}`, `option "n"`, options{}},
		"no object":  {`[1]`, "cannot read the options", options{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvOptions, tt.env)
			got := options{N: 3}
			err := Options(&got)
			if tt.err == "" {
				if err != nil || got != tt.want {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func FuzzDecodeOptions(f *testing.F) {
	f.Add(`{"every":"2s","n":5}`)
	f.Fuzz(func(t *testing.T, text string) {
		var o options
		if err := decodeOptions([]byte(text), &o); err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without words")
		}
	})
}
