package journal

import (
	"context"
	"errors"
)

// Walk calls f with the committed records from a sequence on, in order, beside those who append; what is released meanwhile is left
// out, and so is what is damaged. It ends at the last record that is committed when it gets there. An error of f, or of ctx, ends it and is
// returned. It is for any goroutine, and waits for the disk.
func (l *Log) Walk(ctx context.Context, from uint64, f func(Record) error) error {
	visit := func(r Record) error {
		if r.Seq < from {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		from = r.Seq + 1
		return f(r)
	}
	for after := uint64(0); ; {
		s, limit := l.next(after, from)
		if s == nil {
			return nil
		}
		after = s.number
		file, err := s.borrow(l.fs)
		if errors.Is(err, errReleased) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = l.scan(file, s, s.base, limit, visit)
		s.giveBack()
		if err != nil {
			return err
		}
	}
}

// next is the oldest segment behind the one of that number which may have records from a sequence on, and how far it is committed.
func (l *Log) next(after, from uint64) (*segment, Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.segs {
		if s.number <= after || s.end == s.base {
			continue
		}
		if i+1 < len(l.segs) && l.segs[i+1].first <= from {
			continue
		}
		return s, s.end
	}
	return nil, 0
}
