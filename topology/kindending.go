package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// endingKind is what follows an end: "stay", "stop-group", "exit" or "exit:CODE". A group has no "stay".
type endingKind struct{ group bool }

func (endingKind) typ() string { return "string" }
func (e endingKind) wants(*key) string {
	if e.group {
		return `"stop-group", "exit" or "exit:CODE"`
	}
	return `"stay", "stop-group", "exit" or "exit:CODE"`
}

func (e endingKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	text := v.(string)
	word, number, coded := strings.Cut(text, ":")
	code, err := strconv.ParseUint(number, 10, 8)
	switch {
	case text == "stay" && !e.group:
		return Ending{}, true
	case text == string(EndStop):
		return Ending{Kind: EndStop}, true
	case text == string(EndExit):
		return Ending{Kind: EndExit, Code: OwnCode}, true
	case word == string(EndExit) && coded && err == nil:
		return Ending{Kind: EndExit, Code: int(code)}, true
	case word == string(EndExit) && coded:
		r.problem(n.at, "", "%s = %q: an exit code is a number from 0 to 255, not %q", k.label, shorten(text), shorten(number))
		return nil, false
	}
	words := []string{string(EndStop), string(EndExit)}
	hint := didYouMean(text, words)
	if text == "fatal" || text == "exited" || text == "ignore" || text == "none" {
		hint = "did you mean stay?"
	}
	r.problem(n.at, hint, "%s wants %s, not %q", k.label, e.wants(k), shorten(text))
	return nil, false
}

func (endingKind) format(v any) string { return `"` + v.(Ending).String() + `"` }

// String is the word of the file.
func (e Ending) String() string {
	switch {
	case e.Kind == EndStay:
		return "stay"
	case e.Kind == EndExit && e.Code >= 0:
		return fmt.Sprintf("%s:%d", e.Kind, e.Code)
	}
	return string(e.Kind)
}

func (e endingKind) schema(*key) map[string]any {
	pattern := "^(stay|stop-group|exit(:[0-9]{1,3})?)$"
	if e.group {
		pattern = "^(stop-group|exit(:[0-9]{1,3})?)$"
	}
	return expandable(map[string]any{"type": "string", "pattern": pattern})
}
