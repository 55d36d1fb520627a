package bus

import "github.com/dsat/dsat/bus/rules"

// condition is that of a link: most have none.
func (m *model) condition() string { return []string{"", "", `hash(payload, 3) == 0`}[m.rnd.IntN(3)] }

// meant reports whether messages of a task take the link from one step to another.
func (m *model) meant(from, to *step, task uint64) bool {
	for _, l := range from.sat.To {
		if l.To == to.name {
			return l.When == "" || rules.Sum(string(m.payload(task)))%3 == 0
		}
	}
	return false
}
