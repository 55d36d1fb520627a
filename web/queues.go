package web

import (
	"context"
	"net/http"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

func (s *Server) queuePause(w http.ResponseWriter, r *http.Request) error {
	return s.queueChange(w, r, s.cfg.Bus.Pause)
}

func (s *Server) queueResume(w http.ResponseWriter, r *http.Request) error {
	return s.queueChange(w, r, s.cfg.Bus.Resume)
}

// queueDrain lets nothing more in. With ?wait= it answers when nothing is left, or the wait is over, which is no error: the drain goes on.
func (s *Server) queueDrain(w http.ResponseWriter, r *http.Request) error {
	wait, err := duration(r, "wait")
	if err != nil {
		return err
	}
	return s.queueChange(w, r, func(ctx context.Context, step string) error {
		if err := s.cfg.Bus.DrainQueue(ctx, step); err != nil || wait == 0 {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		if err := s.cfg.Bus.Drained(ctx, step); err != nil && !isTimeout(err) {
			return err
		}
		return nil
	})
}

func (s *Server) queuePurge(w http.ResponseWriter, r *http.Request) error {
	purged := 0
	change := func(ctx context.Context, step string) (err error) {
		purged, err = s.cfg.Bus.Purge(ctx, step)
		return err
	}
	q, err := s.changedQueue(r, change)
	if err != nil {
		return err
	}
	return answer(w, control.QueueChange{Queue: q, Purged: purged})
}

func (s *Server) queueChange(w http.ResponseWriter, r *http.Request, change func(context.Context, string) error) error {
	q, err := s.changedQueue(r, change)
	if err != nil {
		return err
	}
	return answer(w, control.QueueChange{Queue: q})
}

// changedQueue makes the change and returns the queue as it is then.
func (s *Server) changedQueue(r *http.Request, change func(context.Context, string) error) (control.Queue, error) {
	step := r.PathValue("step")
	ctx, cancel := context.WithTimeout(r.Context(), loopPatience)
	defer cancel()
	if err := change(ctx, step); err != nil {
		return control.Queue{}, s.suggest(err, step)
	}
	stats, err := s.stats(r.Context())
	if err != nil {
		return control.Queue{}, err
	}
	for _, q := range stats.Queues {
		if q.Step == step {
			return wholeQueue(q), nil
		}
	}
	return control.Queue{}, &bus.Error{Kind: bus.KindNotFound, Text: "cannot find the queue of " + step + ": it was removed meanwhile"}
}
