package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report gathers figures: for each row (what was measured) and contender, one value a run.
type report struct {
	title  string
	floor  string // the contender that ratios are told against
	notes  []string
	rows   []string
	names  []string
	values map[string]map[string][]float64
}

func newReport(title, floor string) *report {
	return &report{title: title, floor: floor, values: map[string]map[string][]float64{}}
}

// add keeps one run's value of a row, for instance "launch 1000, ms", of a contender.
func (r *report) add(row, contender string, value float64) {
	if r.values[row] == nil {
		r.values[row] = map[string][]float64{}
		r.rows = append(r.rows, row)
	}
	if !slices.Contains(r.names, contender) {
		r.names = append(r.names, contender)
	}
	r.values[row][contender] = append(r.values[row][contender], value)
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the value below which that share of the values lies (nearest rank).
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// markdown prints the medians with minimum and maximum, and each contender's ratio to the floor.
func (r *report) markdown(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nmedians of runs in turn (min-max); `x` is the ratio to %s in the same run. %s, %s/%s, %d cores, %s.\n\n|",
		r.title, r.floor, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), now.Format("2006-01-02"))
	for _, name := range append([]string{""}, r.names...) {
		fmt.Fprintf(&b, " %s |", name)
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(r.names)+1) + "\n")
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s |", row)
		base := median(r.values[row][r.floor])
		for _, name := range r.names {
			b.WriteString(cell(r.values[row][name], base, name == r.floor) + " |")
		}
		b.WriteString("\n")
	}
	for _, note := range r.notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	return b.String()
}

func cell(values []float64, base float64, floor bool) string {
	if len(values) == 0 {
		return " -"
	}
	text := fmt.Sprintf(" %s (%s-%s)", short(median(values)), short(slices.Min(values)), short(slices.Max(values)))
	if !floor && base > 0 {
		text += fmt.Sprintf(" %.2fx", median(values)/base)
	}
	return text
}

// short prints three significant digits, thousands with separators.
func short(v float64) string {
	switch {
	case v >= 100_000:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// machine says what the figures were taken on.
func machine() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "kernel unknown"
	}
	return "kernel " + strings.TrimSpace(string(text))
}
