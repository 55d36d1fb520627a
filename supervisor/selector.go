package supervisor

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dsat/dsat/topology"
)

// NotFound says that nothing has this name.
type NotFound struct {
	Name    string
	Suggest []string // names that are close, the closest first
}

func (e *NotFound) Error() string {
	return fmt.Sprintf("cannot find %q: no satellite, instance or group has this name", e.Name)
}

// groupPrefix begins the name of a group, where a satellite could stand.
const groupPrefix = "group:"

// Select finds instances. The pattern is NAME, NAME:WID, group:NAME or a glob of one (*, ?, [a-z]); several are joined by commas. The answer
// is in the order of the topology, without repetition. The error is a *NotFound for the first part that matches nothing.
func (s *Supervisor) Select(pattern string) ([]topology.Ref, error) {
	present := s.roster()
	chosen := make(map[topology.Ref]bool)
	for part := range strings.SplitSeq(pattern, ",") {
		part = strings.TrimSpace(part)
		matching, found := present.match(part)
		if !found {
			return nil, &NotFound{Name: part, Suggest: s.suggest(part)}
		}
		for _, ref := range matching {
			chosen[ref] = true
		}
	}
	var refs []topology.Ref
	for _, sat := range present.satellites {
		for _, i := range sat.instances() {
			if chosen[i.ref] {
				refs = append(refs, i.ref)
			}
		}
	}
	return refs, nil
}

// match finds what one part of a pattern names. A malformed pattern matches nothing, and is reported as that.
func (r *roster) match(part string) (refs []topology.Ref, found bool) {
	group, isGroup := strings.CutPrefix(part, groupPrefix)
	for _, sat := range r.satellites {
		whole, _ := path.Match(part, sat.spec.Name)
		if g := r.groups[sat.spec.Name]; g != nil && isGroup && !whole {
			whole, _ = path.Match(group, g.Name)
		}
		found = found || whole // also without instances
		for _, i := range sat.instances() {
			if ok, _ := path.Match(part, i.ref.String()); ok || whole {
				refs, found = append(refs, i.ref), true
			}
		}
	}
	return refs, found
}

// suggest lists at most three names close to a mistyped one. For an instance that is not there it lists those that are.
func (s *Supervisor) suggest(name string) []string {
	present := s.roster()
	base, _, isInstance := strings.Cut(name, ":")
	if sat := present.byName[base]; sat != nil && isInstance {
		var refs []string
		for _, i := range sat.instances() {
			refs = append(refs, i.ref.String())
		}
		return refs[:min(len(refs), 3)]
	}
	type close struct {
		name string
		far  int
	}
	var near []close
	consider := func(wrong, right, prefix string) {
		d := distance(wrong, right)
		if strings.HasPrefix(right, wrong) && wrong != "" {
			d = min(d, 1)
		}
		if d <= max(2, len(wrong)/3) {
			near = append(near, close{prefix + right, d})
		}
	}
	group, isGroup := strings.CutPrefix(name, groupPrefix)
	for _, g := range present.topology.Groups {
		consider(group, g.Name, groupPrefix) // also where the prefix was forgotten
	}
	if !isGroup {
		for _, sat := range present.satellites {
			consider(base, sat.spec.Name, "")
		}
	}
	slices.SortStableFunc(near, func(a, b close) int { return a.far - b.far })
	var names []string
	for _, n := range near[:min(len(near), 3)] {
		names = append(names, n.name)
	}
	return names
}

// distance is Levenshtein's, with neighbours swapped counting once.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
