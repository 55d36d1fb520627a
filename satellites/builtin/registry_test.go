package builtin

import (
	"slices"
	"strings"
	"testing"
)

func TestAll(t *testing.T) {
	if !slices.IsSorted(Names()) {
		t.Errorf("not in order: %v", Names())
	}
	for _, s := range All() {
		if found, ok := Find(s.Name); !ok || found.Name != s.Name || s.Doc == "" || strings.Contains(s.Doc, "\n") || s.Main == nil {
			t.Errorf("%+v", s)
		}
		if err := s.Check(nil); err != nil {
			t.Errorf("%s without options: %v", s.Name, err)
		}
		if err := s.Check(map[string]any{"no-such": 1}); err == nil || !strings.Contains(err.Error(), `unknown option "no-such"`) {
			t.Errorf("%s with an unknown option: %v", s.Name, err)
		}
	}
	if _, ok := Find("no-such"); ok {
		t.Error("found what is not there")
	}
}
