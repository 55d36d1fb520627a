package logs

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// followDepth is how many lines a follower may be behind before it loses some.
const followDepth = 1024

// follower is one reader of Follow. Lines that do not fit are counted.
type follower struct {
	lines chan Line
	lost  int // under the lock of the book that sends
	mu    sync.Mutex
}

func (f *follower) send(l Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.Lost = f.lost
	select {
	case f.lines <- l:
		f.lost = 0
	default:
		f.lost++
	}
}

// Follow sends to out what Lines returns and then every new line that the query takes, over restarts too. It returns when the context ends,
// when over is closed, or when the time of the query has passed. A slow receiver loses lines, counted in the next one it gets, and holds up
// nobody.
func (r *Reader) Follow(ctx context.Context, over <-chan struct{}, out chan<- Line) {
	hand := func(l Line) bool {
		select {
		case out <- l:
			return true
		case <-ctx.Done():
		case <-over:
		}
		return false
	}
	for _, h := range r.shelves {
		if n := len(h.ring); n > 0 {
			h.until = h.ring[n-1].Time // what is later comes to the follower
		}
	}
	for l := range r.Lines(ctx) {
		if !hand(l) {
			return
		}
	}
	f := &follower{lines: make(chan Line, followDepth)}
	missed, books := r.attach(f)
	r.shelves = nil // what was read is let go
	defer func() {
		for _, b := range books {
			b.unfollow(f)
		}
	}()
	for _, l := range missed {
		if r.q.takes(&l) && !hand(l) {
			return
		}
	}
	r.goOn(ctx, over, f, hand)
}

// attach makes somebody follow all that is on the shelves, and returns what has come since they were made.
func (r *Reader) attach(f *follower) (missed []Line, books []*Book) {
	for _, h := range r.shelves {
		if b := r.book(h.ref); b != nil {
			books = append(books, b)
			missed = append(missed, b.follow(f, h.seq, h.count)...)
		}
	}
	slices.SortFunc(missed, func(a, b Line) int { return cmp.Compare(a.Seq, b.Seq) })
	return missed, books
}

// goOn hands over lines as they come.
func (r *Reader) goOn(ctx context.Context, over <-chan struct{}, f *follower, hand func(Line) bool) {
	var late <-chan time.Time
	if !r.q.Until.IsZero() {
		end := time.NewTimer(time.Until(r.q.Until))
		defer end.Stop()
		late = end.C
	}
	lost := 0 // before lines that are not wanted
	for {
		select {
		case l := <-f.lines:
			if lost += l.Lost; !r.q.takes(&l) {
				continue
			}
			l.Lost, lost = lost, 0
			if !hand(l) {
				return
			}
		case <-late:
			return
		case <-ctx.Done():
			return
		case <-over:
			return
		}
	}
}
