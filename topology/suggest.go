package topology

import "strings"

// maxCandidates bounds the search: in a topology of 30,000 names every wrong one would be compared with all.
const maxCandidates = 2000

// suggest returns the candidate that was probably meant, or "".
func suggest(name string, candidates []string) string {
	if len(name) > 64 || len(candidates) > maxCandidates {
		return ""
	}
	best, bestCost := "", 1+max(1, len(name)/3)
	low := strings.ToLower(name)
	for _, c := range candidates {
		if d := len(c) - len(name); d > bestCost || -d > bestCost {
			continue
		}
		if cost := distance(low, strings.ToLower(c)); cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best
}

// didYouMean is suggest as a hint.
func didYouMean(name string, candidates []string) string {
	if s := suggest(name, candidates); s != "" {
		return "did you mean " + s + "?"
	}
	return ""
}

// distance counts the edits between two words; two neighbours exchanged count as one.
func distance(a, b string) int {
	var older []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, prev = prev, row
	}
	return prev[len(b)]
}
