package supervisor

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/dsat/dsat/topology"
)

// SelectLogs is Select, and finds those too that are not there any more and have left log files: scaled away, or removed from the
// topology.
func (s *Supervisor) SelectLogs(pattern string) ([]topology.Ref, error) {
	var kept []topology.Ref
	if s.logDir != "" {
		segments, err := s.writer.archive.list()
		if err != nil {
			s.log.Warn("cannot list the log files", "dir", s.logDir, "error", err)
		}
		for _, seg := range segments {
			kept = append(kept, seg.ref)
		}
		slices.SortFunc(kept, func(a, b topology.Ref) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.WID-b.WID) })
		kept = slices.Compact(kept)
	}
	var live, gone []topology.Ref
	for part := range strings.SplitSeq(pattern, ",") {
		part = strings.TrimSpace(part)
		there, err := s.Select(part)
		found := err == nil
		live = append(live, there...)
		for _, ref := range kept {
			name, _ := path.Match(part, ref.Name)
			one, _ := path.Match(part, ref.String())
			if (name || one) && !slices.Contains(there, ref) {
				found = true
				gone = append(gone, ref)
			}
		}
		if !found {
			return nil, err
		}
	}
	all, seen := live[:0:0], make(map[topology.Ref]bool)
	for _, ref := range append(live, gone...) {
		if !seen[ref] {
			seen[ref] = true
			all = append(all, ref)
		}
	}
	return all, nil
}
