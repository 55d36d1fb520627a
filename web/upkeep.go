package web

import (
	"fmt"
	"slices"

	"github.com/dsat/dsat/supervisor"
)

// upkeep tells what dsat itself did to an instance: how often it was replaced, and the last end that it or the group wanted.
func (q *inquiry) upkeep(in *supervisor.InstanceStatus) (said []string) {
	if in.Recycles > 0 {
		said = append(said, fmt.Sprintf("Since this dsatd began its process was replaced %s, because it was worn.", times(in.Recycles)))
	}
	for _, d := range slices.Backward(q.deaths) {
		if d.Ref == in.Ref && d.Motive != "" {
			return append(said, fmt.Sprintf("Process %d was ended by dsat %s ago (%s): %s.", d.PID, spell(q.now.Sub(d.Time)), q.at(d.Time), d.Motive))
		}
	}
	return said
}
