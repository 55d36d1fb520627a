package main

import (
	"slices"
	"strings"
)

// closest returns the names that s may have been meant for, nearest first: at most two letters off, or begun with s.
func closest(s string, names []string) []string {
	type near struct {
		name string
		off  int
	}
	var all []near
	for _, name := range names {
		off := distance(strings.ToLower(s), strings.ToLower(name))
		begun := len(s) > 1 && strings.HasPrefix(name, s)
		if off <= 2 && off < len(s) || begun {
			all = append(all, near{name, off})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return a.off - b.off })
	best := []string{}
	for _, n := range all[:min(len(all), 3)] {
		best = append(best, n.name)
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to come from a to b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// didYouMean is the tail of a sentence, empty without suggestions.
func didYouMean(names []string) string {
	if len(names) == 0 {
		return ""
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = `"` + printable(name) + `"`
	}
	return "; did you mean " + strings.Join(quoted, " or ") + "?"
}
