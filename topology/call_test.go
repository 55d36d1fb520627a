package topology

import (
	"strings"
	"testing"
)

func TestCirclesWithCallsAreTold(t *testing.T) {
	for text, want := range map[string]string{
		`calls = "b"`: "",
		`calls = "a"`: "a calls a in a circle: a -> a",
		"calls = \"b\"\n[satellite.b]\ncommand=\"b\"\nspeaks=\"bus\"\ncalls=\"a\"":                                                        "a calls b, b calls a in a circle: a -> b -> a",
		"calls = \"b\"\n[satellite.b]\ncommand=\"b\"\nspeaks=\"bus\"\nto=\"c\"\n[satellite.c]\ncommand=\"c\"\nspeaks=\"lines\"\nto=\"a\"": "a calls b in a circle: a -> b -> c -> a",
	} {
		full := "[satellite.a]\ncommand = \"a\"\nspeaks = \"bus\"\n" + text
		if !strings.Contains(text, "satellite.b") {
			full += "\n[satellite.b]\ncommand = \"b\"\nspeaks = \"bus\""
		}
		l, err := loadText(t, full)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		notes := strings.Join(l.Notes, "\n")
		if want == "" && strings.Contains(notes, "circle") || !strings.Contains(notes, want) {
			t.Errorf("%s: notes %q, want %q", text, notes, want)
		}
	}
}

func TestCallsAreDrawnAndOrderTheEnd(t *testing.T) {
	l, err := loadText(t, "[satellite.a]\ncommand=\"a\"\nspeaks=\"bus\"\ncalls=\"b\"\n[satellite.b]\ncommand=\"b\"\nspeaks=\"bus\"")
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{"dot": `"a" -> "b" [dir=both`, "mermaid": "s_a <-- calls --> s_b", "text": "(calls b)"} {
		if got, err := l.Graph(format); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v\n%s", format, err, got)
		}
	}
	if got := l.Sources(); len(got) != 1 || got[0] != "a" {
		t.Errorf("sources %q", got)
	}
}
