package main

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantileIsAValueOfTheSample(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		q      float64
		want   float64
	}{
		{"nothing", nil, 0.5, 0},
		{"one", []float64{7}, 0.99, 7},
		{"odd", []float64{3, 1, 2}, 0.5, 2},
		{"even: the upper", []float64{4, 1, 3, 2}, 0.5, 3},
		{"all", []float64{1, 2, 3}, 1, 3},
		{"none", []float64{1, 2, 3}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := quantile(c.values, c.q); got != c.want {
				t.Errorf("quantile %v of %v is %v, want %v", c.q, c.values, got, c.want)
			}
		})
	}
}

func TestQuantileGrowsAndLeavesItsInputAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 50).Draw(t, "values")
		before := append([]float64(nil), values...)
		low := rapid.Float64Range(0, 1).Draw(t, "low")
		high := rapid.Float64Range(low, 1).Draw(t, "high")
		if a, b := quantile(values, low), quantile(values, high); a > b {
			t.Fatalf("quantile %v is %v, quantile %v is %v", low, a, high, b)
		}
		for i := range values {
			if values[i] != before[i] {
				t.Fatal("the input was sorted")
			}
		}
	})
}

func TestMarkdownTellsMedianSpreadAndRatio(t *testing.T) {
	r := newReport("Speed", "floor")
	for i, v := range []float64{10, 30, 20} {
		r.add("launch, ms", "floor", v)
		r.add("launch, ms", "dsatd", 2*v)
		r.add("status, ms", "dsatd", float64(i))
	}
	r.notes = []string{"a note"}
	text := r.markdown(time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		"# Speed\n",
		"2026-05-04",
		"|  | floor | dsatd |\n|---|---|---|\n",
		"| launch, ms | 20.0 (10.0-30.0) | 40.0 (20.0-60.0) 2.00x |\n",
		"| status, ms | - | 1.00 (0.00-2.00) |\n", // no ratio to nothing
		"\na note\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestShortKeepsThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{1_413_388: "1413k", 99_999: "99999", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0: "0.00"} {
		if got := short(v); got != want {
			t.Errorf("short(%v) is %q, want %q", v, got, want)
		}
	}
}

func TestTablesTellTheBestAndWhoHadFewerRuns(t *testing.T) {
	r := newReport("Speed", "floor")
	r.bold = true
	for _, n := range []string{"10 children", "20 children"} {
		r.begin(n)
		for range 2 {
			r.add("launch, ms", "floor", 1)
			r.add("launch, ms", "dsatd", 3)
			r.add("threads", "dsatd", 2)
		}
		r.add("launch, ms", "slow", 4)
		r.add("threads", "slow", 2)
	}
	r.note("skipped: %s: %v", "gone", "not there")
	text := r.markdown(time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		"\n## 10 children\n\n|  | floor | dsatd | slow (runs: 1) |\n|---|---|---|---|\n",
		"| launch, ms | 1.00 | **3.00 3.00x** | 4.00 4.00x |\n", // the floor is not in the race
		"| threads | - | 2.00 | 2.00 |\n\n## 20 children\n",     // a draw
		"\n\nskipped: gone: not there\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTargetsAreMetOrMissed(t *testing.T) {
	r := newReport("Speed", "floor")
	r.add("rate", "floor", 10)
	r.add("rate", "dsatd", 15)
	r.begin("other").add("p50", "dsatd", 100)
	r.goalOver(1.5, atLeast, "rate", "dsatd", figure{"rate", "floor"})
	r.goalOver(2, atLeast, "rate", "dsatd", figure{"rate", "floor"})
	r.goal(100, atMost, "p50", "dsatd")
	r.goal(99, atMost, "p50", "dsatd")
	r.goalOver(1, atMost, "p50", "dsatd", figure{"rate", "floor"})
	r.goal(1, atLeast, "rate", "nobody")
	r.goalOver(1, atLeast, "rate", "dsatd", figure{"rate", "nobody"})
	text := r.markdown(time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		"| dsatd, rate over floor | >= 1.5 x | 1.50 x | met |\n",
		"| dsatd, rate over floor | >= 2 x | 1.50 x | **missed** |\n",
		"| dsatd, p50 | <= 100 | 100 | met |\n",
		"| dsatd, p50 | <= 99 | 100 | **missed** |\n",
		"| dsatd, p50 over floor, rate | <= 1 x | 10.0 x | **missed** |\n",
		"| nobody, rate | >= 1 | - | not measured |\n",
		"| dsatd, rate over nobody | >= 1 x | - | not measured |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
