package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report gathers figures, in one table or several.
type report struct {
	title string
	floor string // the contender that ratios are told against
	bold  bool   // the smallest figure beside the floor's is marked: less is better
	notes []string
	parts []*part
	goals []goal
}

// part is one table: for each row (what was measured) and contender, one value a run.
type part struct {
	title  string
	floor  string // in place of the report's
	rows   []string
	names  []string
	values map[string]map[string][]float64
}

func newReport(title, floor string) *report { return &report{title: title, floor: floor} }

// begin opens a table of its own for what follows.
func (r *report) begin(title string) *part {
	p := &part{title: title, floor: r.floor, values: map[string]map[string][]float64{}}
	r.parts = append(r.parts, p)
	return p
}

func (r *report) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// add keeps one run's value of a row, for instance "launch, ms", of a contender.
func (r *report) add(row, contender string, value float64) {
	if len(r.parts) == 0 {
		r.begin("")
	}
	r.parts[len(r.parts)-1].add(row, contender, value)
}

func (p *part) add(row, contender string, value float64) {
	if p.values[row] == nil {
		p.values[row] = map[string][]float64{}
		p.rows = append(p.rows, row)
	}
	if !slices.Contains(p.names, contender) {
		p.names = append(p.names, contender)
	}
	p.values[row][contender] = append(p.values[row][contender], value)
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
	fmt.Fprintf(&b, "# %s\n\nmedians of runs in turn (min-max); `x` is the ratio to %s in the same run. %s, %s/%s, %d cores, %s.\n\n",
		r.title, r.floor, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), now.Format("2006-01-02"))
	for i, p := range r.parts {
		if i > 0 {
			b.WriteString("\n")
		}
		if p.title != "" {
			fmt.Fprintf(&b, "## %s\n\n", p.title)
		}
		if p.floor != r.floor {
			fmt.Fprintf(&b, "`x` is the ratio to %s.\n\n", p.floor)
		}
		b.WriteString(p.table(p.floor, r.bold))
	}
	b.WriteString(r.targets())
	for _, note := range r.notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	return b.String()
}

func (p *part) table(floor string, bold bool) string {
	var b strings.Builder
	b.WriteString("|")
	for _, name := range append([]string{""}, p.names...) {
		fmt.Fprintf(&b, " %s |", strings.TrimSpace(name+" "+p.fewer(name)))
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(p.names)+1) + "\n")
	for _, row := range p.rows {
		fmt.Fprintf(&b, "| %s |", row)
		base, best := median(p.values[row][floor]), ""
		if bold {
			best = p.best(row, floor)
		}
		for _, name := range p.names {
			text := cell(p.values[row][name], base, name == floor)
			if name == best {
				text = " **" + strings.TrimSpace(text) + "**"
			}
			b.WriteString(text + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// most is how many runs a contender has, in the row it has most of.
func (p *part) most(name string) int {
	most := 0
	for _, row := range p.values {
		most = max(most, len(row[name]))
	}
	return most
}

// fewer says how many runs a contender has when another has more.
func (p *part) fewer(name string) string {
	most := 0
	for _, other := range p.names {
		most = max(most, p.most(other))
	}
	if own := p.most(name); name != "" && own < most {
		return fmt.Sprintf("(runs: %d)", own)
	}
	return ""
}

// best is who has the smallest figure beside the floor; nobody, where several have it.
func (p *part) best(row, floor string) string {
	best, several := "", false
	for _, name := range p.names {
		values := p.values[row][name]
		if name == floor || len(values) == 0 {
			continue
		}
		switch {
		case best == "" || median(values) < median(p.values[row][best]):
			best, several = name, false
		case median(values) == median(p.values[row][best]):
			several = true
		}
	}
	if several {
		return ""
	}
	return best
}

func cell(values []float64, base float64, floor bool) string {
	if len(values) == 0 {
		return " -"
	}
	text := " " + short(median(values))
	if low, high := short(slices.Min(values)), short(slices.Max(values)); low != high {
		text += fmt.Sprintf(" (%s-%s)", low, high)
	}
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
