package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		told, got string
		want      verdict
	}{
		"all there": {"a/1 1 10\n", "a/1 1 4\na/1 5 10\n", verdict{producers: 1, accepted: 10, received: 10}},
		"prefix, middle, postfix": {"a/1 1 10\n", "a/1 3 4\na/1 7 8\n",
			verdict{producers: 1, accepted: 10, received: 4, lostPrefix: 2, lostMiddle: 2, lostPostfix: 2}},
		"all lost is a postfix": {"a/1 1 3\n", "", verdict{producers: 1, accepted: 3, lostPostfix: 3}},
		"twice":                 {"a/1 1 3\n", "a/1 1 3\na/1 2 2\n", verdict{producers: 1, accepted: 3, received: 3, duplicated: 1}},
		"died before it was told": {"a/1 1 3\n", "a/1 1 4\nb/2 1 2\n",
			verdict{producers: 1, accepted: 3, received: 3, unconfirmed: 3}},
		"invented":         {"a/1 1 3\n", "a/1 1 3\na/1 9999999 9999999\nnobody 1 1\n", verdict{producers: 1, accepted: 3, received: 3, invented: 2}},
		"told in pieces":   {"a/1 1 2\na/1 5 6\n", "a/1 1 6\n", verdict{producers: 1, accepted: 4, received: 4, invented: 2}},
		"a torn last line": {"a/1 1 3\na/1 4", "a/1 1 3\n", verdict{producers: 1, accepted: 3, received: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			told, err := read(strings.NewReader(c.told))
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(strings.NewReader(c.got))
			if err != nil {
				t.Fatal(err)
			}
			if v := judge(told, got); v != c.want {
				t.Errorf("got  %swant %s", v, c.want)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, text := range []string{"a 1\n", "a 0 1\n", "a 2 1\n", "a 1 x\n", "a 1 99999999999999\n", "\n"} {
		if e, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read as %v", text, e)
		}
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	told, good := write("told", "a/1 1 3\n"), write("good", "a/1 1 3\n")
	twice, bad, empty := write("twice", "a/1 1 3\na/1 1 1\n"), write("bad", "a/1 1 2\n"), write("empty", "")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{told, good}, 0},
		{[]string{told, bad}, 1},
		{[]string{told, bad, good}, 0},
		{[]string{told, twice}, 0},
		{[]string{"--duplicates", "0", told, twice}, 1},
		{[]string{empty, empty}, 2},
		{[]string{told, filepath.Join(dir, "missing")}, 2},
		{[]string{told}, 2},
	} {
		var out, complaints bytes.Buffer
		if code := run(c.args, &out, &complaints); code != c.want {
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, code, c.want, out.String(), complaints.String())
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a/1 1 3\n")
	f.Add("a 1 4294967296\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.first == 0 || e.last < e.first {
				t.Errorf("%q was read as %v", text, e)
			}
		}
	})
}
