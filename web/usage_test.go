package web

import (
	"os"
	"strings"
	"testing"
)

const statTail = " S 1 2 3 0 -1 4194560 5 6 7 8 150 50 0 0 20 0 1 0 9 1000 25 18446744073709551615"

func TestUsageIsReadFromStat(t *testing.T) {
	want := usage{cpu: 2, rss: 25 * int64(os.Getpagesize())}
	for _, name := range []string{"(sh)", "(a) b (c)", "() ) 1 2 3)", "()"} {
		if got, err := parseUsage([]byte("42 " + name + statTail)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "42", "42 (sh)", "42 (sh) S 1 2", "42 (sh)" + strings.Replace(statTail, " 150 ", " x ", 1)} {
		if got, err := parseUsage([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got, err := readUsage(os.Getpid()); err != nil || got.rss <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := readUsage(0); err == nil {
		t.Error("process 0 has a usage")
	}
}

func FuzzUsage(f *testing.F) {
	f.Add([]byte("42 (sh)" + statTail))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = parseUsage(text) // does not panic
	})
}
