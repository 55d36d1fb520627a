package main

import (
	"fmt"
	"strings"
)

// goal is what a figure is to be, alone or as a ratio to another one of the same report.
type goal struct {
	bound    float64
	most     bool // it is the largest wanted, not the smallest
	row, who string
	over     *figure
}

// figure is a cell: a row and who is measured in it.
type figure struct{ row, who string }

const (
	atLeast = false
	atMost  = true
)

// goal wants a figure to be at least, or at most, so much.
func (r *report) goal(bound float64, most bool, row, who string) {
	r.goals = append(r.goals, goal{bound: bound, most: most, row: row, who: who})
}

// goalOver wants a figure to be at least, or at most, so many times another one.
func (r *report) goalOver(bound float64, most bool, row, who string, over figure) {
	r.goals = append(r.goals, goal{bound: bound, most: most, row: row, who: who, over: &over})
}

// median of a cell, wherever it is.
func (r *report) median(f figure) (float64, bool) {
	for _, p := range r.parts {
		if values := p.values[f.row][f.who]; len(values) > 0 {
			return median(values), true
		}
	}
	return 0, false
}

// targets tells of each goal whether it was met.
func (r *report) targets() string {
	if len(r.goals) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n## Targets\n\n| what | target | seen | |\n|---|---|---|---|\n")
	for _, g := range r.goals {
		sign, unit, against := ">=", "", ""
		if g.most {
			sign = "<="
		}
		seen, known := r.median(figure{g.row, g.who})
		if g.over != nil {
			base, there := r.median(*g.over)
			known = known && there && base > 0
			if known {
				seen /= base
			}
			unit, against = " x", " over "+g.over.who
			if g.over.row != g.row {
				against += ", " + g.over.row
			}
		}
		text, verdict := "-", "not measured"
		if known {
			text, verdict = short(seen)+unit, "**missed**"
			if seen == g.bound || seen > g.bound != g.most {
				verdict = "met"
			}
		}
		fmt.Fprintf(&b, "| %s, %s%s | %s %v%s | %s | %s |\n", g.who, g.row, against, sign, g.bound, unit, text, verdict)
	}
	return b.String()
}
