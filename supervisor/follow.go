package supervisor

import (
	"cmp"
	"context"
	"slices"

	"github.com/dsat/dsat/topology"
)

// followDepth is how many lines a follower may be behind before it loses some.
const followDepth = 1024

// Logs returns the newest n lines of all named together, oldest first. It works for processes that are dead.
func (s *Supervisor) Logs(refs []topology.Ref, n int) []Line {
	var lines []Line
	for _, ref := range refs {
		if i := s.find(ref); i != nil {
			lines = append(lines, i.book.newest(n, 0)...)
		}
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Seq, b.Seq) })
	return lines[max(len(lines)-n, 0):]
}

// Follow sends the newest n lines and then every new one, over restarts too, until the context ends; then the channel is closed. A
// slow follower loses lines, counted in the next one it gets, and holds up nobody.
func (s *Supervisor) Follow(ctx context.Context, refs []topology.Ref, n int) <-chan Line {
	f := &follower{lines: make(chan Line, followDepth)}
	out := make(chan Line)
	var books []*logbook
	for _, ref := range refs {
		if i := s.find(ref); i != nil {
			books = append(books, i.book)
			i.book.follow(f)
		}
	}
	old := s.Logs(refs, n)
	started := s.crew.run(func() {
		defer close(out)
		defer unfollow(books, f)
		newest := make(map[topology.Ref]uint64)
		for _, l := range old {
			newest[l.Ref] = l.Seq
			if !s.hand(ctx, out, l) {
				return
			}
		}
		for {
			select {
			case l := <-f.lines:
				if l.Seq > newest[l.Ref] && !s.hand(ctx, out, l) {
					return
				}
			case <-ctx.Done():
				return
			case <-s.stopped:
				return
			}
		}
	})
	if !started {
		unfollow(books, f)
		close(out)
	}
	return out
}

func (s *Supervisor) hand(ctx context.Context, out chan<- Line, l Line) bool {
	select {
	case out <- l:
		return true
	case <-ctx.Done():
	case <-s.stopped:
	}
	return false
}

func unfollow(books []*logbook, f *follower) {
	for _, b := range books {
		b.unfollow(f)
	}
}
