package rules

import (
	"errors"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/file"
)

// faultOf is an error of the library in our words.
func faultOf(text string, err error) *Fault {
	f := &Fault{Text: firstLine(err.Error())}
	var at *file.Error
	if errors.As(err, &at) {
		f = &Fault{Off: byteAt(text, at.From), Text: firstLine(at.Message)}
	}
	switch {
	case strings.HasPrefix(f.Text, "unexpected token"):
		f.Text = "the expression cannot be read: " + f.Text
		if regexp.MustCompile(`[^=!<>]=[^=~]`).MatchString(text) {
			f.Hint = "compare with =="
		}
		if strings.Contains(text, "'") || strings.Contains(text, "&") && !strings.Contains(text, "&&") {
			f.Hint = `and is &&, or is ||; strings are "..." or '...'`
		}
	case strings.Contains(f.Text, "expected bool, but got "):
		f.Text = "a condition is true or false, and this gives " + strings.TrimPrefix(f.Text, "expected bool, but got ")
		f.Hint = `compare it with something: payload.load1 > 4`
	}
	return f
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// byteAt is the offset in bytes of the n-th character.
func byteAt(text string, n int) int {
	for off := range text {
		if n--; n < 0 {
			return off
		}
	}
	return len(text)
}
