package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 0: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m0s", 192 * time.Second: "3m12s",
		2*time.Hour + 5*time.Minute + time.Second: "2h5m", 24 * time.Hour: "1d0h", 400 * 24 * time.Hour: "400d0h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	for s, want := range map[float64]string{0: "-", -1: "-", 0.25: "250ms", 1: "1s", 65.9: "1m5s"} {
		if got := ageSeconds(s); got != want {
			t.Errorf("%v s: got %s, want %s", s, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 100000: "100,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	if got := grouped(uint64(math.MaxUint64)); got != "18,446,744,073,709,551,615" {
		t.Error(got)
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1.0KiB", 1536: "1.5KiB", 64 << 20: "64MiB", 1 << 60: "1048576TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes: got %s, want %s", n, got, want)
		}
	}
}

func TestClosest(t *testing.T) {
	names := []string{"clock", "cpu", "cpu:0", "csv", "python-worker"}
	for typed, want := range map[string][]string{
		"clcok": {"clock"}, "CPU": {"cpu", "cpu:0", "csv"}, "pyth": {"python-worker"}, "x": {}, "frobnicate": {}, "": {},
	} {
		if got := closest(typed, names); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}

func TestDistanceIsOne(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := distance(a, b)
		switch {
		case d != distance(b, a):
			t.Fatal("the way back is another")
		case (d == 0) != (a == b):
			t.Fatal("nothing apart and not the same, or the reverse")
		case d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)):
			t.Fatalf("%d letters apart", d)
		}
	})
}
