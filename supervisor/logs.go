package supervisor

import (
	"context"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// SelectLogs is Select, and finds those too that are not there any more and have left log files: scaled away, or removed from the
// topology.
func (s *Supervisor) SelectLogs(pattern string) ([]topology.Ref, error) {
	kept := s.logs.Kept()
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

// ReadLogs returns lines of all that the query names together, in the order of their time, from memory and from files, also of what is stopped
// or no more in the topology. What cannot be read is left out, and said in dsatd's log.
func (s *Supervisor) ReadLogs(ctx context.Context, q logs.Query) iter.Seq[logs.Line] {
	return s.logs.Reader(q, s.book).Lines(ctx)
}

// Follow sends what ReadLogs returns and then every new line of the named instances that the query takes, over restarts too, until the
// context ends or its time is over; then the channel is closed. A slow follower loses lines, counted in the next one it gets, and holds up
// nobody.
func (s *Supervisor) Follow(ctx context.Context, q logs.Query) <-chan logs.Line {
	out := make(chan logs.Line)
	reader := s.logs.Reader(q, s.book)
	started := s.crew.run(func() {
		defer close(out)
		reader.Follow(ctx, s.stopped, out)
	})
	if !started {
		close(out)
	}
	return out
}

// book is that of an instance of the topology; nil: there is none.
func (s *Supervisor) book(ref topology.Ref) *logs.Book {
	if i := s.find(ref); i != nil {
		return i.book
	}
	return nil
}

// Forwardings are all sinks outside that lines are sent to, in no order.
func (s *Supervisor) Forwardings() []logs.Forwarding { return s.logs.Forwardings() }

// ReopenLogs opens the log files anew with their next line, for a rotation from outside. It returns at once.
func (s *Supervisor) ReopenLogs() { s.logs.Reopen() }
