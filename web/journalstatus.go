package web

import (
	"context"
	"fmt"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

func journalBrief(j *bus.JournalStats) *control.JournalBrief {
	if j == nil {
		return nil
	}
	return &control.JournalBrief{Dir: j.Dir, Bytes: j.Bytes, Pending: j.Pending, Full: j.Full, Fault: j.Fault}
}

// notes are what whoever asks for readiness should know though it changes nothing of it.
func (s *Server) notes(ctx context.Context) []string {
	stats, err := s.stats(ctx)
	if err != nil {
		return nil // /livez tells
	}
	j := stats.Journal
	if j == nil || !j.Full {
		return nil
	}
	return []string{fmt.Sprintf("durable queues take nothing new, and go on by themselves when the journal does; the other queues go on: %s (%s)", j.Fault, j.Dir)}
}
