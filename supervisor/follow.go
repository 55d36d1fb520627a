package supervisor

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// followDepth is how many lines a follower may be behind before it loses some.
const followDepth = 1024

// Follow sends what ReadLogs returns and then every new line of the named instances that the query takes, over restarts too, until the
// context ends or its time is over; then the channel is closed. A slow follower loses lines, counted in the next one it gets, and holds up
// nobody.
func (s *Supervisor) Follow(ctx context.Context, q LogQuery) <-chan Line {
	out := make(chan Line)
	all := s.shelves(q.Refs)
	started := s.crew.run(func() {
		defer close(out)
		for l := range s.read(ctx, &q, all) {
			if !s.hand(ctx, out, l) {
				return
			}
		}
		f := &follower{lines: make(chan Line, followDepth)}
		missed, books := s.attach(f, all)
		defer unfollow(books, f)
		for _, l := range missed {
			if q.takes(&l) && !s.hand(ctx, out, l) {
				return
			}
		}
		s.goOn(ctx, &q, f, out)
	})
	if !started {
		close(out)
	}
	return out
}

// attach makes somebody follow all that is on the shelves, and returns what has come since they were made.
func (s *Supervisor) attach(f *follower, all []*shelf) (missed []Line, books []*logbook) {
	for _, h := range all {
		if i := s.find(h.ref); i != nil {
			books = append(books, i.book)
			missed = append(missed, i.book.follow(f, h.seq, h.count)...)
		}
	}
	slices.SortFunc(missed, func(a, b Line) int { return cmp.Compare(a.Seq, b.Seq) })
	return missed, books
}

// goOn hands over lines as they come.
func (s *Supervisor) goOn(ctx context.Context, q *LogQuery, f *follower, out chan<- Line) {
	var over <-chan time.Time
	if !q.Until.IsZero() {
		end := time.NewTimer(time.Until(q.Until))
		defer end.Stop()
		over = end.C
	}
	lost := 0 // before lines that are not wanted
	for {
		select {
		case l := <-f.lines:
			if lost += l.Lost; !q.takes(&l) {
				continue
			}
			l.Lost, lost = lost, 0
			if !s.hand(ctx, out, l) {
				return
			}
		case <-over:
			return
		case <-ctx.Done():
			return
		case <-s.stopped:
			return
		}
	}
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
